"""Similarity of every pair, slow and obvious: the oracle of every join.

One function for every kind of fingerprint; 1 means the same, 0 nothing in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.prints import turn_parts
from imkin.types import Prints

Values = NDArray[Any]
Matrix = NDArray[np.float32]

# Pairs looked at together: their distances stay in the processor's cache.
BLOCK_PAIRS = 1 << 18
VOTES_NEEDED = 2


def similarity(a: Prints, b: Prints) -> Matrix:
    """Similarity (n, m) float32 in 0..1 of each of n fingerprints to each of m, whatever their quality.

    bytes: 1 if equal, else 0. bits: 1 - different bits / all bits; of `parts` hashes the second largest;
    with `turns` the largest of one upright against the other's turns, both ways.
    unit vector: the cosine, 0 where negative; with `regions` as `_regional`. gray image: `metric_ssim.similarity`.
    record: `join.fused.similarities`.
    UsageError: the specs' ids differ. Cost: 10,000 x 10,000 of 256 bits take 0.5 GB and a few seconds.
    """
    if a.spec.id != b.spec.id:
        raise UsageError(f"fingerprints of `{a.spec.id}` and of `{b.spec.id}` cannot be compared; make both alike")
    measure, left, right = _measure(a, b)
    out = np.empty((len(a), len(b)), np.float32)
    for rows in _blocks(len(a), len(b)):
        out[rows] = measure(left[rows], right)
    return out


def _measure(a: Prints, b: Prints) -> tuple[Callable[[Values, Values], Values], Values, Values]:
    """The function of two blocks of values that gives their similarities, and both values in the form it takes."""
    match a.spec.kind:
        case "bytes":
            return _equal, a.values, b.values
        case "unit vector":
            regions, cost = int(str(a.spec.params.get("regions", 1))), float(str(a.spec.params.get("region_cost", 0.0)))
            parts_a, parts_b = (_normed(x.values.reshape(len(x), regions, x.spec.dim // regions)) for x in (a, b))
            return lambda left, right: _regional(left, right, cost), parts_a, parts_b
        case "record":
            from imkin.join.fused import similarities
            from imkin.prints.auto import unpack

            return lambda left, right: similarities(unpack(left), unpack(right)), a.values, b.values
        case "gray image":
            return _structural, a.values, b.values
        case "bits":
            parts = cast(int, a.spec.params.get("parts", 1))
            turned = [turn_parts(x) for x in (a, b)]
            left, right = (x.reshape(*x.shape[:2], parts, x.shape[2] // parts) for x in turned)
            return _turned, left, right


def _blocks(n: int, m: int) -> Iterator[slice]:
    step = max(1, BLOCK_PAIRS // max(1, m))
    return (slice(first, first + step) for first in range(0, n, step))


def _equal(a: Values, b: Values) -> Values:
    same = np.ones((len(a), len(b)), bool)
    for k in range(a.shape[1]):
        same &= a[:, None, k] == b[None, :, k]
    return same


def _normed(values: Values) -> Values:
    """Vectors (…, dim) as float64 of length 1, so that the same one is 1 alike and not 0.9999999; zero stays zero."""
    exact = values.astype(np.float64)
    length = np.linalg.norm(exact, axis=-1, keepdims=True)
    unit: Values = np.divide(exact, length, out=np.zeros_like(exact), where=length > 0)
    return unit


def _regional(a: Values, b: Values, cost: float) -> Values:
    """Of values (n, regions, dim) and (m, regions, dim), the whole first: the best of the cosine of both wholes, and
    of a whole and a region, `cost` off, both ways.

    Two regions are never compared: parts of different pictures look alike too often.
    """
    best: Values = a[:, 0] @ b[:, 0].T
    for r in range(1, a.shape[1]):
        best = np.maximum(best, a[:, r] @ b[:, 0].T - cost)
        best = np.maximum(best, a[:, 0] @ b[:, r].T - cost)
    return best.clip(0.0, 1.0)


def _structural(a: Values, b: Values) -> Values:
    from imkin import metric_ssim

    return np.array([[metric_ssim.similarity(x, y) for y in b] for x in a]).reshape(len(a), len(b))


def _turned(a: Values, b: Values) -> Values:
    """Of values (n, turns, parts, bytes) and (m, turns, parts, bytes): the best of the turns."""
    best = _voted(a[:, 0], b[:, 0])
    for t in range(1, a.shape[1]):
        best = np.maximum(best, _voted(a[:, 0], b[:, t]))
        best = np.maximum(best, _voted(a[:, t], b[:, 0]))
    return best


def _voted(a: Values, b: Values) -> Values:
    """Of values (n, parts, bytes) and (m, parts, bytes): the hash's similarity, of several the second largest."""
    each = [_agreement(a[:, p], b[:, p]) for p in range(a.shape[1])]
    if len(each) < VOTES_NEEDED:
        return each[0]
    ranked = np.sort(np.stack(each), axis=0)
    second: Values = ranked[-VOTES_NEEDED]
    return second


def _agreement(a: Values, b: Values) -> Values:
    """1 - different bits / all bits, of values (n, bytes) and (m, bytes)."""
    x, y = _words(a), _words(b)
    different = np.zeros((len(a), len(b)), np.int32)
    for k in range(x.shape[1]):
        different += np.bitwise_count(x[:, None, k] ^ y[None, :, k])
    similar: Values = 1 - different / (8 * a.shape[1])
    return similar


def _words(values: Values) -> NDArray[np.uint64]:
    """Bytes (n, k) as words (n, ⌈k / 8⌉), the last one filled with zeros."""
    padded = np.zeros((len(values), -(-values.shape[1] // 8) * 8), np.uint8)
    padded[:, : values.shape[1]] = values
    return padded.view(np.uint64)
