"""Pixels to smaller pixels, to gray, and to files."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from imkin.types import Pixels


def gray(pixels: Pixels) -> NDArray[np.uint8]:
    """(h, w) uint8 of (h, w, 3): ITU-R 601 luma, bit-equal to Pillow's convert("L").

    L = (19595 R + 38470 G + 7471 B + 32768) >> 16.
    """
    return np.asarray(Pillow.fromarray(pixels).convert("L"))


def resize_gray(gray: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) uint8 of (h, w): Lanczos, bit-equal to Pillow's resize of mode L."""
    return np.asarray(Pillow.fromarray(gray).resize((width, height), Pillow.Resampling.LANCZOS))


def small_gray(pixels: Pixels, *, width: int, height: int) -> NDArray[np.uint8]:
    """resize_gray(gray(pixels)), without the array in between."""
    return np.asarray(Pillow.fromarray(pixels).convert("L").resize((width, height), Pillow.Resampling.LANCZOS))


def area_gray(gray: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) uint8 of (h, w): the mean of the area each value covers, parts of pixels counted as parts.

    Rounded to the nearest, halves up. Cost: one pass over gray.
    """
    rows = _areas(gray, height)
    means = _areas(np.ascontiguousarray(rows.T), width).T
    # Sums of parts carry an error of 1e-10; without the allowance it would decide which way an exact half goes.
    return np.floor(means + (0.5 + 1e-9)).astype(np.uint8)


def _areas(values: NDArray[np.uint8] | NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """(parts, w): the means of `parts` equal stretches of the h rows of values, by differences of the running sum."""
    height = len(values)
    # Of bytes in 32 bits, half the memory to go through: enough for 16 million rows.
    running = np.zeros((height + 1, values.shape[1]), np.uint32 if values.dtype == np.uint8 else np.float64)
    np.cumsum(values, axis=0, out=running[1:], dtype=running.dtype)
    cuts = np.arange(parts + 1) * height
    whole, rest = cuts // parts, (cuts % parts) / parts
    beyond = np.minimum(whole, height - 1)
    sums = running[whole] + rest[:, None] * values[beyond]
    return np.diff(sums, axis=0) * (parts / height)


def thumbnail(pixels: Pixels, *, side: int) -> Pixels:
    """Pixels whose longer side is at most `side`; never enlarged, each side at least 1."""
    picture = Pillow.fromarray(pixels)
    picture.thumbnail((side, side), Pillow.Resampling.LANCZOS)
    return np.asarray(picture)


def encode_jpeg(pixels: Pixels, *, quality: int = 85) -> bytes:
    """A JPEG file of pixels. quality: 1..95."""
    return _encode(pixels, "JPEG", quality=quality)


def encode_png(pixels: Pixels) -> bytes:
    """A PNG file of pixels."""
    return _encode(pixels, "PNG")


def _encode(pixels: Pixels, name: str, **options: int) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


Region = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, fractions allowed."""


def area_rgb(pixels: Pixels, *, width: int, height: int, box: Region | None = None) -> Pixels:
    """(height, width, 3) uint8 of a picture, or of a box of it, squeezed or stretched as needed.

    Each value is the mean of the area it covers; where a side is enlarged, values between pixels are linear. Equal to
    Pillow's resize.
    """
    boxes = [box or (0, 0, pixels.shape[1], pixels.shape[0])]
    return np.asarray(areas_rgb(pixels, width=width, height=height, boxes=boxes)[0])


def areas_rgb(pixels: Pixels, *, width: int, height: int, boxes: Sequence[Region]) -> NDArray[np.uint8]:
    """`area_rgb` of several boxes of one picture: (boxes, height, width, 3) uint8."""
    picture = Pillow.fromarray(pixels)
    out = np.empty((len(boxes), height, width, 3), np.uint8)
    for at, box in enumerate(boxes):
        left, top, right, bottom = box
        shrinks = right - left >= width and bottom - top >= height
        how = Pillow.Resampling.BOX if shrinks else Pillow.Resampling.BILINEAR
        out[at] = np.asarray(picture.resize((width, height), how, box=box))
    return out
