"""The join of `vote`: pairs of which at least two of three hashes are near.

The limit of 19 of 64 bits is too wide for any index (a third of the bits may differ), so every pair is looked at,
in blocks: 1.5 ns a hash and pair, two hashes deciding most pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.types import Pairs

PARTS = 3
# Rows of a block and columns of its strips: 3 strips of 64 × 8,192 distances stay in the second-level cache.
ROWS, COLUMNS = 64, 8192


def self_join(codes: NDArray[np.uint8], radius: int, *, jobs: int | None = None) -> Pairs:
    """All pairs whose second smallest distance of three is at most radius.

    codes: (n, 24) uint8, ahash | dhash | phash or any three hashes of 64 bits. similarity: of that distance.
    """
    left, right, bits = cross_join(codes, codes, radius, jobs=jobs, above=True)
    return Pairs(left, right, (1 - bits / 64).astype(np.float32))


def cross_join(
    a: NDArray[np.uint8], b: NDArray[np.uint8], radius: int, *, jobs: int | None = None, above: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]:
    """All (i of a, j of b, second smallest distance) within radius, sorted; above: only those with i < j."""
    words = [np.ascontiguousarray(codes).view(np.uint64).T.copy() for codes in (a, b)]
    blocks = range(0, len(a), ROWS)
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        found = list(pool.map(lambda start: _block(words[0], words[1], start, radius, above=above), blocks))
    left, right, bits = (np.concatenate([part[i] for part in found] or [np.empty(0, np.int64)]) for i in range(3))
    order = np.lexsort((right, left))
    return left[order], right[order], bits[order]


def _block(
    a: NDArray[np.uint64], b: NDArray[np.uint64], start: int, radius: int, *, above: bool
) -> tuple[NDArray[Any], ...]:
    parts = list(_strips(a[:, start : start + ROWS, None], b, start, radius, above=above))
    left, right, bits = (np.concatenate([part[i] for part in parts] or [np.empty(0, np.int64)]) for i in range(3))
    return left, right, bits


def _strips(
    rows: NDArray[np.uint64], b: NDArray[np.uint64], start: int, radius: int, *, above: bool
) -> Iterator[tuple[NDArray[Any], ...]]:
    for column in range(start if above else 0, b.shape[1], COLUMNS):
        distance = np.bitwise_count(rows ^ b[:, None, column : column + COLUMNS])
        near = np.add.reduce(distance <= radius, axis=0, dtype=np.uint8) >= PARTS - 1
        i, j = np.nonzero(near)
        if above:
            keep = i + start < j + column
            i, j = i[keep], j[keep]
        yield i + start, j + column, np.sort(distance[:, i, j], axis=0)[1].astype(np.int16)
