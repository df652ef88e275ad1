"""All with all, for any method: exact, and as slow as the square of the images. Each pair of tiles is one task."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from imkin import join
from imkin.engine import Always, Blocks, Engine, Rows
from imkin.scale.equals import bytes_of
from imkin.scale.pairing import PAIR, Near, pair_rows
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
class Spread:
    """Distinct rows → a row for every pair of tiles that its own is in."""

    tiles: int

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        tile = rows["image"] % self.tiles
        made = []
        for number, pair in enumerate(combinations_with_replacement(range(self.tiles), 2)):
            part = rows[np.isin(tile, pair)].copy()
            part["key"] = number
            made.append(part)
        return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class CompareAll:
    """The rows of some pairs of tiles → the pairs of images that are near."""

    spec: Spec
    threshold: float
    tiles: int

    def __call__(self, rows: Rows) -> Near:
        """See the class."""
        found = [np.empty(0, PAIR)]
        numbers = list(combinations_with_replacement(range(self.tiles), 2))
        for number in np.unique(rows["key"]).tolist():
            some = rows[rows["key"] == number]
            kind = np.float32 if self.spec.kind == "unit vector" else np.uint8
            values = np.ascontiguousarray(bytes_of(some, "value")).view(kind)
            near = join.near(Prints(self.spec, values, np.ones(len(some), np.float32)), self.threshold, jobs=1)[1]
            tile = some["image"] % self.tiles
            if numbers[number][0] != numbers[number][1]:
                across = tile[near.left] != tile[near.right]
                left, right, similarity = near.left[across], near.right[across], near.similarity[across]
            else:
                left, right, similarity = near.left, near.right, near.similarity
            found.append(pair_rows(some["image"][left], some["image"][right], similarity))
        return Near(np.concatenate(found))


def tiled(
    engine: Engine, rows: Blocks[Rows], spec: Spec, threshold: float, count: int, width: int, parts: int
) -> Blocks[Near]:
    """All pairs with at least this similarity."""
    tiles = tiles_for(count, width)
    work = Always(CompareAll(spec, threshold, tiles))
    return engine.partition(rows.map(Always(Spread(tiles))), parts if tiles > 1 else 1, work)
