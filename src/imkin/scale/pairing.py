"""Pairs of images as rows, and what connects them: a spanning forest, never more rows than images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAIR = np.dtype([("left", np.int64), ("right", np.int64), ("similarity", np.float32)])
PairRows = NDArray[np.void]
"""(m,) of PAIR: left < right, numbers of images."""


@dataclass(frozen=True, slots=True)
class Near:
    """What a task of a join found. hot: the sizes of buckets so large that they are told of."""

    pairs: PairRows
    hot: tuple[int, ...] = ()


def pair_rows(a: NDArray[Any], b: NDArray[Any], similarity: NDArray[np.float32]) -> PairRows:
    """Rows of pairs; those of an image with itself are left out."""
    differ = a != b
    rows = np.empty(int(differ.sum()), PAIR)
    rows["left"], rows["right"] = np.minimum(a, b)[differ], np.maximum(a, b)[differ]
    rows["similarity"] = similarity[differ]
    return rows


def unique(pairs: PairRows) -> PairRows:
    """Sorted by (left, right); of those that came twice the most similar."""
    pairs = pairs[np.lexsort((-pairs["similarity"], pairs["right"], pairs["left"]))]
    fresh = np.ones(len(pairs), bool)
    fresh[1:] = (pairs["left"][1:] != pairs["left"][:-1]) | (pairs["right"][1:] != pairs["right"][:-1])
    return pairs[fresh]


def forest(pairs: PairRows) -> PairRows:
    """The pairs of a spanning forest, the most similar first: it connects what all the pairs connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    pairs = unique(pairs)
    if not len(pairs):
        return pairs
    images, ends = np.unique(np.concatenate([pairs["left"], pairs["right"]]), return_inverse=True)
    left, right = ends[: len(pairs)], ends[len(pairs) :]
    # Ranks, not similarities: no two are equal, so that there is one forest; and none is 0, which would be no edge.
    rank = np.empty(len(pairs))
    rank[np.lexsort((right, left, -pairs["similarity"]))] = np.arange(1, len(pairs) + 1)
    tree = minimum_spanning_tree(coo_array((rank, (left, right)), shape=(len(images), len(images))).tocsr())
    return pairs[np.isin(rank, tree.data)]


def forest_of(near: Near) -> PairRows:
    """The forest of one task."""
    return forest(near.pairs)


def merged(forests: Sequence[PairRows]) -> PairRows:
    """Several forests as one."""
    return forest(np.concatenate(forests)) if forests else np.empty(0, PAIR)


def all_pairs(near: Sequence[Near]) -> Near:
    """Everything that the tasks found, sorted and each pair once."""
    pairs = [np.empty(0, PAIR), *(each.pairs for each in near)]
    return Near(
        unique(np.concatenate(pairs)), tuple(sorted((size for each in near for size in each.hot), reverse=True))
    )
