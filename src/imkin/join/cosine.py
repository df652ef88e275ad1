"""The exact cosine join of unit vectors: blocks of matrix products, n × n never held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imkin.types import Pairs

# A block of 1,024 × 8,192 products is 32 MB of float32.
ROWS, COLUMNS = 1024, 8192


def self_join(vectors: NDArray[np.float32], threshold: float) -> Pairs:
    """All pairs with cosine ≥ threshold.

    vectors: (n, dim) float32 of length 1. threshold: 0..1; at 0 every pair is one, those of negative cosine included.
    """
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    similarity: list[NDArray[np.float32]] = []
    for start in range(0, len(vectors), ROWS):
        rows = vectors[start : start + ROWS]
        for column in range(start, len(vectors), COLUMNS):
            cosine = np.clip(rows @ vectors[column : column + COLUMNS].T, 0, 1)
            a, b = np.nonzero(cosine >= threshold)
            keep = a + start < b + column
            left.append(a[keep] + start)
            right.append(b[keep] + column)
            similarity.append(cosine[a[keep], b[keep]])
    if not left:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    a, b, s = np.concatenate(left), np.concatenate(right), np.concatenate(similarity)
    order = np.lexsort((b, a))
    return Pairs(a[order], b[order], s[order])
