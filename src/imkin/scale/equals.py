"""Equal bytes, then equal fingerprints, are found first: one row of each goes on, so that copies cost nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.engine import Always, Blocks, Engine, Rows, found, read
from imkin.join import distinct
from imkin.scale.job import prints_name
from imkin.sources import shards
from imkin.sources.place import Folder
from imkin.types import QUALITY_FLOOR

Indices = NDArray[np.int64]
ODD = np.uint64(0x9E3779B97F4A7C15)


def row_type(width: int) -> np.dtype[np.void]:
    """Rows of images with values of so many bytes. image: its number among all files. good: of enough quality."""
    return np.dtype(
        [("key", np.uint64), ("image", np.int64), ("good", bool), ("sha256", "V32"), ("value", f"V{width}")]
    )


def bytes_of(rows: Rows, name: str) -> NDArray[np.uint8]:
    """A field of bytes as (n, width) uint8."""
    column = np.ascontiguousarray(rows[name])
    return column.view(np.uint8).reshape(len(rows), column.dtype.itemsize)


def folded(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(n,) a number for each row of bytes: equal rows have equal ones."""
    padded = np.zeros((len(values), -(-values.shape[1] // 8) * 8), np.uint8)
    padded[:, : values.shape[1]] = values
    key = np.zeros(len(values), np.uint64)
    for word in padded.view(np.uint64).T:
        key = (key ^ (key >> np.uint64(29))) * ODD + word
    return key


@dataclass(frozen=True, slots=True)
class Load:
    """Shards, each with the number of its first image, as one block of rows keyed by content."""

    folder: Folder

    def __call__(self, some: Sequence[tuple[int, int]]) -> Rows:
        """some: (shard, number of its first image)."""
        return np.concatenate([self._rows(shard, first) for shard, first in some])

    def _rows(self, shard: int, first: int) -> Rows:
        sha256, quality, _, values = shards.prints_of(self.folder.read(prints_name(shard)))
        rows = np.zeros(len(sha256), row_type(values.shape[1]))
        rows["image"] = first + np.arange(len(rows))
        rows["good"] = quality >= QUALITY_FLOOR
        rows["sha256"] = sha256.view("V32").reshape(-1)
        rows["value"] = np.ascontiguousarray(values).view(f"V{values.shape[1]}").reshape(-1)
        rows["key"] = folded(sha256[:, :8])
        return rows


@dataclass(frozen=True, slots=True)
class Equals:
    """edges: (m, 2) an image, and the first one that equals it. rows: of the first ones that are still compared."""

    edges: Indices
    rows: Rows


@dataclass(frozen=True, slots=True)
class Merge:
    """Of rows with equal bytes in `field` the first stays. counted: only so many first bytes of `value` count."""

    field: str
    counted: int | None = None

    def __call__(self, rows: Rows) -> Equals:
        """The rows of a part, in any order."""
        rows = rows[np.argsort(rows["image"], kind="stable")]
        width = self.counted if self.field == "value" else None
        first, same = distinct(np.ascontiguousarray(bytes_of(rows, self.field)[:, :width]))
        leader = rows["image"][first][same]
        later = rows["image"] != leader
        kept = rows[first]
        kept = kept[kept["good"]]
        kept["key"] = folded(bytes_of(kept, "value")[:, : self.counted])
        return Equals(np.stack([rows["image"][later], leader[later]], axis=1).astype(np.int64), kept)


def rows_of(equals: Equals) -> Rows:
    """What is still compared."""
    return equals.rows


def edges_of(equals: Equals) -> Indices:
    """Who equals whom."""
    return equals.edges


@dataclass(frozen=True, slots=True)
class Distinct:
    """same: (n,) for each image the first that equals it in bytes or fingerprint. rows: blocks of the first ones that
    are good. count: how many rows.
    """

    same: Indices
    rows: Blocks[Rows]
    count: int


def merge_equals(
    engine: Engine, blocks: Blocks[Rows], images: int, parts: int, *, by_value: bool, counted: int | None = None
) -> Distinct:
    """Images with equal bytes are one, and, by_value, good ones with equal fingerprints. counted: see `Merge`."""
    same = np.arange(images, dtype=np.int64)
    merged = engine.partition(blocks, parts, Always(Merge("sha256", counted)))
    for edges in found(engine.run(merged.map(Always(edges_of)))):
        same[edges[:, 0]] = edges[:, 1]
    if by_value:
        merged = engine.partition(merged.map(Always(rows_of)), parts, Always(Merge("value", counted)))
        for edges in found(engine.run(merged.map(Always(edges_of)))):
            same[edges[:, 0]] = edges[:, 1]
        same = same[same]
    rows = merged.map(Always(rows_of))
    return Distinct(same, rows, sum(found(engine.run(rows.map(Always(len))))))


def blocks_of(folder: Folder, counts: Sequence[int], size: int) -> Blocks[Rows]:
    """Blocks of neighbouring shards with about `size` images each. counts: images of each shard."""
    items: list[list[tuple[int, int]]] = []
    first = held = 0
    for shard, count in enumerate(counts):
        if count:
            if not items or held >= size:
                items.append([])
                held = 0
            items[-1].append((shard, first))
        held += count
        first += count
    return read(Load(folder), items)
