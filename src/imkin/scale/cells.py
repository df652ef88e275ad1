"""Vectors by coarse cells: each goes to the cells of its nearest centres, and only within a cell is compared, exactly.

Not exact as a whole: two vectors that are near may share no cell. Hence by name only, and with its recall measured:
some images are compared with all others by brute force, and the share of their pairs that the cells found is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from imkin.engine import Always, Blocks, Engine, Rows, found
from imkin.join.cosine import COLUMNS, ROWS, similarities
from imkin.scale.equals import bytes_of
from imkin.scale.pairing import PAIR, Near, PairRows, pair_rows
from imkin.types import Spec

Vectors = NDArray[np.float32]

# Vectors of a cell on the average: its square is what a task compares.
CELL = 2000
# Cells that a vector goes to: 4 of 20 found every pair of a sample of drawn vectors (`benchmarks/scale.py cells`).
ASSIGN = 4
ROUNDS = 8
SEED = 0
# Images that are compared with all others to measure the recall.
QUERIES = 128
# A cell of so many vectors is told of, and compared in tiles of half as many, each pair of tiles a task of its own.
HOT_VECTORS = 10 * CELL


@dataclass(frozen=True, slots=True)
class Cells:
    """centres: (k, dim). threshold, regions, cost: see `join.cosine.similarities`. hot: (cell, its vectors), …"""

    centres: Vectors
    threshold: float
    regions: int
    cost: float
    hot: tuple[tuple[int, int], ...] = ()

    def tiles(self) -> Iterator[tuple[int, int, list[tuple[int, int]], int]]:
        """Of each hot cell: its number, its vectors, the pairs of its tiles, and the key of the first of them."""
        first = len(self.centres)
        for cell, size in self.hot:
            pairs = list(combinations_with_replacement(range(-(-2 * size // HOT_VECTORS)), 2))
            yield cell, size, pairs, first
            first += len(pairs)

    def nearest(self, vectors: Vectors) -> NDArray[np.int64]:
        """(n, ASSIGN) the cells of vectors (n, dim)."""
        count = min(ASSIGN, len(self.centres))
        out = np.empty((len(vectors), count), np.int64)
        for start in range(0, len(vectors), ROWS):
            close = vectors[start : start + ROWS] @ self.centres.T
            out[start : start + ROWS] = np.argsort(-close, axis=1, kind="stable")[:, :count]
        return out


def cells_for(spec: Spec, threshold: float, sample: Vectors, count: int) -> Cells:
    """Cells for `count` values like the sample, whose whole pictures' vectors are the first `dim` numbers.

    k-means on the sphere with a fixed seed: the same sample, the same cells.
    """
    regions, cost = int(str(spec.params.get("regions", 1))), float(str(spec.params.get("region_cost", 0.0)))
    wholes = np.ascontiguousarray(sample[:, : spec.dim // regions])
    cells = max(1, min(round(count / CELL), len(wholes)))
    rng = np.random.default_rng(SEED)
    centres = wholes[rng.permutation(len(wholes))[:cells]].copy()
    for _ in range(ROUNDS):
        owner = np.argmax(wholes @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, owner, wholes)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-12), centres).astype(np.float32)
    return Cells(centres, threshold, regions, cost)


def vectors_of(rows: Rows) -> Vectors:
    """(n, regions * dim)."""
    return np.ascontiguousarray(bytes_of(rows, "value")).view(np.float32)


@dataclass(frozen=True, slots=True)
class Assign:
    """Distinct rows → a row for every cell that a vector or one of its regions goes to."""

    cells: Cells

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        made = self.in_cells(rows)
        parts = [made[~np.isin(made["key"], [cell for cell, _ in self.cells.hot])]]
        for cell, _, pairs, first in self.cells.tiles():
            some = made[made["key"] == cell]
            tile = some["image"] % (pairs[-1][0] + 1)
            for number, pair in enumerate(pairs):
                part = some[np.isin(tile, pair)]
                part["key"] = first + number
                parts.append(part)
        return np.concatenate(parts)

    def in_cells(self, rows: Rows) -> Rows:
        """Rows whose key is the cell, also where that is hot."""
        vectors, made = vectors_of(rows), []
        dim = vectors.shape[1] // self.cells.regions
        seen = np.zeros((len(rows), len(self.cells.centres)), bool)
        for region in range(self.cells.regions):
            nearest = self.cells.nearest(np.ascontiguousarray(vectors[:, region * dim : (region + 1) * dim]))
            for cell in nearest.T:
                fresh = ~seen[np.arange(len(rows)), cell]
                seen[np.arange(len(rows)), cell] = True
                part = rows[fresh].copy()
                part["key"] = cell[fresh]
                made.append(part)
        return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class CompareCells:
    """The rows of some cells → the pairs within each."""

    cells: Cells

    def __call__(self, rows: Rows) -> Near:
        """See the class."""
        from imkin.join import cosine

        made = [np.empty(0, PAIR)]
        keys = np.unique(rows["key"])
        hot = [size for _, size, _, first in self.cells.tiles() if first in keys]
        for key in keys.tolist():
            some = rows[rows["key"] == key]
            near = cosine.self_join(
                vectors_of(some), self.cells.threshold, regions=self.cells.regions, cost=self.cells.cost
            )
            made.append(pair_rows(some["image"][near.left], some["image"][near.right], near.similarity))
        return Near(np.concatenate(made), tuple(hot))


@dataclass(frozen=True, slots=True)
class _Queries:
    """Brute force: the images that are near some queries."""

    cells: Cells
    images: NDArray[np.int64]
    vectors: Vectors

    def __call__(self, rows: Rows) -> PairRows:
        made = [np.empty(0, PAIR)]
        for start in range(0, len(rows), COLUMNS):
            some = rows[start : start + COLUMNS]
            near = similarities(self.vectors, vectors_of(some), regions=self.cells.regions, cost=self.cells.cost)
            a, b = np.nonzero(near >= self.cells.threshold)
            made.append(pair_rows(self.images[a], some["image"][b], near[a, b]))
        return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class _Sizes:
    cells: Cells

    def __call__(self, rows: Rows) -> NDArray[np.int64]:
        keys = Assign(self.cells).in_cells(rows)["key"].astype(np.int64)
        return np.bincount(keys, minlength=len(self.cells.centres))


def celled(engine: Engine, rows: Blocks[Rows], cells: Cells, parts: int) -> Blocks[Near]:
    """The pairs that share a cell; one may come from several."""
    sizes = sum(found(engine.run(rows.map(Always(_Sizes(cells))))), np.zeros(len(cells.centres), np.int64))
    hot = tuple((int(cell), int(sizes[cell])) for cell in np.flatnonzero(sizes >= HOT_VECTORS))
    cells = replace(cells, hot=hot)
    return engine.partition(rows.map(Always(Assign(cells))), parts, Always(CompareCells(cells)))


def recall(
    engine: Engine, rows: Blocks[Rows], cells: Cells, pairs: Iterable[PairRows], sample: Rows
) -> tuple[int, int]:
    """How many pairs of QUERIES images there are, and how many of them are among `pairs`."""
    chosen = sample[np.random.default_rng(SEED).permutation(len(sample))[:QUERIES]]
    queries = _Queries(cells, chosen["image"], vectors_of(chosen))
    true = np.concatenate([np.empty(0, PAIR), *found(engine.run(rows.map(Always(queries))))])
    true = np.unique(true[["left", "right"]])
    met = np.zeros(len(true), bool)
    for some in pairs:
        met |= np.isin(true, np.ascontiguousarray(some[["left", "right"]]))
    return len(true), int(met.sum())
