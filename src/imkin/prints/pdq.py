"""pdq: Meta's 256-bit hash with its quality.

«The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm», Facebook 2019: luma, two passes of a box
filter down and across (together a tent), 64 x 64 samples, the 16 x 16 lowest DCT terms, signs against their median.

Filter and sampling are linear, so each direction is one banded operator, kept per length. Its weights are whole
multiples of 1/UNIT and luma's of 1/1000: all sums up to the 64 x 64 samples are whole numbers that float32 and float64
hold exactly, so they are the same on any machine, in any order, for one picture as for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imkin.prints import TURNS, small
from imkin.types import Pixels, Spec

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BITS = 256
VERSION = 1
DEFAULT_MAX_BITS = 31  # the paper's recommendation

# The reference filters at full size and samples at whole pixels, which shows in small pictures: decoded to half of
# 375 x 500 pixels they are 18 bits away (benchmarks/prints.py sides). Below SIDE the decoder reduces nothing, and a
# picture gets the reference's own filter: the same bits. From SIDE on it gets the filter of a large picture, which
# knows no pixels, and differs by 2 bits on average and 8 at most, reduced or not. One filter cannot serve both kinds
# well at 512: 3 to 6 bits on average, 20 at most. Its price: decoding and hashing a JPEG of 4000 x 3000 pixels took
# 52 ms, to 512 pixels 38 ms, at full size 157 ms.
SIDE = 1024

SAMPLES = 64
TERMS = 16
WINDOW = 128  # the box filter is 1/128 of the length, rounded up (paper)
UNIT = 1 << 16  # the sum of an operator's weights; 255 * UNIT < 2**24: float32 sums bytes exactly
LUMA = np.array([299.0, 587.0, 114.0])
WHOLE = 1000.0 * UNIT * UNIT
# Bytes turned to float32 at a time: more falls out of the processor's cache, 10 ms instead of 5 for 1500 x 2000 pixels.
CHUNK = 1 << 20
PARTS = 16

# DCT-II without its constant term: row k holds frequency k + 1.
COSINES = np.sqrt(2 / SAMPLES) * np.cos(
    np.pi / (2 * SAMPLES) * np.outer(np.arange(1, TERMS + 1), 2 * np.arange(SAMPLES) + 1)
)
# Terms are rounded to GRAIN, about 1e-9 of the largest: those of stripes, zero but for rounding, become exactly zero.
GRAIN = 2.0**-16
# Turn t (see `prints.turn`) has the terms of samples TURNED[t][0]: upright, mirrored, flipped, both; or transposed.
# The paper negates odd terms of the upright picture's instead. But its filter is not symmetric in small pictures: of
# photos of 375 x 500 pixels the turn by 180 degrees is then 14 bits away from the turned picture's hash, and up to 46.
TURNED = ((0, False), (1, True), (3, False), (2, True), (1, False), (0, True), (2, False), (3, True))
# Half of the bits are set unless many terms are zero, as in stripes and all pictures that vary in one direction only.
# Their hashes would all match each other, so their quality is 0; the paper has no such case.
LEAST_SET_BITS = 32

# (first pixel, last pixel + 1, sparse weights of some samples over them)
Band = tuple[int, int, "csr_array"]


def samples(pixels: Pixels, *, turns: bool = False) -> NDArray[np.float64]:
    """The filtered luma (1, 64, 64), 0..255, of a picture of any size; with turns (4, 64, 64), see TURNED."""
    height, width = pixels.shape[:2]
    reduced = min(height, width) >= SIDE
    # Rows first, on bytes of all three colours: 64 rows are left when luma comes. Sparse products and not BLAS, whose
    # threads fight with those that decode: 7 ms became 30.
    flat = pixels.reshape(height, width * 3)
    parts = 1 if flat.size <= CHUNK else PARTS
    ways = (False, True) if turns else (False,)
    done = []
    for flipped in ways:
        bands = operator(height, reduced=reduced, flipped=flipped, parts=parts)
        down = np.concatenate([weights @ flat[low:high] for low, high, weights in bands])
        luma = down.reshape(SAMPLES, width, 3) @ LUMA
        for mirrored in ways:
            ((low, high, weights),) = operator(width, reduced=reduced, flipped=mirrored)
            done.append((weights @ luma[:, low:high].T).T / WHOLE)
    return np.array(done)


@lru_cache(maxsize=256)
def operator(length: int, *, reduced: bool, flipped: bool, parts: int = 1) -> tuple[Band, ...]:
    """The filter and sampling along `length` pixels, in `parts` bands of 64 / parts samples each.

    Weights are whole numbers; each sample's sum to UNIT. flipped: from the last pixel to the first.
    reduced: the picture may have been: the tent that the reference's filter comes near to as lengths grow. Otherwise
    the reference's filter at this very length.
    """
    # 0.3 s to load, and `auto` needs the terms alone.
    from scipy.sparse import csr_array

    pixel, weights = _tent_weights(length) if reduced else _reference_weights(length)
    if flipped:
        pixel = length - 1 - pixel
    inside = (pixel >= 0) & (pixel < length)
    weights = np.where(inside, weights, 0.0)
    whole = np.rint(weights * (UNIT / weights.sum(axis=1, keepdims=True)))
    sample = np.arange(SAMPLES)
    whole[sample, whole.argmax(axis=1)] += UNIT - whole.sum(axis=1)
    bands = []
    for group in np.split(sample, parts):
        at, row = pixel[group][inside[group]], np.nonzero(inside[group])[0]
        low, high = int(at.min()), int(at.max()) + 1
        entries = whole[group][inside[group]].astype(np.float32)
        bands.append((low, high, csr_array((entries, (row, at - low)), (len(group), high - low))))
    return tuple(bands)


def _reference_weights(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels (64, k), some outside the picture, and their weights: a box of boxes around whole pixels.

    A box of `window` pixels around i covers i - back .. i + ahead - 1, cut off at the ends; of an even one the longer
    half is ahead. Sample j is the box of boxes around pixel ⌊(j + 1/2) * length / 64⌋.
    """
    window = -(-length // WINDOW)
    ahead = window // 2 + 1
    back = window - ahead
    centre = ((2 * np.arange(SAMPLES, dtype=np.int64) + 1) * length // (2 * SAMPLES))[:, None]
    pixel = centre - 2 * back + np.arange(2 * window - 1)
    i = np.arange(length)
    sizes = np.minimum(length, i + ahead) - np.maximum(0, i - back)
    inverse = np.concatenate([[0.0], np.cumsum(1 / sizes)])
    # Inner boxes that hold `pixel` and lie in the outer box: boxes first..last - 1.
    first = np.maximum(np.maximum(0, centre - back), pixel - ahead + 1).clip(0, length)
    last = np.minimum(np.minimum(length, centre + ahead), pixel + back + 1).clip(0, length)
    return pixel, np.maximum(0.0, inverse[last] - inverse[first])


def _tent_weights(length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels (64, k), some outside the picture, and their weights: the area of each under a tent 1/64 long at its foot.

    The tents stand around (j + 1/2) * length / 64.
    """
    centre = ((np.arange(SAMPLES) + 0.5) * (length / SAMPLES))[:, None]
    half = length / WINDOW
    pixel = np.floor(centre - half).astype(np.int64) + np.arange(int(2 * half) + 2)
    edge = np.clip((np.concatenate([pixel, pixel[:, -1:] + 1], axis=1) - centre) / half, -1, 1)
    area = np.where(edge < 0, (1 + edge) ** 2 / 2, 1 - (1 - edge) ** 2 / 2)
    return pixel, np.diff(area, axis=1)


def terms(sampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """DCT terms (n, 16, 16) of samples (n, 64, 64): frequencies 1..16 down, then across; multiples of GRAIN."""
    exact: NDArray[np.float64] = np.rint(COSINES @ sampled @ COSINES.T / GRAIN) * GRAIN
    return exact


def bits(term: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of terms (n, 16, 16) is above the lower median. Returns (n, 256), in pdqhash's order: last first."""
    flat = term.reshape(-1, BITS)
    above: NDArray[np.bool_] = flat > np.partition(flat, BITS // 2 - 1, axis=1)[:, BITS // 2 - 1 : BITS // 2]
    return above[:, ::-1]


def quality(sampled: NDArray[np.float64]) -> NDArray[np.int64]:
    """PDQ's quality (n,), 0..100, of samples (n, 64, 64): their steps in whole percents of 255, summed, over 90."""
    total = sum(np.abs(np.trunc(np.diff(sampled, axis=axis) * 100 / 255)).sum(axis=(1, 2)) for axis in (1, 2))
    grade: NDArray[np.int64] = np.minimum(100, np.asarray(total) // 90).astype(np.int64)
    return grade


@dataclass(frozen=True, slots=True)
class Pdq:
    """Fingerprinter of PDQ. Bits agree with the reference on pictures under SIDE, and within 10 of 256 above."""

    spec: Spec
    turns: bool

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Values (n, 32), with turns (n, 256), and quality (n,): PDQ's by 100, 0 for tiny pictures."""
        count = TURNS // 2 if self.turns else 1
        sampled = np.array([samples(pixels, turns=self.turns) for pixels in images]).reshape(-1, SAMPLES, SAMPLES)
        term = terms(sampled).reshape(-1, count, TERMS, TERMS)
        wanted = TURNED if self.turns else TURNED[:1]
        parts = [bits(term[:, i].swapaxes(1, 2) if flat else term[:, i]) for i, flat in wanted]
        useful = (parts[0].sum(axis=1) >= LEAST_SET_BITS) & ~small.tiny(images)
        grade = (quality(sampled[::count]) * useful / 100).astype(np.float32)
        return np.packbits(np.concatenate(parts, axis=1), axis=1), grade


def fingerprinter(*, turns: bool = False) -> Pdq:
    """The method `pdq`."""
    dim, params = (BITS * TURNS, {"turns": TURNS}) if turns else (BITS, {})
    return Pdq(Spec("pdq", VERSION, "bits", dim, 1 - DEFAULT_MAX_BITS / BITS, SIDE, params), turns)
