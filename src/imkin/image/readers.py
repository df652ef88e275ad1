"""From bytes to an opened Pillow picture, one small function for each format that needs more than its plugin."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress

import numpy as np
import pi_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL import Image as Pillow

from imkin.image.limits import Limits, RefusedError
from imkin.image.quiet import libtiff_is_quiet

# A progressive JPEG visits every block once a scan, and an empty scan costs 10 bytes: without a bound a small file
# takes hours. Encoders write 10 scans, mozjpeg's search up to 64; libjpeg-turbo's own fuzzers stop at 500.
MAX_JPEG_SCANS = 128


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG without the parsing of all EXIF tags for the sake of a resolution that nobody asks for."""

    def _read_dpi_from_exif(self) -> None:
        pass


class _Png(PngImagePlugin.PngImageFile):
    """A PNG whose text behind the pixels cannot hide them (see `_png`)."""

    def load_end(self) -> None:
        with suppress(ValueError):
            super().load_end()


def _jpeg(data: bytes, _limits: Limits) -> Pillow.Image:
    # The plain class, not Pillow's factory: of a multi-picture file (MPO) the first picture is the photo.
    opened = _Jpeg(io.BytesIO(data))
    if "progressive" in opened.info and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise RefusedError(f"damaged JPEG: over {MAX_JPEG_SCANS} scans")
    # All at once: handed over in Pillow's pieces of 64 KiB, 0.9 to 2.5 MB took 3 % longer to decode.
    opened.decodermaxblock = len(data)
    return opened


def _png(data: bytes, _limits: Limits) -> Pillow.Image:
    try:
        return _Png(io.BytesIO(data))
    except ValueError:
        # Pillow refuses text of over 1 MB, which the graphs in pictures made by image generators reach.
        return _Png(io.BytesIO(b"".join(_png_chunks_without_text(data))))


def _png_chunks_without_text(data: bytes) -> Iterable[bytes]:
    yield data[:8]
    place = 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">L4s", data, place)
        if name not in (b"tEXt", b"zTXt", b"iTXt"):
            yield data[place : place + 12 + length]
        place += 12 + length


def _webp(data: bytes, limits: Limits) -> Pillow.Image:
    # The plugin allocates the canvas while it opens the file, so the header is read before.
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
        limits.check_size(width, height)
    elif kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        limits.check_size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        limits.check_size(width & 0x3FFF, height & 0x3FFF)
    return WebPImagePlugin.WebPImageFile(io.BytesIO(data))


def _ico(data: bytes, limits: Limits) -> Pillow.Image:
    """The largest picture of an icon, of equal ones that with most colours; it may be a whole PNG file."""
    (count,) = struct.unpack_from("<H", data, 4)
    entries = [struct.unpack_from("<BBBBHHLL", data, 6 + 16 * i) for i in range(min(count, (len(data) - 6) // 16))]
    if not entries:
        raise RefusedError("damaged ICO: no pictures in it")
    best = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[5]))
    length, offset = best[6:]
    picture = data[offset : offset + length]
    if picture[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(picture, limits)
    width, height = struct.unpack_from("<ll", picture, 4)
    limits.check_size(abs(width), abs(height) // 2)
    alone = struct.pack("<HHHBBBBHHLL", 0, 1, 1, *best[:6], length, 22)
    return IcoImagePlugin.IcoImageFile(io.BytesIO(alone + picture))


def _psd(data: bytes, _limits: Limits) -> Pillow.Image:
    bits = int.from_bytes(data[22:24], "big")
    if bits in (16, 32):
        raise RefusedError(f"PSD with {bits} bits a channel is not read, only with 8")
    return PsdImagePlugin.PsdImageFile(io.BytesIO(data))


def _ppm(data: bytes, limits: Limits) -> Pillow.Image:
    """Netpbm. Depths other than 8 bits and numbers as text are read here: Pillow does it in a loop, 1 µs a number."""
    opened = PpmImagePlugin.PpmImageFile(io.BytesIO(data))
    reader, _, start, options = opened.tile[0]
    if reader == "raw" or data[1:2] == b"1":
        return opened
    width, height = opened.size
    limits.check_size(width, height)
    maximum = int(options[1]) if isinstance(options, tuple) else 255
    shape = (height, width, 3) if data[1:2] in b"36" else (height, width)
    count = int(np.prod(shape))
    if reader == "ppm":
        kind = np.dtype(np.uint8 if maximum < 256 else ">u2")
        values = np.frombuffer(data, kind, offset=start, count=min(count, (len(data) - start) // kind.itemsize))
    else:
        lines = (line.split(b"#")[0] for line in data[start:].splitlines())
        values = np.array(b" ".join(lines).split()[:count], dtype=np.uint32)
    if len(values) < count:
        if not limits.tolerate_truncated:
            raise RefusedError("damaged PPM: image file is truncated")
        values = np.concatenate([values, np.zeros(count - len(values), values.dtype)])
    scaled = (np.minimum(values, maximum).astype(np.uint32) * 255 + maximum // 2) // maximum
    return Pillow.fromarray(scaled.astype(np.uint8).reshape(shape))


def _heif(data: bytes, limits: Limits) -> Pillow.Image:
    """The primary picture. libheif turns it as the file's boxes say, so an EXIF orientation must not be applied."""
    opened = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
    limits.check_size(*opened.size)
    picture: Pillow.Image = Pillow.frombytes(opened.mode, opened.size, opened.data, "raw", opened.mode, opened.stride)
    if "icc_profile" in opened.info:
        picture.info["icc_profile"] = opened.info["icc_profile"]
    return picture


def _plain(plugin: Callable[[io.BytesIO], Pillow.Image]) -> Callable[[bytes, Limits], Pillow.Image]:
    return lambda data, _limits: plugin(io.BytesIO(data))


_READERS: dict[str, Callable[[bytes, Limits], Pillow.Image]] = {
    "AVIF": _plain(AvifImagePlugin.AvifImageFile),
    "BMP": _plain(BmpImagePlugin.BmpImageFile),
    "GIF": _plain(GifImagePlugin.GifImageFile),
    "HEIF": _heif,
    "ICO": _ico,
    "JPEG": _jpeg,
    "JPEG2000": _plain(Jpeg2KImagePlugin.Jpeg2KImageFile),
    "PNG": _png,
    "PPM": _ppm,
    "PSD": _psd,
    "TGA": _plain(TgaImagePlugin.TgaImageFile),
    "TIFF": _plain(TiffImagePlugin.TiffImageFile),
    "WEBP": _webp,
}


def open_picture(name: str, data: bytes, limits: Limits) -> Pillow.Image:
    """The picture of a sniffed file, within the limits, its pixels not yet read. Raises whatever Pillow raises."""
    opened = _READERS[name](data, limits)
    limits.check_size(*opened.size)
    return opened


def load(opened: Pillow.Image, *, tolerant: bool) -> None:
    """Decode the pixels in place.

    Pillow's own switch for files that are cut short is global to the process. But its decoders write into the
    picture as they go, so what was decoded before the error is there and only needs to be taken.
    """
    try:
        with libtiff_is_quiet if opened.format == "TIFF" else nullcontext():
            opened.load()
    except OSError:
        if not tolerant or getattr(opened, "_im", None) is None or opened.im.getbbox() is None:
            raise  # nothing was decoded: a picture all black would match others
        opened.tile = []  # type: ignore[attr-defined]
        with suppress(Exception):  # what follows the pixels is only metadata
            opened.load_end()  # type: ignore[attr-defined]
        opened.load()
