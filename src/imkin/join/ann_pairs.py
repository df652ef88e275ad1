"""The approximate self-join of unit vectors: pairs that may be alike, among too many to compare all with all.

Vectors are dealt into cells around centres (an inverted file, Jégou et al. 2011); each looks for others in the cells
nearest to it, by products of whole matrices. How many cells is chosen on a sample held against brute force, and how
much was found is measured on another one and told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.types import Pairs

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]

# Vectors that centres are drawn and moved on, for each centre; and how often they are moved.
PER_CENTRE, ROUNDS = 32, 4
# Rows of the sample that is compared with all others.
SAMPLE = 256
# Vectors dealt into cells together: a block of 16,384 × 4,096 likenesses is 256 MB.
ROWS = 16_384
# Queries that look into cells together.
QUERIES = 1 << 17
SEED = 20_240_601


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs found, and the share of a sample's pairs that are among them.

    pairs: of rows, similarity the best found. recall: 0..1, 1 where the sample has no pair. sampled: its pairs.
    cells, probes: how many cells there were, and how many each vector looked into.
    """

    pairs: Pairs
    recall: float
    sampled: int
    cells: int
    probes: int


def candidates(
    wholes: Vectors, regions: Vectors | None, threshold: float, *, cost: float = 0.0, target: float = 0.995
) -> Candidates:
    """Nearly all pairs with similarity ≥ threshold, as `cosine.similarities` tells it; the same for the same vectors.

    wholes: (n, dim) of length 1. regions: (n, r, dim) of length 1, None for none; a region is held against wholes
    alone, `cost` off. target: the share of a sample's pairs that so many cells are looked into for, or all of them.
    A pair within 1e-6 of the threshold may be in or not, by the machine's sums: measure again what must not differ.
    """
    n = len(wholes)
    every = wholes[:, None] if regions is None else np.concatenate([wholes[:, None], regions], axis=1)
    limits = np.full(every.shape[1], threshold, np.float32)
    limits[1:] += np.float32(cost)
    if n < 2:
        return Candidates(_pairs([], every, limits), 1.0, 0, 1, 1)
    centres = _centres(wholes)
    home = _nearest(wholes, centres, 1)[:, 0]
    rng = np.random.default_rng(SEED)
    tuning, held_out = (np.sort(rng.choice(n, min(n, SAMPLE), replace=False)) for _ in range(2))
    probes = _probes(every, centres, home, _near_rows(every, tuning, limits), target)
    pairs = _pairs(list(_join(every, limits, centres, home, probes)), every, limits[0] - limits)
    true = _near_rows(every, held_out, limits)
    found = _keys(pairs.left, pairs.right, n)
    wanted = np.unique(_keys(np.minimum(true[:, 0], true[:, 2]), np.maximum(true[:, 0], true[:, 2]), n))
    recall = float(np.isin(wanted, found).mean()) if len(wanted) else 1.0
    return Candidates(pairs, recall, len(wanted), len(centres), probes)


def _centres(wholes: Vectors) -> Vectors:
    """About 2√n centres (k, dim): drawn among the vectors, and moved to the middle of those nearest to them."""
    n = len(wholes)
    count = min(n, 1 << max(0, round(np.log2(2 * np.sqrt(n)))))
    rng = np.random.default_rng(SEED)
    sample = wholes[np.sort(rng.choice(n, min(n, PER_CENTRE * count), replace=False))]
    centres: Vectors = sample[np.sort(rng.choice(len(sample), count, replace=False))].astype(np.float32)
    for _ in range(ROUNDS):
        own = _nearest(sample, centres, 1)[:, 0]
        order = np.argsort(own, kind="stable")
        filled, starts = np.unique(own[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        # A centre that nothing is near to stays where it is.
        centres[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _nearest(vectors: Vectors, centres: Vectors, count: int) -> Indices:
    """The `count` nearest centres (m, count) of m vectors, in no order."""
    found = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), ROWS):
        similar = vectors[start : start + ROWS] @ centres.T
        if count == 1:
            found[start : start + ROWS, 0] = similar.argmax(axis=1)
        elif count < len(centres):
            found[start : start + ROWS] = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        else:
            found[start : start + ROWS] = np.arange(count)
    return found


def _near_rows(every: Vectors, rows: Indices, limits: Vectors) -> Indices:
    """What brute force finds of some rows: (m, 3) of (row whose part it is, which part, row whose whole it is)."""
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(every), ROWS):
        block = every[start : start + ROWS]
        for part in range(every.shape[1]):
            a, b = np.nonzero(every[rows, part] @ block[:, 0].T >= limits[part])
            found.append(np.stack([rows[a], np.full(len(a), part), b + start], axis=1))
            if part:
                a, b = np.nonzero(every[rows, 0] @ block[:, part].T >= limits[part])
                found.append(np.stack([b + start, np.full(len(a), part), rows[a]], axis=1))
    together = np.concatenate(found)
    others: Indices = together[together[:, 0] != together[:, 2]]
    return others


def _probes(every: Vectors, centres: Vectors, home: Indices, true: Indices, target: float) -> int:
    """Into how many cells each vector must look so that the share `target` of the true pairs is found."""
    probes = min(4, len(centres))
    if not len(true):
        return probes
    n = len(home)
    key = _keys(np.minimum(true[:, 0], true[:, 2]), np.maximum(true[:, 0], true[:, 2]), n)
    _, pair = np.unique(key, return_inverse=True)
    while probes < len(centres):
        found = np.zeros(int(pair.max()) + 1, bool)
        for start in range(0, len(true), ROWS):
            left, part, right = true[start : start + ROWS].T
            seen = (_nearest(every[left, part], centres, probes) == home[right, None]).any(axis=1)
            # Two wholes look for each other.
            both = np.flatnonzero(~seen & (part == 0))
            seen[both] = (_nearest(every[right[both], 0], centres, probes) == home[left[both], None]).any(axis=1)
            found[pair[start : start + ROWS][seen]] = True
        if found.mean() >= target:
            break
        probes = min(2 * probes, len(centres))
    return probes


def _join(
    every: Vectors, limits: Vectors, centres: Vectors, home: Indices, probes: int
) -> Iterator[tuple[Indices, Indices]]:
    """(rows of which a part is near, rows to whose whole it is), cell by cell."""
    order = np.argsort(home, kind="stable")
    starts = np.searchsorted(home[order], np.arange(len(centres) + 1))
    wholes = np.ascontiguousarray(every[order, 0])
    for part in range(every.shape[1]):
        for first in range(0, len(every), QUERIES):
            queries = np.ascontiguousarray(every[first : first + QUERIES, part])
            cells = _nearest(queries, centres, probes)
            asked = np.argsort(cells.ravel(), kind="stable")
            bounds = np.searchsorted(cells.ravel()[asked], np.arange(len(centres) + 1))
            for cell in np.flatnonzero((bounds[1:] > bounds[:-1]) & (starts[1:] > starts[:-1])).tolist():
                rows = asked[bounds[cell] : bounds[cell + 1]] // probes
                members = slice(starts[cell], starts[cell + 1])
                similar = queries[rows] @ wholes[members].T
                a, b = np.nonzero(similar >= limits[part])
                left, right = rows[a] + first, order[members][b]
                keep = left != right
                yield left[keep], right[keep]


def _pairs(found: list[tuple[Indices, Indices]], every: Vectors, less: Vectors) -> Pairs:
    """Each pair once, with the similarity of its best parts, by whichever of them it was found."""
    n = len(every)
    keys = [_keys(np.minimum(left, right), np.maximum(left, right), n) for left, right in found]
    key = np.unique(np.concatenate([np.empty(0, np.int64), *keys]))
    left, right = key // max(1, n), key % max(1, n)
    similar = np.empty(len(key), np.float32)
    for start in range(0, len(key), ROWS):
        a, b = every[left[start : start + ROWS]], every[right[start : start + ROWS]]
        best = np.einsum("ij,ij->i", a[:, 0], b[:, 0])
        for part in range(1, every.shape[1]):
            np.maximum(best, np.einsum("ij,ij->i", a[:, part], b[:, 0]) + less[part], out=best)
            np.maximum(best, np.einsum("ij,ij->i", a[:, 0], b[:, part]) + less[part], out=best)
        similar[start : start + ROWS] = np.clip(best, 0, 1)
    return Pairs(left, right, similar)


def _keys(left: Indices, right: Indices, n: int) -> Indices:
    return left.astype(np.int64) * n + right
