"""From pairs to groups: which images belong together, without ever holding all pairs of a large set of equals.

Images with one and the same fingerprint are one *node*; only nodes are joined and grouped, so that a thousand
copies cost a thousand rows and not half a million pairs. Where a run compares only across labels (between roots,
or with a reference), the images of one node have one label too, and they are not pairs of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.types import Pairs

Grouping = Literal["transitive", "star", "clique"]
GROUPINGS: tuple[Grouping, ...] = ("transitive", "star", "clique")

# Pairs of up to this many images with the same fingerprint are listed one by one (64 images make 2,016 pairs);
# of a larger set, only the first image's pairs are.
COMPACT_ABOVE = 64

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kin:
    """What is alike in n images: nodes of equal fingerprint and the pairs of nodes that are near.

    node: (n,) int64, the node of each image; nodes are numbered by their first image. label: (n,) int64 or None:
    images are compared only where their labels differ, and all images of a node have one label.
    pairs: of nodes, allowed ones only. similarity within a node is 1.
    """

    node: Indices
    label: Indices | None
    pairs: Pairs

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return int(self.node.max()) + 1 if len(self.node) else 0

    @property
    def found(self) -> bool:
        """Whether there is any pair of images."""
        return len(self.pairs) > 0 or (self.label is None and self.count < len(self.node))

    def runs(self) -> tuple[Indices, Indices]:
        """The images in the order of their nodes, and where each node starts in it; one start more than nodes."""
        order = np.argsort(self.node, kind="stable").astype(np.int64)
        return order, np.searchsorted(self.node[order], np.arange(self.count + 1)).astype(np.int64)


def grouping_of(name: str) -> Grouping:
    """The grouping of a name. UsageError for an unknown one."""
    for known in GROUPINGS:
        if name == known:
            return known
    raise UsageError(f"unknown grouping `{name}`; known: {', '.join(GROUPINGS)}")


def find_kin(same: Indices, near: Pairs, label: Indices | None) -> Kin:
    """Nodes and their pairs, from fingerprint classes and pairs of classes.

    same: (n,) int64, images with equal numbers have equal fingerprints; numbers are 0.. without gaps.
    near: pairs of those numbers. label: (n,) int64; only images of different labels are compared. None: all are.
    """
    if label is None:
        node = _renumber(same)
        mapped = np.empty(int(same.max()) + 1 if len(same) else 0, np.int64)
        mapped[same] = node
        return Kin(node, None, _ordered(mapped[near.left], mapped[near.right], near.similarity))
    label = np.unique(label, return_inverse=True)[1].astype(np.int64)
    labels = int(label.max()) + 1 if len(label) else 1
    node = _renumber(same * labels + label)
    nodes = int(node.max()) + 1 if len(node) else 0
    class_of, label_of = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    class_of[node], label_of[node] = same, label
    # The nodes of a class stand together in `by_class`; each pair of classes is the product of two such runs.
    by_class = np.argsort(class_of, kind="stable").astype(np.int64)
    starts = np.searchsorted(class_of[by_class], np.arange(int(same.max()) + 2 if len(same) else 1))
    classes = np.flatnonzero(np.diff(starts) > 1)
    left = np.concatenate([near.left, classes])
    right = np.concatenate([near.right, classes])
    similarity = np.concatenate([near.similarity, np.ones(len(classes), np.float32)])
    rows, a, b = _products(starts, left, right)
    a, b = by_class[a], by_class[b]
    allowed = (label_of[a] != label_of[b]) & ((left[rows] != right[rows]) | (a < b))
    return Kin(node, label, _ordered(a[allowed], b[allowed], similarity[rows[allowed]]))


def _products(starts: Indices, left: Indices, right: Indices) -> tuple[Indices, Indices, Indices]:
    """All (row, position in left's run, position in right's run) of the runs starts[c]:starts[c + 1]."""
    wide, high = np.diff(starts)[left], np.diff(starts)[right]
    sizes = wide * high
    rows = np.repeat(np.arange(len(left)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows, starts[left][rows] + within // high[rows], starts[right][rows] + within % high[rows]


def _renumber(values: Indices) -> Indices:
    """Number equal values alike, by first appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def _ordered(a: Indices, b: Indices, similarity: NDArray[np.float32]) -> Pairs:
    left, right = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], similarity[order].astype(np.float32))


def expand(kin: Kin) -> Pairs:
    """The pairs of images. Of a node of over COMPACT_ABOVE images, only those of its first image."""
    parts = [expand_across(kin), expand_within(kin)]
    return _ordered(
        np.concatenate([part.left for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.similarity for part in parts]),
    )


def expand_across(kin: Kin) -> Pairs:
    """Those of `expand` whose images are of two nodes."""
    shown, starts = _listed(kin)
    rows, a, b = _products(starts, kin.pairs.left, kin.pairs.right)
    return _ordered(shown[a], shown[b], kin.pairs.similarity[rows])


def expand_within(kin: Kin) -> Pairs:
    """Those of `expand` whose images are of one node."""
    order, starts = kin.runs()
    sizes = np.diff(starts)
    large = sizes > COMPACT_ABOVE
    if kin.label is not None:
        order = order[:0]
    alike = np.flatnonzero((sizes > 1) & ~large) if kin.label is None else np.empty(0, np.int64)
    _, a, b = _products(starts, alike, alike)
    star = np.flatnonzero(large[kin.node[order]])
    star = star[star != starts[kin.node[order[star]]]]
    left = np.concatenate([order[a[a < b]], order[starts[kin.node[order[star]]]]])
    right = np.concatenate([order[b[a < b]], order[star]])
    return _ordered(left, right, np.ones(len(left), np.float32))


def _listed(kin: Kin) -> tuple[Indices, Indices]:
    """The images whose pairs are listed, in the order of their nodes, and where each node starts among them."""
    order, starts = kin.runs()
    sizes = np.diff(starts)
    large = sizes > COMPACT_ABOVE
    listed = ~large[kin.node[order]]
    listed[starts[:-1]] = True
    return order[listed], np.concatenate([[0], np.cumsum(np.where(large, 1, sizes))]).astype(np.int64)


def group(kin: Kin, grouping: Grouping) -> list[Indices]:
    """Groups of images, each ascending, in the order of their first image; images without kin are in none.

    transitive: whoever is linked by a chain of pairs. star: the image with the most kin and all that are near it,
    then again among the rest. clique: only images that are all near each other (as far as they were compared),
    grown greedily from the best pairs.
    """
    how = {"transitive": _transitive, "star": _star_groups, "clique": _cliques}[grouping]
    assigned = how(kin.count, kin)
    of_image = assigned[kin.node] if len(kin.node) else np.empty(0, np.int64)
    several = np.flatnonzero(np.bincount(of_image, minlength=1)[of_image] > 1)
    order = several[np.argsort(of_image[several], kind="stable")]
    cuts = np.flatnonzero(np.diff(of_image[order])) + 1
    groups = [part for part in np.split(order, cuts) if len(part) and _linked(part, kin)]
    return sorted(groups, key=lambda part: int(part[0]))


def _linked(images: Indices, kin: Kin) -> bool:
    return kin.label is None or len(np.unique(kin.node[images])) > 1


def _transitive(nodes: int, kin: Kin) -> Indices:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(kin.pairs), np.int8)
    graph = coo_array((ones, (kin.pairs.left, kin.pairs.right)), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _neighbours(nodes: int, pairs: Pairs) -> list[Sequence[tuple[int, float]]]:
    near: list[list[tuple[int, float]]] = [[] for _ in range(nodes)]
    for a, b, s in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True):
        near[a].append((b, s))
        near[b].append((a, s))
    return near  # type: ignore[return-value]


def _star_groups(nodes: int, kin: Kin) -> Indices:
    """Greedy: centres by falling number of kin (images, not nodes), ties by order; each takes its free kin."""
    near = _neighbours(nodes, kin.pairs)
    size = np.bincount(kin.node, minlength=nodes)
    kin_of = size.copy()
    np.add.at(kin_of, kin.pairs.left, size[kin.pairs.right])
    np.add.at(kin_of, kin.pairs.right, size[kin.pairs.left])
    assigned = np.full(nodes, -1, np.int64)
    for centre in np.lexsort((np.arange(nodes), -kin_of)).tolist():
        if assigned[centre] < 0:
            assigned[centre] = centre
            for other, _ in near[centre]:
                if assigned[other] < 0:
                    assigned[other] = centre
    return assigned


def _cliques(nodes: int, kin: Kin) -> Indices:
    """Complete linkage, greedy: pairs by falling similarity merge two cliques when all across are pairs.

    Nodes of one label were not compared with each other and do not stand in the way.
    """
    near: list[set[int]] = [set() for _ in range(nodes)]
    pairs = kin.pairs
    for a, b in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
        near[a].add(b)
        near[b].add(a)
    label = np.arange(nodes, dtype=np.int64)
    if kin.label is not None:
        label[kin.node] = kin.label
    labels = label.tolist()
    clique_of = list(range(nodes))
    cliques: list[list[int]] = [[node] for node in range(nodes)]
    for at in np.lexsort((pairs.right, pairs.left, -pairs.similarity)).tolist():
        a, b = clique_of[int(pairs.left[at])], clique_of[int(pairs.right[at])]
        if a == b:
            continue
        if all(y in near[x] or labels[x] == labels[y] for x in cliques[a] for y in cliques[b]):
            if len(cliques[a]) < len(cliques[b]):
                a, b = b, a
            for node in cliques[b]:
                clique_of[node] = a
            cliques[a] += cliques[b]
            cliques[b] = []
    return np.array(clique_of, np.int64)


class Similarities:
    """The direct similarity of two images: looked up among the pairs of their nodes, or measured.

    score: measures two images where `kin` holds only so many pairs as connect them (see `join.ssim`); its answer
    counts from `threshold` on. None: the pairs are complete.
    """

    def __init__(self, kin: Kin, *, score: Callable[[int, int], float] | None = None, threshold: float = 0.0) -> None:
        self._kin = kin
        self._score = score
        self._threshold = threshold
        self._nodes = kin.count
        self._keys = kin.pairs.left * self._nodes + kin.pairs.right

    def __call__(self, a: int, b: int) -> float | None:
        """0..1, or None where the two are not a pair (too far apart, or not compared)."""
        first, second = sorted((int(self._kin.node[a]), int(self._kin.node[b])))
        if first == second:
            return 1.0 if self._kin.label is None else None
        key = first * self._nodes + second
        at = int(np.searchsorted(self._keys, key))
        if at < len(self._keys) and self._keys[at] == key:
            return float(self._kin.pairs.similarity[at])
        if self._score is None or (self._kin.label is not None and self._kin.label[a] == self._kin.label[b]):
            return None
        measured = self._score(a, b)
        return measured if measured >= self._threshold else None
