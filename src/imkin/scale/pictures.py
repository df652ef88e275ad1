"""Structural similarity over shards, exact: bounds in tiles, then SSIM as a map over the pairs that these let pass.

Each shard keeps its gray pictures in one file, and a row of `GRAY` says where one lies. What is computed, and which
sizes are compared, is what `join.ssim` does on one machine:

1. a picture becomes a row for every shape at which it is compared and for every pair of tiles, with the vector of
   `join.ssim_bounds`; a task multiplies the vectors of two tiles and keeps the pairs whose bound reaches the threshold;
2. those candidates are dealt out by their first picture, and each is scored until the answer is certain.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from imkin.engine import Always, Blocks, Engine, Rows, found
from imkin.join import ssim_bounds
from imkin.join.ssim_kernel import Stripes, score, stripes_of
from imkin.join.ssim_search import BATCH_BYTES, VECTORS_FROM, size_links
from imkin.join.ssim_store import Kept, picture_of
from imkin.metric_ssim import ALMOST_ONE, ASPECT_PERCENT, Gray, Shape, reduce_to
from imkin.scale.equals import bytes_of
from imkin.scale.job import grays_name
from imkin.scale.pairing import PAIR, Near, pair_rows
from imkin.sources.place import Folder, read_part

# Equal pictures have equal digests and sizes: what `equals` compares are the first PIXELS bytes.
GRAY = np.dtype(
    [
        ("digest", "V16"),
        ("height", np.int32),
        ("width", np.int32),
        ("shard", np.int64),
        ("offset", np.int64),
        ("length", np.int64),
        ("packed", np.int8),
    ]
)
PIXELS = 24
# What the vectors of two tiles may take in a task.
TASK_BYTES = 256 << 20
FEWEST_TILES = 3
# What a picture becomes in the common case: three rows with the longest vector.
MOST_ROW_BYTES = 110_000
# Pairs whose bounds are held at a time, 4 bytes each.
ROWS = 1000

CANDIDATE = np.dtype([("key", np.uint64), ("shape", np.int32), ("image", np.int64, (2,)), ("gray", GRAY, (2,))])


def place_of(kept: Kept, shard: int) -> bytes:
    """A row of GRAY."""
    row = np.zeros(1, GRAY)
    row[0] = (kept.digest, *kept.shape, shard, kept.offset, kept.length, kept.packed)
    return row.tobytes()


def grays_of(rows: Rows) -> NDArray[np.void]:
    """(n,) of GRAY: where the pictures of distinct rows lie."""
    return np.ascontiguousarray(bytes_of(rows, "value")).view(GRAY).reshape(len(rows))


@dataclass(frozen=True, slots=True)
class Level:
    """One shape at which pictures are compared. sizes: which of the sizes. tiles: that its pictures are cut into."""

    shape: Shape
    sizes: frozenset[tuple[int, int]]
    tiles: int

    def tile_pairs(self) -> list[tuple[int, int]]:
        """Of which every pair of pictures is in exactly one that compares it."""
        return list(combinations_with_replacement(range(self.tiles), 2))


@dataclass(frozen=True, slots=True)
class Ssim:
    """How a set of pictures is compared. width: numbers of a vector, at most; 0: no bounds, all are candidates."""

    folder: Folder
    threshold: float
    levels: tuple[Level, ...]
    width: int

    @property
    def row_bytes(self) -> int:
        """What a picture becomes, at most: a row for each level that it is in and each tile that it meets."""
        item = row_type(self.width).itemsize
        of_size: dict[tuple[int, int], int] = {}
        for level in self.levels:
            for size in level.sizes:
                of_size[size] = of_size.get(size, 0) + level.tiles * item
        return max(of_size.values(), default=0)


def row_type(width: int) -> np.dtype[np.void]:
    """Rows of pictures in pairs of tiles; key: the pair's number among those of all levels."""
    return np.dtype([("key", np.uint64), ("image", np.int64), ("gray", GRAY), ("vector", np.float32, (width,))])


def _sizes(rows: Rows) -> dict[tuple[int, int], int]:
    grays = grays_of(rows)
    sizes, counts = np.unique(np.stack([grays["height"], grays["width"]], axis=1), axis=0, return_counts=True)
    return {(h, w): count for (h, w), count in zip(sizes.tolist(), counts.tolist(), strict=True)}


def plan(engine: Engine, rows: Blocks[Rows], folder: Folder, threshold: float) -> Ssim:
    """The shapes at which distinct pictures are compared."""
    counts: dict[tuple[int, int], int] = {}
    for some in found(engine.run(rows.map(Always(_sizes)))):
        for size, count in some.items():
            counts[size] = counts.get(size, 0) + count
    sizes = sorted(counts)
    members: dict[Shape, frozenset[tuple[int, int]]] = {}
    for shape, links in size_links(np.array(sizes, np.int64).reshape(-1, 2)).items():
        if any(i != j or counts[sizes[i]] > 1 for i, j in links):
            members[shape] = frozenset(sizes[i] for link in links for i in link)
    many = {shape: sum(counts[size] for size in some) for shape, some in members.items()}
    pays = 0 < threshold <= ALMOST_ONE and max(many.values(), default=0) >= VECTORS_FROM
    width = max((ssim_bounds.size_of(stripes_of(shape)) for shape in members), default=0) if pays else 0
    levels = []
    for shape, inside in members.items():
        tiles = -(-2 * many[shape] * row_type(width).itemsize // TASK_BYTES)
        levels.append(Level(shape, inside, 1 if many[shape] < VECTORS_FROM else max(FEWEST_TILES, tiles)))
    return Ssim(folder, threshold, tuple(levels), width)


class _Pictures:
    """Gray pictures at a shape, the last ones held."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._held: OrderedDict[tuple[int, int, Shape], Gray] = OrderedDict()
        self._bytes = 0

    def at(self, gray: NDArray[np.void], shape: Shape) -> Gray:
        """The picture of a row of GRAY at this shape."""
        key = int(gray["shard"]), int(gray["offset"]), shape
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        data = read_part(self._folder.at(grays_name(key[0])), key[1], int(gray["length"]))
        whole = picture_of(data, (int(gray["height"]), int(gray["width"])), packed=bool(gray["packed"]))
        self._held[key] = reduce_to(whole, shape)
        self._bytes += self._held[key].nbytes
        while self._bytes > BATCH_BYTES and len(self._held) > 2:
            self._bytes -= self._held.popitem(last=False)[1].nbytes
        return self._held[key]


@dataclass(frozen=True, slots=True)
class Spread:
    """Distinct rows → a row for every pair of tiles that a picture's own is in, at every shape, with its vector."""

    ssim: Ssim

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        kind, pictures = row_type(self.ssim.width), _Pictures(self.ssim.folder)
        grays, made, first = grays_of(rows), [np.empty(0, row_type(self.ssim.width))], 0
        for level in self.ssim.levels:
            pairs = np.array(level.tile_pairs())
            sizes = zip(grays["height"].tolist(), grays["width"].tolist(), strict=True)
            inside = np.flatnonzero(np.fromiter((size in level.sizes for size in sizes), bool, len(rows)))
            part = np.zeros(len(inside), kind)
            part["image"], part["gray"] = rows["image"][inside], grays[inside]
            if self.ssim.width:
                stripes = stripes_of(level.shape)
                for row in part:
                    vector = ssim_bounds.vector(pictures.at(row["gray"], level.shape), stripes)
                    row["vector"][: len(vector)] = vector
            tile = part["image"] % level.tiles
            for number, pair in enumerate(pairs):
                some = part[(tile == pair[0]) | (tile == pair[1])]
                some["key"] = first + number
                made.append(some)
            first += len(pairs)
        return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class Bound:
    """The rows of some pairs of tiles → the pairs of pictures whose bound reaches the threshold."""

    ssim: Ssim

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        made, first = [np.empty(0, CANDIDATE)], 0
        for at, level in enumerate(self.ssim.levels):
            for number, pair in enumerate(level.tile_pairs()):
                some = rows[rows["key"] == first + number]
                if len(some) > 1:
                    made.append(self._candidates(some[np.argsort(some["image"])], at, pair))
            first += len(level.tile_pairs())
        return np.concatenate(made)

    def _candidates(self, rows: Rows, at: int, pair: tuple[int, int]) -> Rows:
        level = self.ssim.levels[at]
        tile = rows["image"] % level.tiles
        a, b = (np.flatnonzero(tile == side) for side in pair)
        found_ = [np.empty((0, 2), np.int64)]
        for start in range(0, len(a), ROWS):
            part = a[start : start + ROWS]
            passed = self._comparable(rows, part, b, level.shape)
            if self.ssim.width:
                # The vectors of small groups are as long as those of large ones: the rest of each is zeros.
                bounds = rows["vector"][part] @ rows["vector"][b].T
                passed &= bounds >= max(0.0, self.ssim.threshold - ssim_bounds.PRODUCT_ERROR)
            i, j = np.nonzero(passed)
            found_.append(np.stack([part[i], b[j]], axis=1))
        ends = np.concatenate(found_)
        if pair[0] == pair[1]:
            ends = ends[ends[:, 0] < ends[:, 1]]
        ends = np.sort(ends, axis=1)
        made = np.zeros(len(ends), CANDIDATE)
        made["shape"], made["image"], made["gray"] = at, rows["image"][ends], rows["gray"][ends]
        made["key"] = made["image"][:, 0]
        return made

    @staticmethod
    def _comparable(rows: Rows, a: NDArray[np.intp], b: NDArray[np.intp], shape: Shape) -> NDArray[np.bool_]:
        """Which pictures are compared at this shape: `metric_ssim.common_shape` of all pairs."""
        heights, widths = (rows["gray"][side].astype(np.int64) for side in ("height", "width"))
        height, width = heights[a][:, None], widths[a][:, None]
        one, other = height * widths[b], width * heights[b]
        fits = 100 * np.maximum(one, other) <= (100 + ASPECT_PERCENT) * np.minimum(one, other)
        at_shape = (np.minimum(height, heights[b]) == shape[0]) & (np.minimum(width, widths[b]) == shape[1])
        return np.asarray(fits & at_shape)


@dataclass(frozen=True, slots=True)
class Score:
    """Candidates → the pairs that reach the threshold."""

    ssim: Ssim

    def __call__(self, rows: Rows) -> Near:
        """See the class."""
        rows = rows[np.lexsort((rows["image"][:, 1], rows["image"][:, 0], rows["shape"]))]
        pictures = _Pictures(self.ssim.folder)
        similarity = np.full(len(rows), np.nan, np.float32)
        stripes: dict[int, Stripes] = {}
        for place, row in enumerate(rows):
            at = int(row["shape"])
            shape = self.ssim.levels[at].shape
            if at not in stripes:
                stripes[at] = stripes_of(shape)
            a, b = (pictures.at(gray, shape) for gray in row["gray"])
            value = score(a, b, stripes[at], least=self.ssim.threshold)
            # Equal pixels after a reduction only: equal pictures are one already.
            if value is not None and min(value, ALMOST_ONE) >= self.ssim.threshold:
                similarity[place] = min(value, ALMOST_ONE)
        kept = np.isfinite(similarity)
        ends = rows["image"][kept]
        return Near(pair_rows(ends[:, 0], ends[:, 1], similarity[kept]) if kept.any() else np.empty(0, PAIR))


def compared(engine: Engine, rows: Blocks[Rows], ssim: Ssim, parts: int) -> Blocks[Near]:
    """All pairs with at least this similarity, exactly."""
    candidates = engine.partition(rows.map(Always(Spread(ssim))), parts, Always(Bound(ssim)))
    return engine.partition(candidates, parts, Always(Score(ssim)))
