"""All pairs of codes at most so many bits apart: exact, in bounded memory, for any length and any radius.

The plan (which tables, or brute force) comes from `hamming_plan`. A table sorts the codes by its key and compares
inside the buckets; a bucket too large for that is a join of its own over the bits in which its codes still differ.
Every pair is emitted once, by the table that owns it, so nothing is collected but the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.join.hamming_plan import Bits, Plan, Table, Words, choose, measure, take_bits

Codes = NDArray[np.uint8]
Index = NDArray[np.intp]
Emit = Callable[[Index, Index, NDArray[np.uint16]], None]
"""Takes pairs: indices into the one side, into the other, and the number of bits between them."""
Joined = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]

# Comparisons done at a time: the arrays of one step (512 KiB of uint64) stay in a core's second-level cache.
TILE = 1 << 16
# Rows of a brute-force tile; its columns are the rest of TILE.
TILE_ROWS = 16
# Neighbouring probes that are handled together, so that the codes they are compared with stay in the cache.
WINDOW = 1 << 15
# A bucket of so many pairs is joined on its own. At most TILE, and 1 << 16 for `compare` sorts counts as uint16.
HOT_PAIRS = 1 << 16
# Below this many pairs brute force is done before a plan is made.
FEW_PAIRS = 1 << 20
# Codes a brute-force task takes from one side.
STRIPE = 2048
ODD = np.uint64(0x9E3779B97F4A7C15)


def distinct(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct codes: (first, inverse), with codes[first][inverse] equal to codes.

    codes: (n, nbytes) uint8. first: (u,) int64, where each distinct code occurs first, ascending.
    inverse: (n,) int64, positions in first. O(n log n).
    """
    words = to_words(codes)
    n = words.shape[1]
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.argsort(words[0], kind="stable") if len(words) == 1 else np.lexsort(words)
    edge = np.ones(n, bool)
    edge[1:] = False
    for word in words:
        ordered = word[order]
        edge[1:] |= ordered[1:] != ordered[:-1]
    # Both sorts are stable, so the first of a run is the first of the input.
    leaders = order[edge]
    rank = np.empty(len(leaders), np.int64)
    rank[np.argsort(leaders)] = np.arange(len(leaders))
    inverse = np.empty(n, np.int64)
    inverse[order] = rank[np.cumsum(edge) - 1]
    return np.sort(leaders).astype(np.int64), inverse


def self_join(codes: Codes, radius: int, *, jobs: int | None = None, plan: Plan | None = None) -> Joined:
    """All pairs of codes at most `radius` bits apart: (left, right, bits), exactly those that brute force finds.

    codes: (n, nbytes) uint8. left < right: (m,) int64, sorted by (left, right), unique. bits: (m,) int16.
    jobs: threads, all cores by default; the result does not depend on it. plan: forces one (see `hamming_plan`).
    k equal codes are k * (k - 1) / 2 pairs of the result: where that may be many, join codes[first] of `distinct`.
    Raises UsageError for codes that are no such array, or a radius outside 0..bits.
    """
    bits = check(codes, codes, radius, plan)
    first, inverse = distinct(codes)
    words = to_words(codes if len(first) == len(codes) else codes[first])
    left, right, apart = search(words, None, bits, radius, plan, jobs)
    if len(first) < len(codes):
        left, right, apart = with_copies(left, right, apart, inverse, inverse)
        inner_left, inner_right = inside_groups(inverse)
        left, right = np.concatenate([left, inner_left]), np.concatenate([right, inner_right])
        apart = np.concatenate([apart, np.zeros(len(inner_left), np.int16)])
    return in_order(np.minimum(left, right), np.maximum(left, right), apart, len(codes))


def cross_join(a: Codes, b: Codes, radius: int, *, jobs: int | None = None, plan: Plan | None = None) -> Joined:
    """All pairs (i of a, j of b) at most `radius` bits apart: (i, j, bits), sorted by (i, j); else as `self_join`.

    a: (n, nbytes) uint8. b: (m, nbytes) uint8.
    """
    bits = check(a, b, radius, plan)
    (first_a, inverse_a), (first_b, inverse_b) = distinct(a), distinct(b)
    left, right, apart = search(to_words(a[first_a]), to_words(b[first_b]), bits, radius, plan, jobs)
    if len(first_a) < len(a) or len(first_b) < len(b):
        left, right, apart = with_copies(left, right, apart, inverse_a, inverse_b)
    return in_order(left, right, apart, len(b))


def check(a: Codes, b: Codes, radius: int, plan: Plan | None) -> int:
    """Number of bits of the codes, after a look at the arguments."""
    for codes in (a, b):
        if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] != a.shape[1] or codes.shape[1] == 0:
            raise UsageError(f"codes must be (n, nbytes) uint8 of one length, not {codes.shape} {codes.dtype}")
    bits = 8 * int(a.shape[1])
    if not 0 <= radius <= bits:
        raise UsageError(f"radius must be 0..{bits} for codes of {bits} bits, not {radius}")
    if plan is not None and not (plan.covers(radius) and all(0 <= p.lo < p.hi <= bits for p in plan.blocks)):
        raise UsageError(f"the plan «{plan}» loses pairs of {bits}-bit codes within {radius} bits")
    return bits


def to_words(codes: Codes) -> Words:
    """(w, n) uint64: the codes, padded with zeros to whole words, one word of all codes after the other."""
    n, nbytes = codes.shape
    if nbytes % 8:
        codes = np.pad(codes, ((0, 0), (0, -nbytes % 8)))
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint64).reshape(n, (nbytes + 7) // 8).T)


def search(
    a: Words, b: Words | None, bits: int, radius: int, plan: Plan | None, jobs: int | None
) -> tuple[Index, Index, NDArray[np.int16]]:
    """Pairs of distinct codes, in no order that matters, found by a pool of threads. b: None joins a with itself."""
    tasks = list(tasks_of(a, b, bits, radius, plan))
    workers = max(1, min(jobs or os.cpu_count() or 1, len(tasks)))
    if workers == 1:
        found = [collect(task) for task in tasks]
    else:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(collect, tasks))
    left, right, apart = (np.concatenate([f[k] for f in found] or [np.empty(0, np.intp)]) for k in range(3))
    return left, right, apart.astype(np.int16)


def collect(task: Callable[[Emit], None]) -> tuple[NDArray[np.generic], ...]:
    """What a task emits, as three arrays."""
    parts: list[tuple[Index, Index, NDArray[np.uint16]]] = [
        (np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.uint16))
    ]
    task(lambda left, right, apart: parts.append((left, right, apart)))
    return tuple(np.concatenate([part[k] for part in parts]) for k in range(3))


def tasks_of(a: Words, b: Words | None, bits: int, radius: int, plan: Plan | None) -> Iterable[Callable[[Emit], None]]:
    """The join in independent pieces."""
    n, m = a.shape[1], (a if b is None else b).shape[1]
    pairs = n * m / (2 if b is None else 1)
    if pairs == 0 or (b is None and (n < 2 or radius == 0)):
        return
    union = a if b is None or pairs <= FEW_PAIRS else np.concatenate([a, b], axis=1)
    if plan is None and pairs <= FEW_PAIRS:
        plan, sample = Plan(), None
    else:
        sample = measure(union, bits, radius=radius)
        rows = n if b is None else n + m
        plan = plan or choose(sample, radius, rows=rows, pairs=pairs)
    words = len(a) if sample is None else sample.words
    if plan.blocks:
        for table in plan.tables():
            yield partial(run_table, a, b, radius, table, words)
    else:
        for start in range(0, n, STRIPE):
            yield partial(run_stripe, a, b, radius, start, words)


def run_stripe(a: Words, b: Words | None, radius: int, start: int, words: int, emit: Emit) -> None:
    """Compare codes start..start+STRIPE-1 of a with all of b, or with those of a that come after."""
    others = a if b is None else b
    cols = TILE // TILE_ROWS
    buffers = scratch(words)
    for i0 in range(start, min(start + STRIPE, a.shape[1]), TILE_ROWS):
        rows = a[:, i0 : min(i0 + TILE_ROWS, start + STRIPE)]
        for j0 in range(i0 if b is None else 0, others.shape[1], cols):
            columns = others[:, j0 : j0 + cols]
            hits = near(rows[:words, :, None], columns[:words, None, :], radius, buffers)
            if len(hits) == 0:
                continue
            i, j = np.divmod(hits, columns.shape[1])
            i, j = i + i0, j + j0
            if b is None:
                i, j = i[i < j], j[i < j]
            apart = np.bitwise_count(a[:, i] ^ others[:, j]).sum(axis=0, dtype=np.uint16)
            keep = apart <= radius
            emit(i[keep], j[keep], apart[keep])


def scratch(words: int) -> tuple[Words, NDArray[np.uint8], NDArray[np.uint16 | np.uint8], NDArray[np.bool_]]:
    """Memory for `near`: a difference, its ones, their sum over the words, and whether it is small."""
    total = np.uint8 if words < 4 else np.uint16
    return np.empty(TILE, np.uint64), np.empty(TILE, np.uint8), np.empty(TILE, total), np.empty(TILE, bool)


def near(a: Words, b: Words, radius: int, buffers: tuple[NDArray[np.generic], ...]) -> Index:
    """Flat positions, in the broadcast of a[k] and b[k], where at most `radius` bits of all words k differ."""
    shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
    size = shape[0] * shape[1]
    xor, ones, total, small = (buffer[:size].reshape(shape) for buffer in buffers)
    for k in range(len(a)):
        np.bitwise_xor(a[k], b[k], out=xor)
        np.bitwise_count(xor, out=ones if k else total)
        if k:
            np.add(total, ones, out=total)
    np.less_equal(total, radius, out=small)
    return np.flatnonzero(small) if small.any() else np.empty(0, np.intp)


def run_table(a: Words, b: Words | None, radius: int, table: Table, words: int, emit: Emit) -> None:
    """Emit the table's pairs: those in one bucket that it owns."""
    others = a if b is None else b

    def owned(i: Index, j: Index) -> None:
        xor = a[:, i] ^ others[:, j]
        apart = np.bitwise_count(xor).sum(axis=0, dtype=np.uint16)
        if words < len(a):
            keep = apart <= radius
            i, j, xor, apart = i[keep], j[keep], xor[:, keep], apart[keep]
        mine = table.owned(xor)
        if len(mine):
            emit(i[mine], j[mine], apart[mine])

    index_bits = max(a.shape[1], others.shape[1]).bit_length()
    order_a, key_a = sorted_keys(a, table.kept, index_bits)
    start_a, size_a = runs(key_a)
    if b is None:
        order_b, start_b, size_b = order_a, start_a, size_a
        hot = np.flatnonzero(size_a * (size_a - 1) // 2 >= HOT_PAIRS)
    else:
        order_b, key_b = sorted_keys(b, table.kept, index_bits)
        start_b, size_b = runs(key_b)
        keys = key_b[start_b]
        start_a = np.searchsorted(key_a, keys, side="left")
        size_a = np.searchsorted(key_a, keys, side="right") - start_a
        hot = np.flatnonzero(size_a * size_b >= HOT_PAIRS)
    for bucket in hot.tolist():
        members_a = order_a[start_a[bucket] : start_a[bucket] + size_a[bucket]]
        members_b = None if b is None else order_b[start_b[bucket] : start_b[bucket] + size_b[bucket]]
        run_bucket(a, b, members_a, members_b, radius, owned)
    many = size_a.copy()
    many[hot] = 0
    position = np.arange(len(order_b))
    begin, count = np.repeat(start_a, size_b), np.repeat(many, size_b)
    if b is None:
        count = np.where(count > 0, begin + count - position - 1, 0)
        begin = position + 1
    probes = np.flatnonzero(count)
    codes_a = a[:words, order_a]
    codes_b = codes_a if b is None else others[:words, order_b]
    compare(codes_a, codes_b, probes, begin[probes], count[probes], radius, lambda i, j: owned(order_a[i], order_b[j]))


def sorted_keys(words: Words, kept: tuple[Bits, ...], index_bits: int) -> tuple[Index, Words]:
    """The codes' order by key, and the keys in that order. Equal bits have equal keys, not always the reverse.

    index_bits: enough for the number of codes; keys can be compared with those made with the same.
    """
    n = words.shape[1]
    limit = 64 - index_bits
    key, width = np.zeros(n, np.uint64), sum(hi - lo for lo, hi in kept)
    for lo, hi in kept:
        for at in range(lo, hi, 64):
            piece = (at, min(at + 64, hi))
            if width <= limit:
                key <<= np.uint64(piece[1] - piece[0])
            else:
                key = (key ^ (key >> np.uint64(29))) * ODD
            key += take_bits(words, piece)
    if width > limit:
        key = ((key ^ (key >> np.uint64(32))) * ODD) >> np.uint64(index_bits)
    # One sort of numbers is three times faster than an argsort.
    key <<= np.uint64(index_bits)
    key |= np.arange(n, dtype=np.uint64)
    key.sort()
    order = (key & np.uint64((1 << index_bits) - 1)).astype(np.intp)
    key >>= np.uint64(index_bits)
    return order, key


def runs(key: Words) -> tuple[Index, Index]:
    """Start and length of each run of equal values."""
    edges = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1, [len(key)]])
    return edges[:-1], np.diff(edges)


def run_bucket(
    a: Words, b: Words | None, in_a: Index, in_b: Index | None, radius: int, owned: Callable[[Index, Index], None]
) -> None:
    """Join the codes of one bucket over the bits in which they differ."""
    part_a = a[:, in_a]
    part_b = None if b is None or in_b is None else b[:, in_b]
    varying = np.bitwise_or.reduce(part_a ^ part_a[:, :1], axis=1)
    if part_b is not None:
        varying |= np.bitwise_or.reduce(part_b ^ part_a[:, :1], axis=1)
    places = np.flatnonzero(np.unpackbits(varying.astype("<u8").view(np.uint8), bitorder="little"))
    if len(places) == 0:
        part_a = part_a[:1]
        part_b = None if part_b is None else part_b[:1]
    else:
        part_a = reordered(part_a, places)
        part_b = None if part_b is None else reordered(part_b, places)
    right = in_a if in_b is None else in_b
    for task in tasks_of(part_a, part_b, max(len(places), 1), radius, None):
        task(lambda i, j, _apart: owned(in_a[i], right[j]))


def reordered(words: Words, places: Index) -> Words:
    """Codes made of the bits at the given places, in that order."""
    out = np.zeros(((len(places) + 63) // 64, words.shape[1]), np.uint64)
    for to, place in enumerate(places.tolist()):
        bit = (words[place // 64] >> np.uint64(place % 64)) & np.uint64(1)
        out[to // 64] |= bit << np.uint64(to % 64)
    return out


def compare(
    a: Words,
    b: Words,
    probes: Index,
    begin: Index,
    count: Index,
    radius: int,
    found: Callable[[Index, Index], None],
) -> None:
    """Compare code probes[k] of b with codes begin[k] .. begin[k]+count[k]-1 of a, count[k] below HOT_PAIRS."""
    buffers = scratch(len(a))
    for at in range(0, len(probes), WINDOW):
        # Probes of like counts make rectangles with little waste.
        by_count = at + np.argsort(count[at : at + WINDOW].astype(np.uint16), kind="stable")[::-1]
        done = 0
        while done < len(by_count):
            rows = int(count[by_count[done]])
            some = by_count[done : done + max(1, TILE // rows)]
            done += len(some)
            targets = begin[some] + np.arange(rows)[:, None]
            hits = near(a.take(targets, axis=1, mode="clip"), b[:, None, probes[some]], radius, buffers)
            if len(hits):
                row, col = np.divmod(hits, len(some))
                real = row < count[some[col]]
                row, col = row[real], col[real]
                found(begin[some[col]] + row, probes[some[col]])


def inside_groups(inverse: NDArray[np.int64]) -> tuple[Index, Index]:
    """All pairs of positions with equal values."""
    order = np.argsort(inverse, kind="stable")
    start, size = runs(inverse[order].astype(np.uint64))
    after = np.repeat(start + size, size) - np.arange(len(order)) - 1
    return order[np.repeat(np.arange(len(order)), after)], order[spans(np.arange(len(order)) + 1, after)]


def spans(start: Index, count: Index) -> Index:
    """start[0], start[0]+1, … count[0] of them, then those of start[1], and so on."""
    before = np.cumsum(count) - count
    return np.repeat(start - before, count) + np.arange(int(count.sum()))


def with_copies(
    left: Index, right: Index, apart: NDArray[np.int16], inverse_a: Index, inverse_b: Index
) -> tuple[Index, Index, NDArray[np.int16]]:
    """Pairs of distinct codes, as pairs of all codes that equal them."""
    (order_a, order_b) = (np.argsort(inverse, kind="stable") for inverse in (inverse_a, inverse_b))
    size_a, size_b = np.bincount(inverse_a), np.bincount(inverse_b)
    start_a, start_b = np.cumsum(size_a) - size_a, np.cumsum(size_b) - size_b
    of_left = np.repeat(np.arange(len(left)), size_a[left])
    all_left = order_a[spans(start_a[left], size_a[left])]
    rights = right[of_left]
    all_right = order_b[spans(start_b[rights], size_b[rights])]
    again = np.repeat(np.arange(len(of_left)), size_b[rights])
    return all_left[again], all_right, apart[of_left[again]]


def in_order(left: Index, right: Index, apart: NDArray[np.int16], n: int) -> Joined:
    """The pairs sorted by (left, right). n: more than any right."""
    bits = 16
    if len(left) and (int(left.max()) + 1) * n < 1 << (63 - bits):
        packed = ((left * n + right) << bits) | apart
        packed.sort()
        key = packed >> bits
        return key // n, key % n, (packed & ((1 << bits) - 1)).astype(np.int16)
    order = np.lexsort((right, left))
    return left[order].astype(np.int64), right[order].astype(np.int64), apart[order]
