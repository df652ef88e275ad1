"""What a file tells of how its picture came to be: how strongly it was compressed, and whether by a camera."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import JpegImagePlugin

from imkin.image.limits import Limits
from imkin.image.quiet import quiet
from imkin.image.readers import open_picture
from imkin.image.sniff import sniff

# Formats that keep every pixel as it was handed to them; GIF does not (256 colours).
_LOSSLESS = frozenset({"BMP", "PNG", "PPM", "PSD", "RAW", "TGA", "TIFF"})
_MAKE, _MODEL = 0x010F, 0x0110

# Sum of the example luminance table of the JPEG standard (ITU-T T.81, table K.1), which encoders scale.
_K1_SUM = 3688

_ALL = Limits()


@dataclass(frozen=True, slots=True)
class Origin:
    """compression: 0..1, of a JPEG its quality setting / 100, 1 lossless, None unknown. camera: its EXIF names one."""

    compression: float | None = None
    camera: bool = False


def origin(data: bytes, *, limits: Limits = _ALL) -> Origin:
    """The origin of a file's bytes; what cannot be read is unknown. Decodes no pixels (of a PNG without EXIF: all)."""
    try:
        with quiet():
            name = sniff(data)
            if name == "RAW":
                return Origin(1.0, camera=True)
            opened = open_picture(name, data, limits)
            exif = opened.getexif()
            camera = any(str(exif.get(tag) or "").strip(" \0") for tag in (_MAKE, _MODEL))
            return Origin(_compression(name, opened, data), camera)
    except Exception:
        # Readers raise whatever their parsing trips over; what is damaged was reported when it was fingerprinted.
        return Origin()


def _compression(name: str, opened: Pillow.Image, data: bytes) -> float | None:
    if isinstance(opened, JpegImagePlugin.JpegImageFile) and opened.quantization:
        return _jpeg_quality(sum(opened.quantization[min(opened.quantization)])) / 100
    if name == "TIFF" and opened.info.get("compression") in ("jpeg", "tiff_jpeg"):
        return None
    if name in _LOSSLESS or (name == "WEBP" and b"VP8L" in data[:64]):
        return 1.0
    return None


def _jpeg_quality(luma_sum: int) -> float:
    """Quality 1..100 of the table with this sum, as the IJG's encoder scales table K.1; others by their strength."""
    scale = 100 * luma_sum / _K1_SUM
    return max(1.0, min(100.0, 100 - scale / 2 if scale <= 100 else 5000 / scale))
