"""All with all, for any method: exact, and as slow as the square of the images. Each pair of tiles is one task."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from imkin import join
from imkin.engine import Always, Blocks, Engine, Rows
from imkin.scale.equals import bytes_of
from imkin.scale.pairing import PAIR, TOLD, Near, PairRows, pair_rows, told_rows
from imkin.types import Prints, Spec

# What the values of two tiles may take in a task.
TASK_BYTES = 256 << 20
# So few images are one tile.
FEW = 2000
TILES = 4


def tiles_for(count: int, width: int) -> int:
    """How many tiles; a row goes to as many tasks."""
    return 1 if count <= FEW else max(TILES, -(-2 * count * width // TASK_BYTES))


@dataclass(frozen=True, slots=True)
class Tiling:
    """All with all, in so many tiles."""

    spec: Spec
    threshold: float
    tiles: int

    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of tiles, by their numbers."""
        return list(combinations_with_replacement(range(self.tiles), 2))


@dataclass(frozen=True, slots=True)
class Spread:
    """Distinct rows → a row for every pair of tiles that its own is in. numbers: of the pairs that are wanted."""

    tiling: Tiling
    numbers: range

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        tile = rows["image"] % self.tiling.tiles
        pairs, made = self.tiling.pairs(), []
        for number in self.numbers:
            part = rows[np.isin(tile, pairs[number])].copy()
            part["key"] = number
            made.append(part)
        return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class CompareAll:
    """The rows of some pairs of tiles → the pairs of images that are near, and how these are related."""

    tiling: Tiling

    def __call__(self, rows: Rows) -> Near:
        """See the class."""
        told = self.tiling.spec.kind == "record"
        found, pairs = [np.empty(0, TOLD if told else PAIR)], self.tiling.pairs()
        for number in np.unique(rows["key"]).tolist():
            some = rows[rows["key"] == number]
            # By number: which of two pictures is the first must not depend on the cut.
            some = some[np.argsort(some["image"], kind="stable")]
            found.append(self._near(some, whole=pairs[number][0] == pairs[number][1]))
        return Near(np.concatenate(found))

    def _near(self, rows: Rows, *, whole: bool) -> PairRows:
        spec, tile = self.tiling.spec, rows["image"] % self.tiling.tiles
        values = np.ascontiguousarray(bytes_of(rows, "value"))
        if spec.kind == "record":
            return _told(rows, values, self.tiling.threshold, None if whole else tile)
        values = values.view(np.float32) if spec.kind == "unit vector" else values
        near = join.near(Prints(spec, values, np.ones(len(rows), np.float32)), self.tiling.threshold, jobs=1)[1]
        kept = np.ones(len(near), bool) if whole else tile[near.left] != tile[near.right]
        left, right = near.left[kept], near.right[kept]
        return pair_rows(rows["image"][left], rows["image"][right], near.similarity[kept])


def _told(rows: Rows, values: NDArray[np.uint8], threshold: float, label: NDArray[np.int64] | None) -> PairRows:
    """The pairs of records, laid onto each other where that is in doubt, and how they are related."""
    from imkin.join import fused
    from imkin.join.relation import drafts
    from imkin.prints.auto import unpack

    records = unpack(values)
    near = fused.self_join(records, threshold, jobs=1, label=label)
    pairs = pair_rows(rows["image"][near.left], rows["image"][near.right], near.similarity)
    return told_rows(pairs, drafts(records, near.left, near.right))


def tiled(engine: Engine, rows: Blocks[Rows], tiling: Tiling, parts: int, numbers: range | None = None) -> Blocks[Near]:
    """All pairs with at least this similarity. numbers: of the pairs of tiles; another call finds what others have."""
    chosen = range(len(tiling.pairs())) if numbers is None else numbers
    work = Always(CompareAll(tiling))
    return engine.partition(rows.map(Always(Spread(tiling, chosen))), parts if tiling.tiles > 1 else 1, work)
