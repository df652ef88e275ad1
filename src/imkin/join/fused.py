"""The similarity of `auto`: the probability that two records show one picture, and the join by it.

Three signals, and a logistic regression over them: the cosine of `kin` (whole to whole, and region to whole both
ways), the bits of PDQ's terms at the best of 8 turns, and how well one picture can be laid onto the other. The first
two are found for all pairs; the third is dear, and measured where they leave a doubt. Which pairs those are depends
on the two records alone, so that the join finds what comparing all pairs would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.join import align, hamming
from imkin.prints import TURNS
from imkin.prints.auto import Records
from imkin.types import Pairs

# What the signals weigh, as benchmarks/auto_fit.py finds it: of 34 kinds of edits of 100 photos that the network was
# not trained on, beside 400 such photos, where 1 pair in 400 shows one picture.
WHOLE, REGION, CODES, LAID, BIAS = 14.5, 31.6, 5.2, 15.7, -49.9
# PDQ's own limit; beyond it bits say nothing that counts.
RADIUS = 31
# What pairs of different photos reach when they are laid onto each other: taken for pairs that are not.
UNMEASURED = np.float32(0.6)
# 1 is for equal records alone.
MOST = np.float32(0.9999)

# A block of 512 × 8,192 pairs takes 4 matrices of 16 MB.
ROWS, COLUMNS = 512, 8192
LAID_AT_ONCE = 256

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signals:
    """What two records say of each other, for n pairs.

    base: (n,) float32, the log-odds without the laying. bits: (n,) int16, of 256, over RADIUS where they are too
    many. turn: (n,) int64, which turn of b has those bits. laid: (n,) float32, correlation, UNMEASURED where the pair
    is not in doubt.
    """

    base: Floats
    bits: NDArray[np.int16]
    turn: Indices
    laid: Floats

    @property
    def similarity(self) -> Floats:
        """(n,) float32 in 0..0.9999, of four decimals."""
        odds = self.base + np.float32(LAID) * self.laid
        return np.minimum(np.round(1 / (1 + np.exp(-odds.astype(np.float64))), 4).astype(np.float32), MOST)


def self_join(records: Records, threshold: float, *, jobs: int | None = None, label: Indices | None = None) -> Pairs:
    """All pairs with similarity ≥ threshold. Cost: 11 products of matrices (n, 256) and (256, n), and what is laid.

    label: (n,) only pairs whose labels differ.
    """
    left, right, _, _ = hashed = _hashed(records, jobs)
    found = list(_by_network(records, threshold))
    a = np.concatenate([left, *(part[0] for part in found)])
    b = np.concatenate([right, *(part[1] for part in found)])
    pairs = np.unique(np.stack([a, b], axis=1), axis=0)
    if label is not None:
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
    a, b = pairs[:, 0], pairs[:, 1]
    bits, turn = _bits_of(a, b, hashed, len(records))
    similar = np.empty(len(a), np.float32)
    chunks = [slice(at, at + LAID_AT_ONCE) for at in range(0, len(a), LAID_AT_ONCE)]

    def measure(part: slice) -> None:
        similar[part] = measured(records, records, a[part], b[part], bits[part], turn[part], threshold).similarity

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        list(pool.map(measure, chunks))
    keep = similar >= np.float32(threshold)
    return Pairs(a[keep], b[keep], similar[keep])


def similarities(a: Records, b: Records) -> Floats:
    """Similarity (n, m) float32 in 0..1 of each of n records to each of m; equal records are 1."""
    out = np.empty((len(a), len(b)), np.float32)
    for start in range(0, len(a), ROWS):
        for column in range(0, len(b), COLUMNS):
            rows, columns = slice(start, start + ROWS), slice(column, column + COLUMNS)
            out[rows, columns] = _block(a.take(np.arange(len(a))[rows]), b.take(np.arange(len(b))[columns]))
    return out


def measured(
    a: Records,
    b: Records,
    left: Indices,
    right: Indices,
    bits: NDArray[np.int16],
    turn: Indices,
    threshold: float = 0.0,
) -> Signals:
    """The signals of pairs (left of a, right of b). What cannot reach the threshold, however it lies, is not laid."""
    whole, region = _pair_cosines(a.vectors[left], b.vectors[right])
    base = log_odds(whole, region, bits)
    laid = np.full(len(left), UNMEASURED, np.float32)
    near = np.flatnonzero(bits <= RADIUS)
    laid[near] = _overlaid(a, b, left[near], right[near], turn[near])
    far = np.flatnonzero((bits > RADIUS) & in_doubt(base) & (base + LAID >= _odds(threshold)))
    if len(far):
        laid[far] = align.align(align.details(a.thumbs[left[far]]), align.details(b.thumbs[right[far]])).score
    return Signals(base, bits, turn, laid)


def log_odds(whole: Floats, region: Floats, bits: NDArray[np.int16]) -> Floats:
    """The log-odds without the laying: the linear part of the regression."""
    near = np.maximum(0, RADIUS + 1 - bits.astype(np.float32)) / np.float32(RADIUS + 1)
    return np.asarray(
        np.float32(WHOLE) * whole + np.float32(REGION) * region + np.float32(CODES) * near + np.float32(BIAS)
    )


def in_doubt(base: Floats) -> NDArray[np.bool_]:
    """Which pairs are laid onto each other: those that would be as likely as not to be copies if they fitted."""
    return np.asarray(base + np.float32(LAID) >= 0)


def _odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability))) if 0 < probability < 1 else np.inf * (2 * probability - 1)


def least_by_network(threshold: float) -> float:
    """What WHOLE · whole + REGION · region must be at least, if all else is as good as can be."""
    return _odds(min(threshold, float(MOST))) - BIAS - LAID - CODES


def nearest_turn(a: Records, b: Records, left: Indices, right: Indices) -> tuple[NDArray[np.int16], Indices]:
    """The fewest bits (n,) between pairs at any turn, and the turn of b that has them."""
    best, turns = np.full(len(left), 256, np.int16), np.zeros(len(left), np.int64)
    for t in range(TURNS):
        for x, y, turned in (
            (a.codes[left, 0], b.codes[right, t], t),
            (a.codes[left, t], b.codes[right, 0], inverse(t)),
        ):
            apart = np.bitwise_count(x ^ y).sum(axis=1, dtype=np.int16)
            better = apart < best
            best[better], turns[better] = apart[better], turned
    return best, turns


def inverse(t: int) -> int:
    """The turn that takes turn t back: a quarter turn its opposite, a mirrored one itself."""
    return -t % 4 if t < TURNS // 2 else t


def _overlaid(a: Records, b: Records, left: Indices, right: Indices, turn: Indices) -> Floats:
    if not len(left):
        return np.empty(0, np.float32)
    return align.overlay(align.details(a.thumbs[left]), align.details(b.thumbs[right]), turn)


def _pair_cosines(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Of pairs of vectors (n, regions, dim): whole to whole, and the best of region to whole both ways."""
    whole = np.einsum("nd,nd->n", a[:, 0], b[:, 0])
    forth = np.einsum("nrd,nd->nr", a[:, 1:], b[:, 0]).max(axis=1)
    back = np.einsum("nd,nrd->nr", a[:, 0], b[:, 1:]).max(axis=1)
    return whole, np.maximum(forth, back)


def _cosines(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """`_pair_cosines` of each of n with each of m: (n, m) twice."""
    whole = a[:, 0] @ b[:, 0].T
    region = np.full_like(whole, -1)
    for r in range(1, a.shape[1]):
        np.maximum(region, a[:, r] @ b[:, 0].T, out=region)
        np.maximum(region, a[:, 0] @ b[:, r].T, out=region)
    return whole, region


def _block(a: Records, b: Records) -> Floats:
    whole, region = _cosines(a.vectors, b.vectors)
    far = np.full(whole.shape, RADIUS + 1, np.int16)
    base = log_odds(whole, region, far)
    near = _near_codes(a.codes, b.codes)
    out = Signals(base, far, np.zeros(0, np.int64), np.full(1, UNMEASURED)).similarity
    left, right = np.nonzero(near | in_doubt(base))
    for start in range(0, len(left), ROWS * 8):
        i, j = left[start : start + ROWS * 8], right[start : start + ROWS * 8]
        out[i, j] = measured(a, b, i, j, *_capped(*nearest_turn(a, b, i, j))).similarity
    equal = a.digests.view(np.uint64)[:, None, 0] == b.digests.view(np.uint64)[None, :, 0]
    for i, j in zip(*np.nonzero(equal), strict=True):
        if _equal(a, b, int(i), int(j)):
            out[i, j] = 1.0
    return out


def _equal(a: Records, b: Records, i: int, j: int) -> bool:
    return all(
        np.array_equal(getattr(a, name)[i], getattr(b, name)[j])
        for name in ("digests", "codes", "thumbs", "colours", "vectors")
    )


def _capped(bits: NDArray[np.int16], turn: Indices) -> tuple[NDArray[np.int16], Indices]:
    """Bits over RADIUS say nothing, nor does their turn."""
    far = bits > RADIUS
    return np.where(far, np.int16(RADIUS + 1), bits), np.where(far, 0, turn)


def _near_codes(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of codes (n, 8, 32) and (m, 8, 32) are within RADIUS at any turn: (n, m)."""
    near = np.zeros((len(a), len(b)), bool)
    x, y = (np.ascontiguousarray(codes).view(np.uint64) for codes in (a, b))
    for t in range(TURNS):
        for left, right in ((x[:, 0], y[:, t]), (x[:, t], y[:, 0]))[: 1 if t == 0 else 2]:
            apart = np.zeros(near.shape, np.uint16)
            for word in range(left.shape[1]):
                apart += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
            near |= apart <= RADIUS
    return near


def _hashed(records: Records, jobs: int | None) -> tuple[Indices, Indices, NDArray[np.int16], Indices]:
    """Pairs within RADIUS at any turn: (left, right, bits, turn of right), each once, at its best turn."""
    upright = np.ascontiguousarray(records.codes[:, 0])
    found: list[tuple[NDArray[Any], ...]] = []
    for t in range(TURNS):
        if t == 0:
            a, b, bits = hamming.self_join(upright, RADIUS, jobs=jobs)
            found.append((a, b, bits, np.zeros(len(a), np.int64)))
            continue
        a, b, bits = hamming.cross_join(upright, np.ascontiguousarray(records.codes[:, t]), RADIUS, jobs=jobs)
        turned = np.where(a < b, t, inverse(t))
        keep = a != b
        found.append((np.minimum(a, b)[keep], np.maximum(a, b)[keep], bits[keep], turned[keep]))
    left, right, bits, turn = (np.concatenate([part[i] for part in found]) for i in range(4))
    order = np.lexsort((turn, bits, right, left))
    left, right, bits, turn = left[order], right[order], bits[order], turn[order]
    fresh = np.ones(len(left), bool)
    fresh[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return left[fresh], right[fresh], bits[fresh].astype(np.int16), turn[fresh]


def _bits_of(
    a: Indices, b: Indices, hashed: tuple[Indices, Indices, NDArray[np.int16], Indices], n: int
) -> tuple[NDArray[np.int16], Indices]:
    left, right, found, turned = hashed
    bits, turn = np.full(len(a), RADIUS + 1, np.int16), np.zeros(len(a), np.int64)
    keys = a * n + b
    known = np.isin(left * n + right, keys)
    at = np.searchsorted(keys, (left * n + right)[known])
    bits[at], turn[at] = found[known], turned[known]
    return bits, turn


def _by_network(records: Records, threshold: float) -> Iterator[tuple[Indices, Indices]]:
    """Pairs that could reach the threshold by what the network says of them, laid or not."""
    least = np.float32(_odds(threshold))
    vectors = records.vectors
    for start in range(0, len(vectors), ROWS):
        for column in range(start, len(vectors), COLUMNS):
            whole, region = _cosines(vectors[start : start + ROWS], vectors[column : column + COLUMNS])
            base = log_odds(whole, region, np.full(1, RADIUS + 1, np.int16))
            able = np.where(in_doubt(base), base + np.float32(LAID), base + np.float32(LAID) * UNMEASURED)
            # A hair of room: products of blocks of another shape differ in their last bits.
            a, b = np.nonzero(able >= least - np.float32(1e-3))
            keep = a + start < b + column
            yield a[keep] + start, b[keep] + column
