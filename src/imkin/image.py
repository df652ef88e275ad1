"""Bytes to pixels and back: decode, shrink, encode."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from imkin.types import Failure, Pixels

VERSION = 1

FORMATS: tuple[str, ...] = (
    "AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "PSD", "RAW", "TGA", "TIFF", "WEBP",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused. max_pixels: of the full-size picture, read from its header."""

    max_pixels: int = 178_000_000
    formats: tuple[str, ...] = FORMATS
    tolerate_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded picture. width, height: of the upright picture at full size, in pixels."""

    pixels: Pixels
    width: int
    height: int
    format: str


def decode(data: bytes, *, path: str, side: int = 0, limits: Limits = Limits()) -> Image | Failure:
    """The picture in data, upright, opaque, sRGB; reduced so that its shorter side is at least `side`, if it can be."""
    try:
        Pillow.init()
        allowed = tuple(name for name in limits.formats if name in Pillow.OPEN) or ("PNG",)
        with Pillow.open(io.BytesIO(data), formats=allowed) as opened:
            width, height = opened.size
            if width * height > limits.max_pixels:
                return Failure(path, "decode", f"{width * height} pixels are over the limit of {limits.max_pixels}")
            kind = opened.format or ""
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data:
                layer = picture.convert("RGBA")
                picture = Pillow.new("RGB", layer.size, "white")
                picture.paste(layer, mask=layer.getchannel("A"))
            picture = picture.convert("RGB")
            width, height = picture.size
            factor = 1
            while side and min(width, height) // (2 * factor) >= side:
                factor *= 2
            if factor > 1:
                picture = picture.reduce(factor)
            return Image(np.asarray(picture), width, height, kind)
    except Exception as error:
        return Failure(path, "decode", f"damaged: {type(error).__name__}")


def gray(pixels: Pixels) -> NDArray[np.uint8]:
    """(h, w) uint8: ITU-R 601 luma of (h, w, 3), exactly as Pillow's convert("L")."""
    return np.asarray(Pillow.fromarray(pixels).convert("L"))


def resize_gray(gray: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) uint8: gray resized with Pillow's Lanczos filter."""
    return np.asarray(Pillow.fromarray(gray).resize((width, height), Pillow.Resampling.LANCZOS))


def area_gray(gray: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) uint8: each value is the mean of the area that it covers."""
    return np.asarray(Pillow.fromarray(gray).resize((width, height), Pillow.Resampling.BOX))


def thumbnail(pixels: Pixels, *, side: int) -> Pixels:
    """Pixels whose longer side is at most `side`; never enlarged."""
    picture = Pillow.fromarray(pixels)
    picture.thumbnail((side, side), Pillow.Resampling.LANCZOS)
    return np.asarray(picture)


def encode_jpeg(pixels: Pixels, *, quality: int = 85) -> bytes:
    """Pixels as a JPEG file."""
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def encode_png(pixels: Pixels) -> bytes:
    """Pixels as a PNG file."""
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
