"""The inner loops of the Hamming join: brute force by tiles, tables by buckets.

Every pair is emitted once, by the table that owns it, so nothing is collected but the result. A bucket too large to
be compared all with all is a join of its own, over the bits in which its codes still differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imkin.join.hamming_plan import (
    KEY_BITS,
    Bits,
    Plan,
    Table,
    Words,
    choose,
    measure,
    reordered,
    single_bits,
    take_bits,
)

Index = NDArray[np.intp]
Emit = Callable[[Index, Index, NDArray[np.uint16]], None]
"""Takes pairs: indices into the one side, into the other, and the number of bits between them."""
Hits = Callable[[Index, Index, Words], None]
"""Takes pairs: positions in the one side's order, in the other's, and how their first words differ."""

# Comparisons done at a time: the arrays of one step (1 MiB of uint64) stay in a core's second-level cache.
TILE = 1 << 17
# Rows of a brute-force tile, more where columns are few; its columns are the rest of TILE.
TILE_ROWS = 32
MOST_ROWS = 64
# Codes a brute-force task takes from one side.
STRIPE = 512
# A bucket of so many pairs is joined on its own. At most TILE.
HOT_PAIRS = 1 << 16
# Up to so many pairs brute force is done without looking for a plan.
FEW_PAIRS = 1 << 22
ODD = np.uint64(0x9E3779B97F4A7C15)


def tasks_of(a: Words, b: Words | None, bits: int, radius: int, plan: Plan | None) -> Iterator[Callable[[Emit], None]]:
    """The join of distinct codes in independent pieces. b: None joins a with itself. plan: None takes the best."""
    n, m = a.shape[1], 0 if b is None else b.shape[1]
    if n == 0 or (b is None and radius == 0) or (b is not None and m == 0):
        return
    pairs, words = n * n / 2 if b is None else float(n * m), len(a)
    if pairs > FEW_PAIRS:
        sample = measure([a] if b is None else [a, b], bits, radius=radius)
        plan, words = plan or choose(sample, radius, rows=n + m, pairs=pairs), sample.words
        if plan.blocks and sample.order is not None:
            a, b = reordered(a, sample.order), None if b is None else reordered(b, sample.order)
    if plan and plan.blocks:
        for table in plan.tables():
            yield partial(run_table, a, b, radius, table, words)
    elif b is not None and m < n:
        for start in range(0, m, STRIPE):
            yield partial(run_mirrored, a, b, radius, start, words)
    else:
        for start in range(0, n, STRIPE):
            yield partial(run_stripe, a, b, radius, start, words)


def run_stripe(a: Words, b: Words | None, radius: int, start: int, words: int, emit: Emit) -> None:
    """Compare codes start..start+STRIPE-1 of a with all of b, or with those of a that come after.

    Time is best where b is the larger.
    """
    others = a if b is None else b
    height = min(max(TILE_ROWS, min(TILE // others.shape[1], MOST_ROWS)), a.shape[1] - start)
    cols = TILE // height
    scratch = Scratch(words)

    def close(i: Index, j: Index, xor: Words) -> None:
        apart = ones(completed(xor, a, others, i, j))
        keep = apart <= radius
        if b is None:
            keep &= i < j
        if not keep.all():
            i, j, apart = i[keep], j[keep], apart[keep]
        if len(i):
            emit(i, j, apart)

    gathered = Gathered(close)
    for i0 in range(start, min(start + STRIPE, a.shape[1]), height):
        rows = a[:words, i0 : min(i0 + height, start + STRIPE), None]
        for j0 in range(i0 if b is None else 0, others.shape[1], cols):
            columns = others[:words, None, j0 : j0 + cols]
            near = scratch.near(rows, columns, radius)
            if len(near):
                i, j = np.divmod(near, columns.shape[2])
                gathered.add(i + i0, j + j0, scratch.xor[:, near])
    gathered.flush()


def run_mirrored(a: Words, b: Words, radius: int, start: int, words: int, emit: Emit) -> None:
    """Compare codes start..start+STRIPE-1 of b with all of a."""
    run_stripe(b, a, radius, start, words, lambda j, i, apart: emit(i, j, apart))


def completed(xor: Words, a: Words, b: Words, i: Index, j: Index) -> Words:
    """Differences (w, m) of a[:, i] and b[:, j], of which the first words are known."""
    if len(xor) == len(a):
        return xor
    return np.stack([*xor, *(a[k].take(i) ^ b[k].take(j) for k in range(len(xor), len(a)))])


def ones(xor: Words) -> NDArray[np.uint16]:
    """(m,) number of ones in each column of (w, m)."""
    total: NDArray[np.uint16] = np.bitwise_count(xor).sum(axis=0, dtype=np.uint16)
    return total


class Gathered:
    """Hands pairs over in a few large arrays, which costs less than in many small ones."""

    def __init__(self, hits: Hits) -> None:
        self.hits = hits
        self.parts: list[tuple[Index, Index, Words]] = []
        self.count = 0

    def add(self, i: Index, j: Index, xor: Words) -> None:
        """Take some pairs; hand over what is there once it is many."""
        self.parts.append((i, j, xor))
        self.count += len(i)
        if self.count >= TILE:
            self.flush()

    def flush(self) -> None:
        """Hand over what is there."""
        if self.parts:
            i, j, xor = (np.concatenate([part[k] for part in self.parts], axis=-1) for k in range(3))
            self.parts, self.count = [], 0
            self.hits(i, j, xor)


class Scratch:
    """Memory for one step of TILE comparisons: the differences, their ones, the sum over the words, its verdict."""

    def __init__(self, words: int) -> None:
        self.xor = np.empty((words, TILE), np.uint64)
        self.ones = np.empty(TILE, np.uint8)
        self.total = np.empty(TILE, np.uint8 if words < 4 else np.uint16)
        self.small = np.empty(TILE, bool)

    def near(self, a: Words, b: Words, radius: int) -> Index:
        """Flat positions, in a[k] and b[k] stretched to one matrix, where at most `radius` bits of all words k differ.

        The differences stay in `xor` until the next call.
        """
        shape = (max(a.shape[1], b.shape[1]), max(a.shape[2], b.shape[2]))
        size = shape[0] * shape[1]
        ones, total, small = self.ones[:size], self.total[:size], self.small[:size]
        for k in range(len(a)):
            xor = self.xor[k, :size]
            np.bitwise_xor(a[k], b[k], out=xor.reshape(shape))
            np.bitwise_count(xor, out=ones if k else total)
            if k:
                np.add(total, ones, out=total)
        np.less_equal(total, radius, out=small)
        return small.nonzero()[0]


@dataclass(frozen=True, slots=True)
class Side:
    """Codes of one set in buckets: bucket k is order[start[k] : start[k] + size[k]].

    codes: (w, n) the words to look at first, in that order.
    """

    order: Index
    codes: Words
    start: Index
    size: Index

    def only(self, which: Index) -> Side:
        """Some of the buckets."""
        return Side(self.order, self.codes, self.start[which], self.size[which])

    def members(self, bucket: int) -> Index:
        """The codes in a bucket."""
        return self.order[self.start[bucket] : self.start[bucket] + self.size[bucket]]


def bucketed(a: Words, b: Words | None, table: Table, words: int) -> tuple[Side, Side]:
    """Both sides of a table, bucket k of the one with the same key as bucket k of the other. b: None is a."""
    order_a, key_a = sorted_keys(a, table.kept)
    if b is None:
        left = Side(order_a, a[:words].take(order_a, axis=1), *runs(key_a))
        left = left.only(np.flatnonzero(left.size > 1))
        return left, left
    order_b, key_b = sorted_keys(b, table.kept)
    right = Side(order_b, b[:words].take(order_b, axis=1), *runs(key_b))
    keys = key_b[right.start]
    start = np.searchsorted(key_a, keys, side="left")
    size = np.searchsorted(key_a, keys, side="right") - start
    met = np.flatnonzero(size)
    return Side(order_a, a[:words].take(order_a, axis=1), start[met], size[met]), right.only(met)


def run_table(a: Words, b: Words | None, radius: int, table: Table, words: int, emit: Emit) -> None:
    """Emit the table's pairs: those in one bucket that it owns."""
    others = a if b is None else b
    left, right = bucketed(a, b, table, words)

    def owned(i: Index, j: Index, xor: Words) -> None:
        if len(xor) == len(a):
            mine = table.owned(xor)
            i, j, xor = left.order[i[mine]], right.order[j[mine]], xor[:, mine]
        else:
            i, j = left.order[i], right.order[j]
            xor = completed(xor, a, others, i, j)
            within = np.flatnonzero(ones(xor) <= radius)
            mine = within[table.owned(xor[:, within])]
            i, j, xor = i[mine], j[mine], xor[:, mine]
        if len(i):
            emit(i, j, ones(xor))

    pairs = left.size * right.size if b is not None else left.size * (left.size - 1) // 2
    for bucket in np.flatnonzero(pairs >= HOT_PAIRS).tolist():
        run_bucket(a, b, left.members(bucket), right.members(bucket), radius, table, emit)
    cold = pairs < HOT_PAIRS
    if b is None:
        some = left.only(np.flatnonzero(cold))
        compare(some, some, radius, owned, within=True)
    else:
        larger = left.size >= right.size
        one, two = np.flatnonzero(cold & larger), np.flatnonzero(cold & ~larger)
        compare(left.only(one), right.only(one), radius, owned)
        compare(right.only(two), left.only(two), radius, lambda j, i, xor: owned(i, j, xor))


def compare(tall: Side, short: Side, radius: int, hits: Hits, *, within: bool = False) -> None:
    """Compare the codes in each bucket of `tall` with those of the same bucket of `short`.

    Buckets of like sizes are stood side by side, rank by rank, so that one step compares the q-th code of each
    short bucket with all codes of the tall one. within: both sides are one, and each pair is wanted once.
    Of each two buckets the product of sizes is at most TILE; time is best where the tall one is the larger.
    """
    scratch = Scratch(len(tall.codes))
    by_size = np.argsort(tall.size.astype(np.uint32), kind="stable")[::-1]
    gathered, done = Gathered(hits), 0
    while done < len(by_size):
        rows = int(tall.size[by_size[done]])
        some = by_size[done : done + max(1, TILE // rows)]
        done += len(some)
        some = some[np.argsort(-short.size[some], kind="stable")]
        first, other, heights, lengths = tall.start[some], short.start[some], tall.size[some], short.size[some]
        tile = tall.codes.take(first + np.arange(rows)[:, None], axis=1, mode="clip")
        for rank in range(int(within), int(lengths[0])):
            cols = int(np.count_nonzero(lengths > rank))
            line = tile[:, rank, :cols] if within else short.codes.take(other[:cols] + rank, axis=1)
            near = scratch.near(tile[:, : rank if within else rows, :cols], line[:, None, :], radius)
            if len(near) == 0:
                continue
            row, col = np.divmod(near, cols)
            if not within:
                real = row < heights[col]
                near, row, col = near[real], row[real], col[real]
            gathered.add(first[col] + row, other[col] + rank, scratch.xor[:, near])
    gathered.flush()


def sorted_keys(words: Words, kept: tuple[Bits, ...]) -> tuple[Index, Words]:
    """The codes' order by key, and the keys in that order. Equal bits have equal keys, not always the reverse."""
    n = words.shape[1]
    key, folded = np.zeros(n, np.uint64), sum(hi - lo for lo, hi in kept) > KEY_BITS
    for lo, hi in kept:
        for at in range(lo, hi, 64):
            piece = (at, min(at + 64, hi))
            if folded:
                key = (key ^ (key >> np.uint64(29))) * ODD
            else:
                key <<= np.uint64(piece[1] - piece[0])
            key += take_bits(words, piece)
    if folded:
        key = ((key ^ (key >> np.uint64(32))) * ODD) >> np.uint64(64 - KEY_BITS)
    # One sort of numbers is three times faster than an argsort.
    key <<= np.uint64(64 - KEY_BITS)
    key |= np.arange(n, dtype=np.uint64)
    key.sort()
    order = (key & np.uint64((1 << (64 - KEY_BITS)) - 1)).astype(np.intp)
    key >>= np.uint64(64 - KEY_BITS)
    return order, key


def runs(key: Words) -> tuple[Index, Index]:
    """Start and length of each run of equal values."""
    edges = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1, [len(key)]])
    return edges[:-1], np.diff(edges)


def run_bucket(a: Words, b: Words | None, in_a: Index, in_b: Index, radius: int, table: Table, emit: Emit) -> None:
    """Join the codes of one bucket over the bits in which they differ; emit the pairs that the table owns."""
    others = a if b is None else b
    part_a = a.take(in_a, axis=1)
    part_b = None if b is None else b.take(in_b, axis=1)
    bits = 64 * len(a)
    if len(in_a) * len(in_b) > FEW_PAIRS:
        varying = np.bitwise_or.reduce(part_a ^ part_a[:, :1], axis=1)
        if part_b is not None:
            varying |= np.bitwise_or.reduce(part_b ^ part_a[:, :1], axis=1)
        places = np.flatnonzero(single_bits(varying[:, None]))
        if len(places):
            bits, part_a = len(places), reordered(part_a, places)
            part_b = None if part_b is None else reordered(part_b, places)

    def owned(i: Index, j: Index, apart: NDArray[np.uint16]) -> None:
        i, j = in_a[i], in_b[j]
        mine = table.owned(a.take(i, axis=1) ^ others.take(j, axis=1))
        if len(mine):
            emit(i[mine], j[mine], apart[mine])

    for task in tasks_of(part_a, part_b, bits, radius, None):
        task(owned)
