"""All pairs of codes at most so many bits apart: exact, in bounded memory, for any length and any radius."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.join.hamming_plan import KEY_BITS, Plan, Words
from imkin.join.hamming_tables import Emit, Index, runs, tasks_of

Codes = NDArray[np.uint8]
Joined = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]
Numbers = NDArray[np.uint32]
Found = tuple[Numbers, Numbers, NDArray[np.int16]]
# Elements of a ufunc's buffer. With numpy's 8192 it copies rows of 64 to 2048, which takes three times as long (2.4).
BUFFER = 512
# So few codes are compared with all others sooner than the others are sorted.
FEW_CODES = 256
# What all threads together may take beside the result, and what a table takes for each code.
WORKING_BYTES = 2 << 30
CODE_BYTES = 48


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
    bits = check(codes, codes, radius, plan, jobs)
    first, inverse = distinct(codes)
    words = to_words(codes if len(first) == len(codes) else codes[first])
    found = search(words, None, bits, radius, plan, jobs)
    if len(first) < len(codes):
        found = joined([with_copies(*found, inverse, inverse), inside_groups(inverse)])
    left, right, apart = found
    return in_order(np.minimum(left, right), np.maximum(left, right), apart, len(codes))


def cross_join(a: Codes, b: Codes, radius: int, *, jobs: int | None = None, plan: Plan | None = None) -> Joined:
    """All pairs (i of a, j of b) at most `radius` bits apart: (i, j, bits), sorted by (i, j); else as `self_join`.

    a: (n, nbytes) uint8. b: (m, nbytes) uint8.
    """
    bits = check(a, b, radius, plan, jobs)
    if plan is None and min(len(a), len(b)) <= FEW_CODES:
        return in_order(*search(to_words(a), to_words(b), bits, radius, Plan(), jobs), len(b))
    (first_a, inverse_a), (first_b, inverse_b) = distinct(a), distinct(b)
    left, right, apart = search(to_words(a[first_a]), to_words(b[first_b]), bits, radius, plan, jobs)
    if len(first_a) < len(a) or len(first_b) < len(b):
        left, right, apart = with_copies(left, right, apart, inverse_a, inverse_b)
    return in_order(left, right, apart, len(b))


def check(a: Codes, b: Codes, radius: int, plan: Plan | None, jobs: int | None) -> int:
    """Number of bits of the codes, after a look at the arguments."""
    for codes in (a, b):
        if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] != a.shape[1] or codes.shape[1] == 0:
            raise UsageError(f"codes must be (n, nbytes) uint8 of one length, not {codes.shape} {codes.dtype}")
        if len(codes) >= 1 << (64 - KEY_BITS):
            raise UsageError(f"at most 2**{64 - KEY_BITS} codes can be joined, not {len(codes)}")
    bits = 8 * int(a.shape[1])
    if not 0 <= radius <= bits:
        raise UsageError(f"radius must be 0..{bits} for codes of {bits} bits, not {radius}")
    if plan is not None and not (plan.covers(radius) and all(0 <= p.lo < p.hi <= bits for p in plan.blocks)):
        raise UsageError(f"the plan «{plan}» loses pairs of {bits}-bit codes within {radius} bits")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs must be 1 or more, not {jobs}")
    return bits


def to_words(codes: Codes) -> Words:
    """(w, n) uint64: the codes, padded with zeros to whole words, one word of all codes after the other."""
    n, nbytes = codes.shape
    if nbytes % 8:
        codes = np.pad(codes, ((0, 0), (0, -nbytes % 8)))
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint64).reshape(n, (nbytes + 7) // 8).T)


def search(a: Words, b: Words | None, bits: int, radius: int, plan: Plan | None, jobs: int | None) -> Found:
    """Pairs of distinct codes, in no order that matters, found by a pool of threads. b: None joins a with itself."""
    tasks = list(tasks_of(a, b, bits, radius, plan))
    affordable = WORKING_BYTES // (CODE_BYTES * (a.shape[1] + (0 if b is None else b.shape[1])) + 1)
    workers = max(1, min(jobs or os.cpu_count() or 1, len(tasks), affordable))
    if workers == 1:
        found = [collect(task) for task in tasks]
    else:
        with ThreadPoolExecutor(workers) as pool:
            try:
                found = list(pool.map(collect, tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # else an interrupt would wait for every table
                raise
    return joined(found)


def collect(task: Callable[[Emit], None]) -> Found:
    """What a task emits."""
    parts: list[Found] = []
    with np.errstate():  # which also gives back the buffer size
        np.setbufsize(BUFFER)
        task(lambda i, j, n: parts.append((i.astype(np.uint32), j.astype(np.uint32), n.astype(np.int16))))
    return joined(parts)


def joined(parts: list[Found]) -> Found:
    """Several arrays of pairs as one."""
    parts = [(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.int16)), *parts]
    left, right, apart = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return left, right, apart


def inside_groups(inverse: NDArray[np.int64]) -> Found:
    """All pairs of positions with equal values, no bits apart."""
    order = np.argsort(inverse, kind="stable")
    start, size = runs(inverse[order].astype(np.uint64))
    after = np.repeat(start + size, size) - np.arange(len(order)) - 1
    left = order[np.repeat(np.arange(len(order)), after)].astype(np.uint32)
    right = order[spans(np.arange(len(order)) + 1, after)].astype(np.uint32)
    return left, right, np.zeros(len(left), np.int16)


def spans(start: Index, count: Index) -> Index:
    """start[0], start[0]+1, … count[0] of them, then those of start[1], and so on."""
    before = np.cumsum(count) - count
    return np.repeat(start - before, count) + np.arange(int(count.sum()))


def with_copies(left: Numbers, right: Numbers, apart: NDArray[np.int16], inverse_a: Index, inverse_b: Index) -> Found:
    """Pairs of distinct codes, as pairs of all codes that equal them."""
    order_a, order_b = (np.argsort(inverse, kind="stable").astype(np.uint32) for inverse in (inverse_a, inverse_b))
    size_a, size_b = np.bincount(inverse_a), np.bincount(inverse_b)
    start_a, start_b = np.cumsum(size_a) - size_a, np.cumsum(size_b) - size_b
    times = size_a[left] * size_b[right]
    copied = np.flatnonzero(times > 1)
    at, turn = np.repeat(copied, times[copied]), spans(np.zeros(len(copied), np.intp), times[copied])
    row, col = np.divmod(turn, size_b[right[at]])
    single = np.flatnonzero(times == 1)
    return (
        np.concatenate([order_a[start_a[left[single]]], order_a[start_a[left[at]] + row]]),
        np.concatenate([order_b[start_b[right[single]]], order_b[start_b[right[at]] + col]]),
        np.concatenate([apart[single], apart[at]]),
    )


def in_order(left: Numbers, right: Numbers, apart: NDArray[np.int16], n: int) -> Joined:
    """The pairs sorted by (left, right). n: more than any right."""
    bits = 16
    if len(left) and (int(left.max()) + 1) * n < 1 << (63 - bits):
        packed = left.astype(np.int64)
        packed *= n
        packed += right
        packed <<= bits
        packed |= apart
        packed.sort()
        key = packed >> bits
        return key // n, key % n, (packed & ((1 << bits) - 1)).astype(np.int16)
    order = np.lexsort((right, left))
    return left[order].astype(np.int64), right[order].astype(np.int64), apart[order]
