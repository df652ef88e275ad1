"""Joins: pairs of fingerprints that are alike, exact unless a name says otherwise."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from imkin.join import hamming, vote
from imkin.join.hamming import distinct
from imkin.types import Pairs, Prints, Spec

__all__ = ["code_bits", "distinct", "near", "radius"]

Indices = NDArray[np.int64]


def radius(spec: Spec, threshold: float) -> int:
    """The largest number of different bits with similarity ≥ threshold; of `vote`, in each of its hashes."""
    bits = code_bits(spec)
    # A millionth of a bit: thresholds come as decimal fractions, 1 − 6/64 in float32 must still mean 6 bits.
    return int(np.floor((1 - threshold) * bits + 1e-6))


def code_bits(spec: Spec) -> int:
    """Bits of one code: turns and parts are codes of their own."""
    turns, parts = spec.params.get("turns", 1), spec.params.get("parts", 1)
    return spec.dim // (int(str(turns)) * int(str(parts)))


def near(prints: Prints, threshold: float, *, jobs: int | None = None) -> tuple[Indices, Pairs]:
    """What is alike: (same, pairs).

    same: (n,) int64, the class of each fingerprint; equal fingerprints are one class, numbered by first appearance.
    pairs: of classes, every one with similarity ≥ threshold.
    """
    spec, values = prints.spec, np.asarray(prints.values)
    if spec.kind == "unit vector":
        from imkin.join import cosine

        first, same = distinct(values.view(np.uint8).reshape(len(values), -1))
        return same, cosine.self_join(values[first].astype(np.float32, copy=False), threshold)
    first, same = distinct(values.astype(np.uint8, copy=False))
    if spec.kind == "bytes":
        return same, Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    turns = values[first].astype(np.uint8, copy=False).reshape(len(first), int(str(spec.params.get("turns", 1))), -1)
    return same, _near_turns(turns, spec, threshold, jobs)


def _near_turns(turns: NDArray[np.uint8], spec: Spec, threshold: float, jobs: int | None) -> Pairs:
    upright = np.ascontiguousarray(turns[:, 0])
    found = [_near_bits(upright, None, spec, threshold, jobs)]
    for turn in range(1, turns.shape[1]):
        turned = _near_bits(upright, np.ascontiguousarray(turns[:, turn]), spec, threshold, jobs)
        found.append(turned)
    return reduce(_merge, found)


def _near_bits(
    a: NDArray[np.uint8], b: NDArray[np.uint8] | None, spec: Spec, threshold: float, jobs: int | None
) -> Pairs:
    """Pairs of a with itself (b None), or of a with the turned codes b of the same pictures."""
    limit = radius(spec, threshold)
    if "parts" in spec.params:
        left, right, apart = vote.cross_join(a, a if b is None else b, limit, jobs=jobs, above=b is None)
    elif b is None:
        left, right, apart = hamming.self_join(a, limit, jobs=jobs)
    else:
        left, right, apart = hamming.cross_join(a, b, limit, jobs=jobs)
    similarity = (1 - apart / np.float32(code_bits(spec))).astype(np.float32)
    if b is None:
        return Pairs(left, right, similarity)
    keep = left != right
    return _unique(np.minimum(left, right)[keep], np.maximum(left, right)[keep], similarity[keep])


def _merge(a: Pairs, b: Pairs) -> Pairs:
    if not len(b):
        return a
    return _unique(
        np.concatenate([a.left, b.left]),
        np.concatenate([a.right, b.right]),
        np.concatenate([a.similarity, b.similarity]),
    )


def _unique(left: Indices, right: Indices, similarity: NDArray[np.float32]) -> Pairs:
    """Sort pairs, and of those that came twice keep the most similar."""
    order = np.lexsort((-similarity, right, left))
    left, right, similarity = left[order], right[order], similarity[order]
    fresh = np.ones(len(left), bool)
    fresh[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return Pairs(left[fresh], right[fresh], similarity[fresh])
