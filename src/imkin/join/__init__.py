"""Joins: pairs of fingerprints that are alike, exact unless a name says otherwise."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imkin.join import hamming, vote
from imkin.join.hamming import distinct
from imkin.types import Pairs, Prints, Spec

if TYPE_CHECKING:
    from imkin.join.ssim_store import GrayStore

__all__ = ["code_bits", "distinct", "gray_similarities", "near", "near_grays", "radius"]

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
        regions, cost = int(str(spec.params.get("regions", 1))), float(str(spec.params.get("region_cost", 0.0)))
        vectors = values[first].astype(np.float32, copy=False)
        return same, cosine.self_join(vectors, threshold, regions=regions, cost=cost)
    first, same = distinct(values.astype(np.uint8, copy=False))
    if spec.kind == "record":
        from imkin.join import fused
        from imkin.prints.auto import unpack

        return same, fused.self_join(unpack(values[first]), threshold, jobs=jobs)
    if spec.kind == "bytes":
        return same, Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    count = int(str(spec.params.get("turns", 1)))
    turns = values[first].astype(np.uint8, copy=False).reshape(len(first), count, spec.dim // 8 // count)
    return same, _near_turns(turns, spec, threshold, jobs)


def near_grays(
    grays: GrayStore, indices: Indices, threshold: float, *, jobs: int | None = None, connect_only: bool = False
) -> tuple[Indices, Pairs]:
    """As `near`, of gray pictures by their structural similarity; indices: (n,) int64, where they lie in grays."""
    from imkin.join import ssim

    _, first, same = np.unique(grays.same[indices], return_index=True, return_inverse=True)
    at = indices[first].tolist()
    left, right, similarity = ssim.self_join(
        lambda wanted: grays.load([at[i] for i in wanted]),
        grays.shapes[at],
        threshold,
        jobs=jobs,
        connect_only=connect_only,
    )
    return same.astype(np.int64), Pairs(left, right, similarity.astype(np.float32))


def gray_similarities(
    grays: GrayStore, rows: Indices, columns: Indices, *, jobs: int | None = None
) -> NDArray[np.float32]:
    """Structural similarity (len(rows), len(columns)) float32 of the pictures at these places in grays."""
    from imkin.join import ssim

    def one(pair: tuple[int, int]) -> float:
        return ssim.ssim_pair(*grays.load(pair))

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        found = list(pool.map(one, ((int(a), int(b)) for a in rows for b in columns)))
    return np.array(found, np.float32).reshape(len(rows), len(columns))


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
