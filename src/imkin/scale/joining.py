"""Which join a method has over shards, its rounds, and its recall where it may lose pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np

from imkin.engine import Blocks, Engine, Rows
from imkin.scale import banding, cells, equals, pictures, tiles
from imkin.scale.kept import ROUND_BYTES, Joined, Round, keep
from imkin.scale.pairing import TOLD, Near
from imkin.scale.task import Task
from imkin.sources.place import Folder

# Images that a task begins with, at most, and what the rows that it makes of them may take.
BLOCK = 200_000
TASK_BYTES = 512 << 20
LEAST_PARTS = 4


def parts_for(images: int, row_bytes: int) -> int:
    """Parts of a partition of so many images, each of which becomes so many bytes of rows."""
    return max(LEAST_PARTS, -(-images // BLOCK), -(-images * row_bytes // TASK_BYTES))


class Join:
    """The join of a task, chosen by a sample of its fingerprints, (n,) distinct rows. images: how many there are."""

    def __init__(self, task: Task, engine: Engine, folder: Folder, sample: Rows, images: int) -> None:
        self._task, self._engine, self._folder, self._sample, self._images = task, engine, folder, sample, images
        self._values = equals.bytes_of(sample, "value")
        few = images <= tiles.FEW or not len(sample)
        self._bands = None if few else banding.banding_for(task.spec, task.threshold, self._values, images)

    @property
    def parts(self) -> int:
        """Into how many parts the images go, so that what each becomes fits into a task."""
        width, kind = self._values.shape[1], self._task.spec.kind
        if self._bands is not None:
            row_bytes = self._bands.row_bytes
        elif kind == "gray image":
            row_bytes = pictures.MOST_ROW_BYTES
        elif self._task.coarse:
            row_bytes = width * cells.ASSIGN
        else:
            row_bytes = width * (tiles.tiles_for(self._images, width) + 1)
        return parts_for(self._images, row_bytes)

    def run(self, same: equals.Distinct, counts: Sequence[int]) -> tuple[Joined, tuple[int, int] | None]:
        """All pairs of distinct images, and the recall of a join that may lose some. counts: images of each shard."""
        task, told = self._task, self._task.spec.kind == "record"
        if task.spec.kind == "bytes" or same.count < 2 or not len(self._sample):
            return keep(self._engine, self._folder, "none", [], told=told), None
        asked = (task.spec.id, task.threshold, task.coarse, list(counts), str(self._bands), ROUND_BYTES, TOLD.names)
        name = hashlib.sha256(repr(asked).encode()).hexdigest()[:16]
        if not task.coarse:
            return keep(self._engine, self._folder, name, self._rounds(same), told=told), None
        chosen = cells.cells_for(task.spec, task.threshold, self._values.view(np.float32), same.count)
        rounds: list[Round] = [partial(cells.celled, self._engine, same.rows, chosen, self.parts)]
        joined = keep(self._engine, self._folder, name, rounds, told=told)
        return joined, cells.recall(self._engine, same.rows, chosen, joined.chunks(), self._sample)

    def _rounds(self, same: equals.Distinct) -> list[Round]:
        task, engine, rows, width = self._task, self._engine, same.rows, self._values.shape[1]
        if task.spec.kind == "gray image":
            return [partial(self._pictures, same)]
        if self._bands is not None:
            bands, made = self._bands, len(self._bands.tables())
            row_bytes = bands.row_bytes // made
            return [
                partial(banding.banded, engine, rows, bands, parts_for(same.count, row_bytes * len(part)), part)
                for part in _cut(made, same.count * row_bytes)
            ]
        plan = tiles.Tiling(task.spec, task.threshold, tiles.tiles_for(same.count, width))
        return [
            partial(tiles.tiled, engine, rows, plan, self.parts, part)
            for part in _cut(len(plan.pairs()), 2 * same.count * width // plan.tiles)
        ]

    def _pictures(self, same: equals.Distinct) -> Blocks[Near]:
        how = pictures.plan(self._engine, same.rows, self._folder, self._task.threshold)
        return pictures.compared(self._engine, same.rows, how, parts_for(same.count, how.row_bytes))


def _cut(many: int, each_bytes: int) -> list[range]:
    """Numbers 0..many-1 in rounds of ROUND_BYTES at most."""
    size = max(1, int(ROUND_BYTES // max(1, each_bytes)))
    return [range(start, min(start + size, many)) for start in range(0, many, size)]
