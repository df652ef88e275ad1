"""The codes nearest one, exactly, without comparing all: multi-index hashing (Norouzi, Punjani and Fleet 2012).

Codes are cut into pieces of 16 bits, and a table for each piece knows which codes have which value there. Two codes
that differ in d of all bits differ in at most ⌊d / pieces⌋ bits of some piece: with growing distance the values near
the query's are looked up, piece by piece, until nothing nearer can be left. Where that would be more than a look at
all codes, as for far neighbours of long codes, it is that. The oracle is `metric.similarity`.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from imkin.join.ann import Flat

Positions = NDArray[np.int64]
Bits = NDArray[np.int64]

PIECE = 16
VALUES = 1 << PIECE
# Looking up a code costs about so many times as much as comparing it in passing (benchmarks/search_bits.py).
LOOK_UP = 100


class MultiIndex:
    """Tables over codes (n, bytes) uint8, an even number of bytes. For any number of threads.

    Memory: 4 bytes for each piece of each code, and the codes twice. Cost: 15 ms for each piece of a million.
    """

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._flat = Flat(codes)
        self._codes = np.ascontiguousarray(codes)
        pieces = self._codes.view(np.uint16)
        self._pieces = pieces.shape[1]
        orders = [np.argsort(pieces[:, at], kind="stable").astype(np.int32) for at in range(self._pieces)]
        counts = [np.bincount(pieces[:, at], minlength=VALUES) for at in range(self._pieces)]
        self._order = np.concatenate(orders)
        self._start = np.concatenate([[0], np.cumsum(np.concatenate(counts))])

    def __len__(self) -> int:
        return len(self._codes)

    def best(self, code: NDArray[np.uint8], count: int, *, most: int) -> tuple[Positions, Bits]:
        """The codes of at most `most` bits from `code`: all down to the `count`-th nearest, ties included, by bits.

        Of equally near ones the first come first.
        """
        code = np.ascontiguousarray(code)
        table = np.arange(self._pieces)[:, None] * VALUES
        spent, near = 0, 0
        kept = np.empty(0, np.int64)
        while True:
            ahead = comb(PIECE, near) * self._pieces * max(1, len(self) // VALUES)
            if (spent + ahead) * LOOK_UP > len(self):
                return self._all(code, count, most)
            found = self._bucket((table + (code.view(np.uint16)[:, None] ^ _masks(near))).ravel())
            spent += len(found)
            kept = np.unique(np.concatenate([kept, found]))
            apart = np.bitwise_count(self._codes[kept] ^ code).sum(axis=1, dtype=np.int64)
            kept, apart = kept[apart <= most], apart[apart <= most]
            # Whatever is this near has some piece among those that were looked up.
            whole = self._pieces * (near + 1) - 1
            if whole >= most or np.count_nonzero(apart <= whole) >= count:
                return _ranked(kept, apart, count)
            near += 1

    def _bucket(self, values: NDArray[np.int64]) -> Positions:
        """The codes with any of these values in the piece of their table, which is in the value."""
        first, after = self._start[values], self._start[values + 1]
        size = after - first
        ends = np.cumsum(size)
        found: Positions = self._order[np.arange(ends[-1]) + np.repeat(first - ends + size, size)].astype(np.int64)
        return found

    def _all(self, code: NDArray[np.uint8], count: int, most: int) -> tuple[Positions, Bits]:
        return _ranked(*self._flat.within(code, min(most, self._flat.reach(code, count))), count)


def _ranked(positions: Positions, bits: Bits, count: int) -> tuple[Positions, Bits]:
    order = np.lexsort((positions, bits))
    if len(order) > count:
        order = order[: np.searchsorted(bits[order], bits[order[count - 1]], side="right")]
    return positions[order], bits[order]


def _masks(ones: int) -> NDArray[np.uint16]:
    """All values of a piece with so many ones."""
    return np.array([sum(1 << at for at in some) for some in combinations(range(PIECE), ones)], np.uint16)
