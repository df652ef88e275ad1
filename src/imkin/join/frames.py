"""Frames of videos as prints: the methods that tell whether two frames look the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imkin.join import hamming
from imkin.join.sequences import Indices
from imkin.prints import pdq
from imkin.types import QUALITY_FLOOR

Pictures = NDArray[np.uint8]
"""(n, side, side): gray, squeezed to a square."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""

Values = NDArray[Any]
Prints = tuple[Values, NDArray[np.bool_]]
"""Values (n, …) of the frames of a video, and whether each is usable: a blank one looks like any other."""

Vote = tuple[int, int, Indices, Indices]
"""Two videos a < b, and frames i of a, j of b that surely look the same."""

# Pairs of alike frames inside one video cost memory and tell nothing; of all videos together at most so many.
MOST_OWN_PAIRS = 20_000_000
# Vectors of all videos together that are compared each with each: 2 * 10^11 products, ten seconds.
MOST_VECTORS = 40_000
# Votes of two videos that are more than any line needs.
MOST_VOTES = 100_000
# Of either side: what a crop to 70 % leaves, and about what one to 60 % or 80 % does.
CENTRE = 0.7
# Which part of one picture is held against which of another; 0: the whole, 1: its centre.
KIN_PARTS = ((0, 0), (0, 1), (1, 0))
# Cells of a side; samples, of which there are 15 a second, that a change spans; and gray levels that a cell changes at
# least in the mean: less is the noise of coding.
MOVEMENT_SIDE = 12
MOVEMENT_BACK = 8
MOVEMENT_LEAST = 1.0
# What 1 is as a byte.
BYTE = 127


class FrameMethod(Protocol):
    """One way to tell frames; `METHODS` lists all that are tried, and a pair counts that any of them finds."""

    @property
    def name(self) -> str:
        """As in `imkin methods`."""

    @property
    def every(self) -> int:
        """It looks at every so many-th sample."""

    @property
    def levels(self) -> int:
        """How many strictnesses there are, 0 the loosest."""

    def prints(self, pictures: Pictures, box: Box) -> Prints:
        """Prints of pictures that have their content inside a box."""

    def votes(self, videos: Sequence[Prints], level: int) -> Iterator[Vote]:
        """Frames of different videos that surely look the same."""

    def alike(self, a: Values, b: Values, level: int) -> NDArray[np.bool_]:
        """Whether prints a and b, row by row, look the same where that is expected."""


@dataclass(frozen=True, slots=True)
class PdqFrames:
    """PDQ of the whole picture and of what lies inside its borders; frames are alike if any of the two are."""

    name: str = "pdq"
    every: int = 1
    # Bits of 256 that differ at most: for a vote, and along a line that votes gave. Strangers are 90 and more apart.
    # Where all frames of a video are alike by the first, as of a talking head, the next ones tell moments apart.
    radii: tuple[tuple[int, int], ...] = ((31, 60), (24, 40), (16, 24), (4, 6))

    @property
    def levels(self) -> int:
        """One for each pair of radii."""
        return len(self.radii)

    def prints(self, pictures: Pictures, box: Box) -> Prints:
        """Values (n, 2, 32) uint8. Frames are reduced by area and not by PDQ's own filter: 6 bits apart or fewer."""
        whole = (0, 0, pictures.shape[2], pictures.shape[1])
        codes, usable = self._codes(reduce_box(pictures, whole, side=pdq.SAMPLES))
        if box == whole:
            return np.stack([codes, codes], axis=1), usable
        inner, seen = self._codes(reduce_box(pictures, box, side=pdq.SAMPLES))
        return np.stack([codes, inner], axis=1), usable & seen

    @staticmethod
    def _codes(sampled: NDArray[np.float64]) -> Prints:
        bits = pdq.bits(pdq.terms(sampled))
        usable = (pdq.quality(sampled) >= 100 * QUALITY_FLOOR) & (bits.sum(axis=1) >= pdq.LEAST_SET_BITS)
        return np.packbits(bits, axis=1), usable

    def votes(self, videos: Sequence[Prints], level: int) -> Iterator[Vote]:
        """By one exact join of the frames of all videos that differ from the one before."""
        radius = self.radii[level][0]
        keys = [_keys(codes, usable, radius, MOST_OWN_PAIRS // max(1, len(videos))) for codes, usable in videos]
        owner = np.repeat(np.arange(len(videos)), [2 * len(key) for key in keys])
        frame = np.concatenate([np.repeat(key, 2) for key in keys] or [np.empty(0, np.int64)])
        rows = [codes[key].reshape(-1, codes.shape[2]) for (codes, _), key in zip(videos, keys, strict=True)]
        if not len(frame):
            return
        left, right, _ = hamming.self_join(np.concatenate(rows), radius)
        across = owner[left] != owner[right]
        left, right = left[across], right[across]
        pair = owner[left] * len(videos) + owner[right]
        order = np.argsort(pair, kind="stable")
        starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
        for part in np.split(order, starts[1:]) if len(order) else ():
            a, b = divmod(int(pair[part[0]]), len(videos))
            i, j = np.unique(np.stack([frame[left[part]], frame[right[part]]]), axis=1)
            yield a, b, i, j

    def alike(self, a: NDArray[np.uint8], b: NDArray[np.uint8], level: int) -> NDArray[np.bool_]:
        """Of (m, 2, 32) each: the nearest of the four comparisons is near enough."""
        left, right = a.view(np.uint64)[:, :, None], b.view(np.uint64)[:, None]
        apart = np.bitwise_count(left ^ right).sum(axis=-1, dtype=np.int64)
        near: NDArray[np.bool_] = apart.min(axis=(1, 2)) <= self.radii[level][1]
        return near


@dataclass(frozen=True, slots=True)
class KinFrames:
    """The built-in network, on what lies inside the borders: tells crops, banners and mirrored copies as well.

    Of each picture the whole and its centre are looked at, and the centre of one is held against the whole of another.
    """

    name: str = "kin"
    # It does not mind a moment's movement: four pictures a second are as good as fifteen, and cost as much as PDQ's.
    every: int = 4
    # Cosines: for a vote, and along a line that votes gave. Frames of strangers reached 0.80, those cropped to 70 %
    # of either side 0.95 and more by their centre; neighbours in a still scene are 0.9 and more.
    cosines: tuple[tuple[float, float], ...] = ((0.83, 0.78), (0.88, 0.85), (0.93, 0.91), (0.97, 0.96))

    @property
    def levels(self) -> int:
        """One for each pair of cosines."""
        return len(self.cosines)

    def prints(self, pictures: Pictures, box: Box) -> Prints:
        """Values (n, 2, dim) float16, each part of length 1: of the whole and of its centre."""
        from imkin.prints import embedding

        parts = [reduce_box(pictures, each, side=embedding.card().side) for each in (box, _centre(box))]
        squares = np.stack(parts, axis=1).round().astype(np.uint8)
        values = [embedding.embed(np.repeat(each[..., None], 3, axis=3)) for each in squares]
        usable = pdq.quality(reduce_box(pictures, box, side=pdq.SAMPLES)) >= 100 * QUALITY_FLOOR
        return np.array(values, np.float16), usable

    def votes(self, videos: Sequence[Prints], level: int) -> Iterator[Vote]:
        """By brute force among frames that differ from the one before; of very many videos, among some of them."""
        limit = self.cosines[level][0]
        keys = [_changes(values[:, 0], usable, (1 + limit) / 2) for values, usable in videos]
        yield from _products(videos, keys, limit, parts=KIN_PARTS)

    def alike(self, a: Values, b: Values, level: int) -> NDArray[np.bool_]:
        """By the best cosine of whole to whole and of centre to whole."""
        left, right = a.astype(np.float32), b.astype(np.float32)
        cosine = np.max([np.einsum("ij,ij->i", left[:, x], right[:, y]) for x, y in KIN_PARTS], axis=0)
        near: NDArray[np.bool_] = cosine >= self.cosines[level][1]
        return near


@dataclass(frozen=True, slots=True)
class MovementFrames:
    """What has changed since half a second ago, inside the borders.

    Where a camera stands still, pictures are alike at any moment; what moves in them tells the moments apart, and so
    short stretches of a copy from other recordings.
    """

    name: str = "movement"
    every: int = 1
    # Cosines of changes: for a vote, and along a line that votes gave. Of lines between recordings of one camera the
    # best had 5 slots, of people who take the same way; trims of five seconds in which something moves 12 and more.
    cosines: tuple[tuple[float, float], ...] = ((0.95, 0.9),)

    @property
    def levels(self) -> int:
        """One for each pair of cosines."""
        return len(self.cosines)

    def prints(self, pictures: Pictures, box: Box) -> Prints:
        """Values (n, 1, MOVEMENT_SIDE ** 2) int8, of length BYTE; the first of a chunk are unusable."""
        small = reduce_box(pictures, box, side=MOVEMENT_SIDE)
        change = np.zeros_like(small)
        change[MOVEMENT_BACK:] = small[MOVEMENT_BACK:] - small[:-MOVEMENT_BACK]
        change = change.reshape(len(small), -1)
        size = np.linalg.norm(change, axis=1)
        usable = size >= MOVEMENT_LEAST * MOVEMENT_SIDE
        return np.rint(BYTE * change / np.maximum(size, 1e-9)[:, None]).astype(np.int8)[:, None], usable

    def votes(self, videos: Sequence[Prints], level: int) -> Iterator[Vote]:
        """By brute force; of very many videos, among some of their frames."""
        keys = [np.flatnonzero(usable) for _, usable in videos]
        yield from _products(videos, keys, self.cosines[level][0] * BYTE**2, parts=((0, 0),))

    def alike(self, a: Values, b: Values, level: int) -> NDArray[np.bool_]:
        """By their cosine."""
        product = np.einsum("ipj,ipj->i", a.astype(np.float32), b.astype(np.float32))
        near: NDArray[np.bool_] = product >= self.cosines[level][1] * BYTE**2
        return near


METHODS: tuple[FrameMethod, ...] = (PdqFrames(), KinFrames(), MovementFrames())


def _products(
    videos: Sequence[Prints], keys: Sequence[Indices], limit: float, *, parts: Sequence[tuple[int, int]]
) -> Iterator[Vote]:
    """Votes of the key frames of which one of these parts has at least this product with the other's part."""
    stride = max(1, math.ceil(sum(map(len, keys)) / MOST_VECTORS))
    keys = [key[::stride] for key in keys]
    rows = [values[key].astype(np.float32) for (values, _), key in zip(videos, keys, strict=True)]
    for a, b in combinations(range(len(videos)), 2):
        near = [rows[a][:, x] @ rows[b][:, y].T >= limit for x, y in parts]
        i, j = np.nonzero(np.logical_or.reduce(near))
        if len(i):
            some = slice(None, None, max(1, len(i) // MOST_VOTES))
            yield a, b, keys[a][i[some]], keys[b][j[some]]


def _changes(values: Values, usable: NDArray[np.bool_], limit: float) -> Indices:
    """Usable frames whose cosine to the one chosen before is below the limit."""
    keys: list[int] = []
    for at in np.flatnonzero(usable).tolist():
        if not keys or float(values[at].astype(np.float32) @ values[keys[-1]].astype(np.float32)) < limit:
            keys.append(at)
    return np.array(keys, np.int64)


def _centre(box: Box) -> Box:
    """The middle of a box, CENTRE of either side."""
    left, top, right, bottom = box
    across, down = (round((1 - CENTRE) / 2 * length) for length in (right - left, bottom - top))
    return left + across, top + down, right - across, bottom - down


def _keys(codes: NDArray[np.uint8], usable: NDArray[np.bool_], radius: int, most_pairs: int) -> Indices:
    """Usable frames that differ from the key before by half the radius, thinned out where most are alike anyway."""
    words = codes[:, 0].copy().view(np.uint64)
    keys: list[int] = []
    for at in np.flatnonzero(usable).tolist():
        if not keys or int(np.bitwise_count(words[at] ^ words[keys[-1]]).sum()) > radius // 2:
            keys.append(at)
    chosen = np.array(keys, np.int64)
    some = chosen[:: max(1, len(chosen) // 64)]
    near = np.bitwise_count(words[some][:, None] ^ words[chosen]).sum(axis=2, dtype=np.int64) <= radius
    own_pairs = near.mean() * len(chosen) ** 2 if len(chosen) else 0.0
    return chosen[:: max(1, int(np.ceil(np.sqrt(own_pairs / max(1, most_pairs)))))]


def reduce_box(pictures: Pictures, box: Box, *, side: int) -> NDArray[np.float64]:
    """(n, side, side) in 0..255: the mean of the area each value covers inside a box of each picture."""
    left, top, right, bottom = box
    part = pictures[:, top:bottom, left:right].astype(np.float64)
    return _areas(_areas(part, side).transpose(0, 2, 1), side).transpose(0, 2, 1)


def _areas(values: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """(n, parts, w): means of equal stretches of the h rows of (n, h, w), by differences of the running sum."""
    height = values.shape[1]
    running = np.zeros((len(values), height + 1, values.shape[2]))
    np.cumsum(values, axis=1, out=running[:, 1:])
    cuts = np.arange(parts + 1) * height
    whole, rest = cuts // parts, (cuts % parts) / parts
    beyond = np.minimum(whole, height - 1)
    sums = running[:, whole] + rest[:, None] * values[:, beyond]
    means: NDArray[np.float64] = np.diff(sums, axis=1) * (parts / height)
    return means
