"""What the 64-bit hashes share: the small gray picture they look at, its quality, their spec, the packing of bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.prints import TURNS, turn
from imkin.types import QUALITY_FLOOR, Pixels, Spec

BITS = 64
VERSION = 1
# Three times the 32 samples of phash. Bits off the hash of the full-size photo (benchmarks/prints.py sides:
# mean and share within 2 of ahash, phash, dhash): 0.29 98 %, 0.62 97 %, 0.58 95 % at 64; 0.11 99.6 %, 0.25 99.6 %,
# 0.30 99 % at 96; 0.01, 0.00, 0.01 at 192. Both 64 and 96 decode 500 x 400 pixels to a quarter.
SIDE = 96
# Turn t is turn FLAT[t] of the transposed picture. A mirrored picture's reduction is the mirrored reduction, a
# transposed one's is not (rows are rounded to bytes before columns): two reductions serve all eight turns.
FLAT = {1: 6, 3: 4, 5: 0, 7: 2}

# Mean absolute deviation, in gray levels, under which a picture is as good as blank. Noise of ±2 levels on a flat
# picture gives up to 1.2, JPEG-like dots less; the least of 500 photos and of 1,140 edited copies of them is 6.6.
BLANK = 2.5
# A picture of fewer pixels on a side has less than one for each bit.
TINY = 8


def spec(name: str, max_bits: int, *, turns: bool) -> Spec:
    """Spec of a 64-bit hash whose default threshold is `max_bits` different bits."""
    dim, params = (BITS * TURNS, {"turns": TURNS}) if turns else (BITS, {})
    return Spec(name, VERSION, "bits", dim, 1 - max_bits / BITS, SIDE, params)


def grays(images: Sequence[Pixels]) -> list[NDArray[np.uint8]]:
    """Luma (h, w) uint8 of each picture."""
    return [image.gray(pixels) for pixels in images]


def shrink(gray: Sequence[NDArray[np.uint8]], *, width: int, height: int, turns: bool) -> NDArray[np.uint8]:
    """Lanczos-reduced pictures (n * turns, height, width), the turns of one picture side by side."""
    upright = [image.resize_gray(picture, width=width, height=height) for picture in gray]
    if not turns:
        return np.array(upright, np.uint8).reshape(-1, height, width)
    small = np.empty((len(gray), TURNS, height, width), np.uint8)
    for i, picture in enumerate(gray):
        flat = image.resize_gray(np.ascontiguousarray(picture.T), width=width, height=height)
        for t in range(TURNS):
            small[i, t] = turn(flat, FLAT[t]) if t in FLAT else turn(upright[i], t)
    return small.reshape(-1, height, width)


def reduced(images: Sequence[Pixels], *, width: int, height: int, turns: bool) -> NDArray[np.uint8]:
    """`shrink` of the luma of pictures."""
    if turns:
        return shrink(grays(images), width=width, height=height, turns=True)
    rows = [image.small_gray(pixels, width=width, height=height) for pixels in images]
    return np.array(rows, np.uint8).reshape(-1, height, width)


def quality(images: Sequence[Pixels], small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Quality (n,) of pictures: the mean absolute deviation of their upright `small` ones; 0 if tiny, at most 1.

    It crosses QUALITY_FLOOR at BLANK gray levels. Deviation tells faint photos from noise 5 times better than the
    gradient does, and one odd pixel weighs less than in the standard deviation.
    """
    upright = small[:: max(1, len(small) // max(1, len(images)))].astype(np.float64)
    deviation = np.abs(upright - upright.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2))
    return np.where(tiny(images), 0.0, np.minimum(1.0, deviation * (QUALITY_FLOOR / BLANK))).astype(np.float32)


def tiny(images: Sequence[Pixels]) -> NDArray[np.bool_]:
    """Whether each of n pictures has fewer than TINY pixels on a side."""
    return np.array([min(pixels.shape[:2]) < TINY for pixels in images], bool)


def pack(bits: NDArray[np.bool_], n: int) -> NDArray[np.uint8]:
    """Bits (n * turns, rows, columns) as (n, bytes), most significant bit first, row by row, turn by turn."""
    return np.packbits(bits.reshape(n, bits.size // max(1, n)), axis=1)
