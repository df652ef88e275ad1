"""Pairs of images as rows, and what connects them: a spanning forest, never more rows than images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.result import Relation

PAIR = np.dtype([("left", np.int64), ("right", np.int64), ("similarity", np.float32)])
# What is told of a pair beside its similarity, a draft where only the sizes of the pictures name it; see `Relation`.
_TOLD: list[Any] = [("name", "S64"), ("part", "S1"), ("turn", np.int8), ("bits", np.int16), ("fit", np.float64)]
_TOLD += [(corner, np.float64) for corner in ("x0", "y0", "x1", "y1")]
TOLD = np.dtype([(name, PAIR[name]) for name in PAIR.names or ()] + _TOLD)
PairRows = NDArray[np.void]
"""(m,) of PAIR, or of TOLD where the method tells of relations: left < right, numbers of images."""


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


def told_rows(pairs: PairRows, relations: Sequence[Relation]) -> PairRows:
    """Rows of PAIR with what is told of each."""
    rows = np.zeros(len(pairs), TOLD)
    for name in PAIR.names or ():
        rows[name] = pairs[name]
    for row, told in zip(rows, relations, strict=True):
        row["name"], row["part"], row["turn"] = told.name.encode(), (told.part or "").encode(), told.turn
        row["bits"], row["fit"] = -1 if told.bits is None else told.bits, np.nan if told.fit is None else told.fit
        corners = told.box or (np.nan,) * 4
        row["x0"], row["y0"], row["x1"], row["y1"] = corners
    return rows


def relation_of(row: Any) -> Relation:
    """What a row of TOLD tells."""
    box = tuple(float(row[corner]) for corner in ("x0", "y0", "x1", "y1"))
    fit, bits = float(row["fit"]), int(row["bits"])
    return Relation(
        row["name"].decode(),
        row["part"].decode() or None,
        None if np.isnan(box[0]) else (box[0], box[1], box[2], box[3]),
        int(row["turn"]),
        None if bits < 0 else bits,
        None if np.isnan(fit) else fit,
    )


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


def merged(forests: Sequence[PairRows]) -> PairRows:
    """Several forests as one."""
    return forest(np.concatenate(forests)) if forests else np.empty(0, PAIR)
