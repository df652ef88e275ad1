"""From any of Pillow's modes to 8 bits, opaque, sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

# A profile that moves no colour by more than this, of 255, is sRGB: the many sRGB profiles differ by rounding.
SAME_COLOUR = 2
_SRGB = ImageCms.createProfile("sRGB")
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def opaque(picture: Pillow.Image, *, gray_step: int = 1, white_is_zero: bool = False) -> Pillow.Image:
    """Picture as mode L, RGB or CMYK, 8 bits, without alpha: what is transparent shows white.

    gray_step: of a gray picture of fewer than 8 bits, what one of its own steps became (a transparent gray is told
    in its own steps). white_is_zero: of 16-bit gray, where Pillow leaves the values as they are.
    """
    mode = picture.mode
    see_through = picture.info.get("transparency")
    if mode == "1":
        picture, mode, gray_step = picture.convert("L"), "L", 255
    if mode in ("I", "F") or mode.startswith("I;16"):
        picture = Pillow.fromarray(_eight_bits(picture, see_through, white_is_zero=white_is_zero))
    elif mode == "L":
        if isinstance(see_through, int) and 0 <= see_through * gray_step < 256:
            picture = picture.point([255 if i == see_through * gray_step else i for i in range(256)])
    elif mode == "P":
        picture = _with_opaque_palette(picture, see_through)
    elif mode == "RGB":
        if see_through is not None:
            picture = _over_white(picture.convert("RGBA"))
    elif mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        picture = _over_white(picture if mode == "RGBA" else picture.convert("RGBA"))
    elif mode != "CMYK":
        picture = picture.convert("RGB")
    return picture


def _over_white(picture: Pillow.Image) -> Pillow.Image:
    """RGB of RGBA over white."""
    alpha = picture.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return picture.convert("RGB")
    ground = Pillow.new("RGB", picture.size, "white")
    ground.paste(picture, mask=alpha)
    return ground


def _with_opaque_palette(picture: Pillow.Image, see_through: object) -> Pillow.Image:
    """RGB of a palette picture: its palette, not its pixels, is laid over white."""
    colours = picture.getpalette("RGBA") or []
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = 255
    palette[: len(colours) // 4] = np.array(colours, np.uint8).reshape(-1, 4)
    if isinstance(see_through, bytes):
        palette[: len(see_through), 3] = np.frombuffer(see_through[:256], np.uint8)
    elif isinstance(see_through, int) and 0 <= see_through < 256:
        palette[see_through, 3] = 0
    shown = _over_white(Pillow.fromarray(palette[None]))
    picture.info.pop("transparency", None)
    picture.putpalette(shown.tobytes())
    return picture.convert("RGB")


def _eight_bits(picture: Pillow.Image, see_through: object, *, white_is_zero: bool) -> NDArray[np.uint8]:
    """(h, w) uint8 of a gray picture of 16 or 32 bits.

    16 bits: the high byte, as Pillow does for 16-bit colour, so that 8 bits stored as 16 come back unchanged.
    32 bits have no agreed white: floats within 0..1 are scaled by 255, numbers within 0..255 taken as they are and
    within 0..65535 as 16 bits; all else is stretched from its least to its greatest value. Not-a-number is the least.
    """
    values: NDArray[np.generic] = np.asarray(picture)
    if picture.mode.startswith("I;16"):
        shown = (values.astype(np.uint16) >> 8).astype(np.uint8)
        if white_is_zero:
            shown = 255 - shown
        if isinstance(see_through, int):
            shown[values == see_through] = 255
        return shown
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    if not finite.any():
        return np.zeros(numbers.shape, np.uint8)
    low, high = float(numbers[finite].min()), float(numbers[finite].max())
    numbers = np.clip(np.nan_to_num(numbers, nan=low, posinf=high, neginf=low), low, high)
    if low >= 0 and high <= 1 and picture.mode == "F":
        numbers *= 255
    elif low >= 0 and 255 < high <= 65535:
        numbers //= 256
    elif not (low >= 0 and high <= 255):
        numbers = (numbers - low) * (255 / ((high - low) or 1.0))
    return (numbers + 0.5).astype(np.uint8)


def to_srgb(picture: Pillow.Image, profile: object) -> Pillow.Image:
    """RGB, in sRGB, of a picture of mode L, RGB or CMYK; a profile that is broken or does not fit is ignored."""
    if isinstance(profile, bytes) and profile:
        space = profile[16:20].decode("latin-1")
        if space == "RGB " and picture.mode == "L":
            picture = picture.convert("RGB")
        if space == _SPACES[picture.mode]:
            transform = _transform(profile, picture.mode)
            if transform is not None:
                return transform.apply(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of a profile to sRGB; None if there is none to do. littlecms' transforms may be used by threads."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB")
        if mode == "CMYK":
            return transform
        levels = np.arange(0, 256, 17 if mode == "RGB" else 1, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3) if mode == "RGB" else levels[None]
        before = Pillow.fromarray(grid)
        after = np.asarray(transform.apply(before), np.int16)
        moved = np.abs(after - np.asarray(before.convert("RGB"), np.int16)).max()
    except Exception:
        return None  # littlecms' errors have several types; whichever it is, the file shows without a profile
    return transform if moved > SAME_COLOUR else None
