"""The search behind `join.ssim`: groups of sizes, bounds by blocks, batches of pictures, connection."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from imkin.join import ssim_bounds
from imkin.join.ssim_kernel import Stripes, score, stripes_of
from imkin.metric_ssim import ALMOST_ONE, ASPECT_PERCENT, Gray, Shape, common_shape, reduce_to

Load = Callable[[Sequence[int]], list[Gray]]
Index = NDArray[np.int64]
Pair = tuple[int, int, float]

# Fewer pictures than this are scored at once: a vector costs what some 10 refused pairs cost.
VECTORS_FROM = 16

# All vectors of a group together; 10,000 of the finest grid take 348 MB.
VECTOR_BYTES = 512 << 20

# Pictures held at a time, on either side of a batch; and how many at most, for the batch's pairs are held too.
BATCH_BYTES = 96 << 20
BATCH_PICTURES = 256

# Entries of a block of bounds (4 bytes each), and pairs that are gathered before they are put in order and scored.
BLOCK_BOUNDS = 4_000_000
GATHERED_PAIRS = 1_000_000

LOADED_AT_ONCE = 4
SCORED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """The pictures that are compared at one shape. links: pairs of classes of pictures of one size, (k,) each."""

    shape: Shape
    links: tuple[tuple[Index, Index], ...]

    @property
    def members(self) -> Index:
        """All its pictures, ascending."""
        return np.unique(np.concatenate([side for link in self.links for side in link]))


def size_links(sizes: Index) -> dict[Shape, list[tuple[int, int]]]:
    """The shapes at which pictures are compared, and which sizes are at each: pairs i <= j. sizes: (k, 2), distinct."""
    links: dict[Shape, list[tuple[int, int]]] = defaultdict(list)
    for i, (h, w) in enumerate(sizes.tolist()):
        # At twice the allowed percentage, in floats: the exact rule is common_shape's.
        ratio = (sizes[i:, 0] * w) / np.maximum(1, sizes[i:, 1] * h)
        for j in (np.flatnonzero(np.abs(np.log(np.maximum(ratio, 1e-9))) < ASPECT_PERCENT / 50) + i).tolist():
            shape = common_shape((h, w), (int(sizes[j, 0]), int(sizes[j, 1])))
            if shape is not None:
                links[shape].append((i, j))
    return dict(sorted(links.items()))


def size_groups(shapes: Index) -> Iterator[SizeGroup]:
    """Every comparable pair of pictures is in one link of one group, in either order. shapes: (n, 2)."""
    sizes, inverse = np.unique(shapes, axis=0, return_inverse=True)
    by_size = np.argsort(inverse.reshape(-1), kind="stable")
    classes = np.split(by_size, np.cumsum(np.bincount(inverse.reshape(-1), minlength=len(sizes)))[:-1])
    for shape, links in size_links(sizes).items():
        several = [(i, j) for i, j in links if i != j or len(classes[i]) > 1]
        if several:
            yield SizeGroup(shape, tuple((classes[i], classes[j]) for i, j in several))


@dataclass(slots=True)
class Found:
    """Pairs of pictures that were found, as lists of arrays."""

    left: list[Index] = field(default_factory=list)
    right: list[Index] = field(default_factory=list)
    similarity: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, a: Index, b: Index, similarity: float) -> None:
        """Pairs of one similarity, in any order."""
        self.left.append(np.minimum(a, b))
        self.right.append(np.maximum(a, b))
        self.similarity.append(np.full(len(a), similarity))

    def arrays(self) -> tuple[Index, Index, NDArray[np.float64]]:
        """The pairs sorted by (left, right), left < right."""
        left = np.concatenate([np.empty(0, np.int64), *self.left])
        right = np.concatenate([np.empty(0, np.int64), *self.right])
        order = np.lexsort((right, left))
        return left[order], right[order], np.concatenate([np.empty(0), *self.similarity])[order]


class Search:
    """One run. first: (n,) int64, the first picture with the same pixels, known once a picture was loaded.

    Only first pictures are compared. root: (n,) int64, a forest of connected first pictures, the smallest on top.
    connect: leave out pairs that are connected. settle: a proof suffices, similarities may be lower bounds.
    """

    def __init__(
        self,
        load: Load,
        shapes: Index,
        threshold: float,
        *,
        label: Index | None,
        pool: Executor,
        connect: bool,
        settle: bool,
    ) -> None:
        self.load, self.shapes, self.threshold, self.label = load, shapes, threshold, label
        self.pool, self.connect, self.settle = pool, connect, settle
        self.first = np.arange(len(shapes))
        self.root = np.arange(len(shapes))
        self.found = Found()
        self._digests: dict[tuple[bytes, Shape], int] = {}
        self._known = np.zeros(len(shapes), bool)
        self._copies: dict[int, Index] = {}

    def run(self) -> None:
        """Fill `found`, `first` and `root`."""
        for group in size_groups(self.shapes):
            _SizeSearch(self, group).run()
        self._pair_copies()

    def top(self, i: int) -> int:
        """The root of a first picture."""
        root = self.root
        while root[i] != i:
            root[i] = root[root[i]]
            i = int(root[i])
        return i

    def note_digests(self, digests: Iterable[tuple[int, bytes]]) -> None:
        """Digests of pictures that were loaded for the first time, in ascending order of the pictures."""
        for i, digest in digests:
            self._known[i] = True
            self.first[i] = self._digests.setdefault(self._key(i, digest), i)

    def is_copy(self, i: int, digest: bytes) -> bool:
        """Whether an earlier picture with these pixels was noted by now; it may be noted a moment later."""
        return self._digests.get(self._key(i, digest), i) < i

    def _key(self, i: int, digest: bytes) -> tuple[bytes, Shape]:
        return digest, (int(self.shapes[i, 0]), int(self.shapes[i, 1]))

    def is_known(self, i: int) -> bool:
        """Whether the picture's digest was noted."""
        return bool(self._known[i])

    def copies_of(self, i: int) -> Index:
        """The pictures with the pixels of first picture i."""
        if not self._copies:
            order = np.argsort(self.first, kind="stable")
            starts = np.flatnonzero(np.diff(self.first[order], prepend=-1))
            self._copies = {int(part[0]): part for part in np.split(order, starts[1:])}
        return self._copies[i]

    def forget_copies(self) -> None:
        """To be called when `first` has changed."""
        self._copies = {}

    def accept(self, i: int, j: int, similarity: float) -> None:
        """First pictures i and j are a pair."""
        a, b = self.top(i), self.top(j)
        self.root[max(a, b)] = min(a, b)
        if self.connect and self.label is None:
            self.found.add(np.array([i]), np.array([j]), similarity)
            return
        ours, theirs = self.copies_of(i), self.copies_of(j)
        self._add_allowed(np.repeat(ours, len(theirs)), np.tile(theirs, len(ours)), similarity)

    def _add_allowed(self, a: Index, b: Index, similarity: float) -> None:
        if self.label is not None:
            differ = self.label[a] != self.label[b]
            a, b = a[differ], b[differ]
        self.found.add(a, b, similarity)

    def _pair_copies(self) -> None:
        """Equal pictures are pairs of each other, with similarity 1."""
        self.forget_copies()
        if not len(self.first):
            return
        self.copies_of(0)
        for copies in self._copies.values():
            if len(copies) == 1:
                continue
            if self.connect and self.label is None:
                self.found.add(np.full(len(copies) - 1, copies[0]), copies[1:], 1.0)
            else:
                a, b = np.triu_indices(len(copies), 1)
                self._add_allowed(copies[a], copies[b], 1.0)


class _SizeSearch:
    """The part of a search at one shape."""

    def __init__(self, search: Search, group: SizeGroup) -> None:
        self.search, self.group = search, group
        self.stripes: Stripes = stripes_of(group.shape)
        self.members = group.members
        self.merged = 0
        self.vectors: NDArray[np.float32] | None = None
        self.pictures: dict[int, Gray] = {}
        # A small group is loaded and reduced once; of a large one only a batch is held.
        self.holds_all = len(self.members) * group.shape[0] * group.shape[1] <= BATCH_BYTES

    def run(self) -> None:
        self._prepare()
        if self.search.threshold > ALMOST_ONE:
            return
        gathered: list[tuple[Index, Index, NDArray[np.float32]]] = []
        count = 0
        for block in self._candidates():
            gathered.append(block)
            count += len(block[0])
            if count >= GATHERED_PAIRS:
                self._score(gathered)
                gathered, count = [], 0
        self._score(gathered)

    def _prepare(self) -> None:
        """Digests of pictures not seen before; the vectors of first ones, where they pay."""
        members = self.members
        useful = 0 < self.search.threshold <= ALMOST_ONE and len(members) >= VECTORS_FROM
        if useful:
            self.merged = 1
            whole = len(members) * 4 * ssim_bounds.size_of(self.stripes)
            while whole // self.merged > VECTOR_BYTES and self.merged < len(self.stripes.rows) - 1:
                self.merged *= 2
            self.vectors = np.empty((len(members), ssim_bounds.size_of(self.stripes, merged=self.merged)), np.float32)
        elif all(self.search.is_known(i) for i in members.tolist()):
            return
        chunks = [range(k, min(k + LOADED_AT_ONCE, len(members))) for k in range(0, len(members), LOADED_AT_ONCE)]
        for digests in self.search.pool.map(self._prepare_chunk, chunks):
            self.search.note_digests(digests)
        self.search.forget_copies()

    def _prepare_chunk(self, rows: range) -> list[tuple[int, bytes]]:
        indices = self.members[rows.start : rows.stop].tolist()
        digests = []
        for row, i, gray in zip(rows, indices, self.search.load(indices), strict=True):
            if not self.search.is_known(i):
                digest = hashlib.blake2b(gray.tobytes(), digest_size=16).digest()
                digests.append((i, digest))
                if self.search.is_copy(i, digest):
                    continue
            elif self.search.first[i] != i:
                continue
            reduced = reduce_to(gray, self.group.shape)
            if self.holds_all:
                self.pictures[i] = reduced
            if self.vectors is not None:
                self.vectors[row] = ssim_bounds.vector(reduced, self.stripes, merged=self.merged)
        return digests

    def _candidates(self) -> Iterator[tuple[Index, Index, NDArray[np.float32]]]:
        """First pictures whose bound reaches the threshold: (a, b, bound), in blocks."""
        least = self.search.threshold - ssim_bounds.PRODUCT_ERROR
        for left, right in self.group.links:
            within = left is right
            a, b = (side[self.search.first[side] == side] for side in (left, right))
            rows = max(1, BLOCK_BOUNDS // max(1, len(b)))
            for start in range(0, len(a), rows):
                part, others = a[start : start + rows], b[start:] if within else b
                bounds = self._bounds(part, others)
                if within:
                    bounds[np.tril_indices(len(part), 0, len(others))] = -1
                i, j = np.nonzero(bounds >= max(least, 0))
                allowed = self._allowed(part[i], others[j])
                i, j = i[allowed], j[allowed]
                yield part[i], others[j], bounds[i, j]

    def _bounds(self, a: Index, b: Index) -> NDArray[np.float32]:
        if self.vectors is None:
            return np.ones((len(a), len(b)), np.float32)
        rows, columns = np.searchsorted(self.members, a), np.searchsorted(self.members, b)
        out = np.empty((len(a), len(b)), np.float32)
        # In slices: taking all columns at once would copy all vectors.
        for start in range(0, len(columns), 512):
            part = columns[start : start + 512]
            out[:, start : start + 512] = self.vectors[rows] @ self.vectors[part].T
        return out

    def _allowed(self, a: Index, b: Index) -> NDArray[np.bool_]:
        """Whether first pictures stand for pictures of different labels."""
        label = self.search.label
        if label is None:
            return np.ones(len(a), bool)
        first = self.search.first
        low, high = label.copy(), label.copy()
        np.minimum.at(low, first, label)
        np.maximum.at(high, first, label)
        one = (low[a] == high[a]) & (low[b] == high[b]) & (low[a] == low[b])
        return np.asarray(~one)

    def _score(self, gathered: list[tuple[Index, Index, NDArray[np.float32]]]) -> None:
        """Score gathered pairs in batches of few pictures, those of one family near each other."""
        if not gathered or not sum(len(block[0]) for block in gathered):
            return
        a, b, bound = (np.concatenate([block[k] for block in gathered]) for k in range(3))
        nodes = np.unique(np.concatenate([a, b]))
        i, j = np.searchsorted(nodes, a), np.searchsorted(nodes, b)
        ones = np.ones(2 * len(i), np.int8)
        graph = coo_array((ones, (np.append(i, j), np.append(j, i))), (len(nodes), len(nodes))).tocsr()
        place = np.empty(len(nodes), np.int64)
        place[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(len(nodes))
        side = int(np.clip(BATCH_BYTES // (self.group.shape[0] * self.group.shape[1]), 2, BATCH_PICTURES))
        block = np.sort(np.stack([place[i], place[j]]) // side, axis=0)
        order = np.lexsort((b, a, -bound, block[1], block[0]))
        cuts = np.flatnonzero(np.diff(block[:, order], axis=1).any(axis=0)) + 1
        for batch in np.split(order, cuts):
            self._score_batch(list(zip(a[batch].tolist(), b[batch].tolist(), bound[batch].tolist(), strict=True)))

    def _score_batch(self, pairs: list[Pair]) -> None:
        if self.search.connect:
            pairs = [p for p in pairs if self.search.top(p[0]) != self.search.top(p[1])]
        needed = sorted({i for pair in pairs for i in pair[:2]})
        self._hold([int(i) for i in needed])
        while pairs:
            wave, pairs = self._forest(pairs) if self.search.connect else (pairs, [])
            chunks = [wave[k : k + SCORED_AT_ONCE] for k in range(0, len(wave), SCORED_AT_ONCE)]
            for chunk, values in zip(chunks, self.search.pool.map(self._score_chunk, chunks), strict=True):
                for (i, j, _), value in zip(chunk, values, strict=True):
                    if value is not None:
                        self.search.accept(i, j, value)

    def _forest(self, pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Of pairs that are not connected those to score next, none needless if all are accepted; and the others."""
        now: list[Pair] = []
        later: list[Pair] = []
        above: dict[int, int] = {}

        def top(i: int) -> int:
            while i in above:
                i = above[i]
            return i

        for pair in pairs:
            a, b = self.search.top(pair[0]), self.search.top(pair[1])
            if a == b:
                continue
            a, b = top(a), top(b)
            if a == b:
                later.append(pair)
            else:
                above[max(a, b)] = min(a, b)
                now.append(pair)
        return now, later

    def _hold(self, needed: list[int]) -> None:
        """Load what a batch needs, keep what it shares with the last one, drop the rest."""
        held = self.pictures if self.holds_all else {i: self.pictures[i] for i in needed if i in self.pictures}
        missing = [i for i in needed if i not in held]
        self.pictures = held
        chunks = [missing[k : k + LOADED_AT_ONCE] for k in range(0, len(missing), LOADED_AT_ONCE)]
        for chunk, grays in zip(chunks, self.search.pool.map(self._load, chunks), strict=True):
            held.update(zip(chunk, grays, strict=True))

    def _load(self, indices: list[int]) -> list[Gray]:
        return [reduce_to(gray, self.group.shape) for gray in self.search.load(indices)]

    def _score_chunk(self, pairs: list[Pair]) -> list[float | None]:
        return [self._score_pair(i, j) for i, j, _ in pairs]

    def _score_pair(self, i: int, j: int) -> float | None:
        least, floor = self.search.threshold, None
        if self.vectors is not None and self.merged == 1:
            row, column = np.searchsorted(self.members, (i, j))
            floor = ssim_bounds.floors(self.vectors[row], self.vectors[column], self.stripes)
        value = score(
            self.pictures[i], self.pictures[j], self.stripes, least=least, floor=floor, settle=self.search.settle
        )
        if value == 1:
            # Equal pixels after a reduction only; equal pictures are never compared.
            value = ALMOST_ONE if least <= ALMOST_ONE else None
        return value
