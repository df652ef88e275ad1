"""The exact cosine join of unit vectors: blocks of matrix products, n × n never held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imkin.types import Pairs

# A block of 1,024 × 8,192 products is 32 MB of float32.
ROWS, COLUMNS = 1024, 8192


def self_join(vectors: NDArray[np.float32], threshold: float, *, regions: int = 1, cost: float = 0.0) -> Pairs:
    """All pairs with similarity ≥ threshold.

    vectors: (n, regions * dim) float32, each part of length 1. threshold: 0..1; at 0 every pair is one, those of
    negative cosine included. See `similarities`.
    """
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    similarity: list[NDArray[np.float32]] = []
    for start in range(0, len(vectors), ROWS):
        rows = vectors[start : start + ROWS]
        for column in range(start, len(vectors), COLUMNS):
            similar = similarities(rows, vectors[column : column + COLUMNS], regions=regions, cost=cost)
            a, b = np.nonzero(similar >= threshold)
            keep = a + start < b + column
            left.append(a[keep] + start)
            right.append(b[keep] + column)
            similarity.append(similar[a[keep], b[keep]])
    if not left:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    a, b, s = np.concatenate(left), np.concatenate(right), np.concatenate(similarity)
    order = np.lexsort((b, a))
    return Pairs(a[order], b[order], s[order])


def similarities(
    a: NDArray[np.float32], b: NDArray[np.float32], *, regions: int = 1, cost: float = 0.0
) -> NDArray[np.float32]:
    """Similarity (n, m) in 0..1 of (n, regions * dim) to (m, regions * dim): the best of the cosine of both wholes,
    and of a whole and a region, `cost` off, both ways. The whole is the first part.
    """
    dim = a.shape[1] // regions
    best = a[:, :dim] @ b[:, :dim].T
    for start in range(dim, a.shape[1], dim):
        part = slice(start, start + dim)
        np.maximum(best, a[:, part] @ b[:, :dim].T - np.float32(cost), out=best)
        np.maximum(best, a[:, :dim] @ b[:, part].T - np.float32(cost), out=best)
    return np.clip(best, 0, 1, out=best)
