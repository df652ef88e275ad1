"""What a job found, as one machine would tell it: groups with keepers and pairs, without ever holding all the pairs.

The pairs of a join lie in files, as pairs of distinct images. They are read a slice at a time, become pairs of files,
are sorted by way of a temporary file, and are named when they are asked for. What is in memory grows with the images
that are alike others, not with their pairs, for groups by chains of pairs; star and clique, and a person's verdicts,
need all pairs of distinct images at once, 20 bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin import findings, grouping
from imkin.grouping import COMPACT_ABOVE, Grouping, Kin
from imkin.join import fused
from imkin.policy import DEFAULT_RULES, Rule, parse_rules, respect
from imkin.prints import TURNS
from imkin.result import SCHEMA, Group, Result, Summary
from imkin.scale.kept import Joined
from imkin.scale.pairing import PAIR, PairRows, forest, pair_rows, unique
from imkin.scale.told import Told, sorted_rows
from imkin.scan import Scan
from imkin.types import Failure, Pairs

Indices = NDArray[np.int64]

# Pairs of files that a slice of the join's pairs becomes, about.
SLICE = 2_000_000
INVERSE = np.array([fused.inverse(t) for t in range(TURNS)], np.int8)


@dataclass(frozen=True, slots=True)
class Found:
    """What a job found. scanned: the images that are alike others, and those that a person decided about.

    classes: (n,) equal images have equal ones, 0.. by their first. leaders: (k,) the number of the first image of each
    class among all images. tree: pairs of classes that connect what all the join's pairs connect.
    label: as in `Kin`. images, low_quality: of all images. lost: shards that no worker finished. recall: (pairs that
    some images have, those of them that were found) where the join is not exact.
    """

    scanned: Scan
    classes: Indices
    leaders: Indices
    joined: Joined
    tree: PairRows
    label: Indices | None
    verdicts: Mapping[tuple[str, str], str]
    images: int
    low_quality: tuple[str, ...]
    lost: tuple[Failure, ...]
    recall: tuple[int, int] | None = None

    @property
    def hot(self) -> tuple[int, ...]:
        """Sizes of buckets that are told of, the largest first."""
        return self.joined.hot

    def group(
        self, *, threshold: float, grouping: Grouping = "transitive", references: int = 0, rules: Sequence[Rule] = ()
    ) -> Result:
        """As `Library.group`. The pairs of a group are read when they are asked for."""
        return _result(self, threshold, grouping, references, rules or parse_rules(DEFAULT_RULES))

    def pairs(self) -> Told:
        """As `Library.pairs`: all pairs of files, by the order of the files."""
        _, rows = sorted_rows(self._rows(self.whole() if self._decided() else None), lambda rows: rows["left"], self._n)
        return Told(rows, self.scanned.files)

    @property
    def found(self) -> bool:
        """Whether there is any pair of files."""
        return self.connected().found

    @property
    def _n(self) -> int:
        return len(self.classes)

    def _decided(self) -> bool:
        """Whether a person's verdict concerns any two of the images."""
        known = {file.sha256 for file in self.scanned.files} if self.verdicts else set()
        return any(a in known and b in known for a, b in self.verdicts)

    def whole(self) -> Kin:
        """What is alike, all pairs in memory, a person's verdicts among them."""
        rows = unique(np.concatenate([np.empty(0, PAIR), *(_plain(rows) for rows in self._slices())]))
        kin = grouping.find_kin(self.classes, _pairs(rows), self.label)
        return respect(kin, self.scanned.files, self.verdicts)

    def connected(self) -> Kin:
        """What is alike, with only so many pairs as connect the same images."""
        if self._decided():
            return self.whole()
        if self.label is None:
            return grouping.find_kin(self.classes, _pairs(self.tree), None)
        # Not all pairs of classes are pairs of files of different labels, so that the tree may lead through none.
        kin = grouping.find_kin(self.classes, _pairs(np.empty(0, PAIR)), self.label)
        tree = pair_rows(kin.pairs.left, kin.pairs.right, kin.pairs.similarity)
        for rows in self._slices():
            near = grouping.find_kin(self.classes, _pairs(unique(rows)), self.label).pairs
            tree = forest(np.concatenate([tree, pair_rows(near.left, near.right, near.similarity)]))
        return Kin(kin.node, kin.label, _pairs(tree))

    def _slices(self) -> Iterator[PairRows]:
        """The join's pairs, of classes, in slices that become some SLICE pairs of files each."""
        sizes = np.bincount(self.classes)
        sizes = np.where(sizes > COMPACT_ABOVE, 1, sizes)
        for rows in self.joined.chunks():
            rows = rows.copy()
            for side in ("left", "right"):
                rows[side] = np.searchsorted(self.leaders, rows[side])
            number = np.cumsum(sizes[rows["left"]] * sizes[rows["right"]]) // SLICE
            yield from np.split(rows, np.flatnonzero(np.diff(number)) + 1)

    def _rows(self, whole: Kin | None) -> Iterator[PairRows]:
        """All pairs of files, in any order, some more than once. whole: take the pairs from here."""
        if whole is not None:
            told = np.concatenate([np.empty(0, self.joined.kind), *self._slices()])
            yield self._told(grouping.expand(whole), told)
            return
        alone = grouping.find_kin(self.classes, _pairs(np.empty(0, PAIR)), self.label)
        none = np.empty(0, self.joined.kind)
        yield self._told(grouping.expand_within(alone), none)
        yield self._told(grouping.expand_across(alone), none)
        for rows in self._slices():
            kin = grouping.find_kin(self.classes, _pairs(rows), self.label)
            yield self._told(grouping.expand_across(kin), rows)

    def _told(self, pairs: Pairs, rows: PairRows) -> PairRows:
        """Pairs of files with what is told of their classes' pairs; nothing of those that are not among the rows."""
        made = np.zeros(len(pairs), self.joined.kind)
        made["left"], made["right"], made["similarity"] = pairs.left, pairs.right, pairs.similarity
        if "name" not in (made.dtype.names or ()):
            return made
        rows = unique(rows)
        count = len(self.leaders)
        a, b = self.classes[pairs.left], self.classes[pairs.right]
        keys = rows["left"] * count + rows["right"]
        wanted = np.minimum(a, b) * count + np.maximum(a, b)
        at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
        known = keys[at] == wanted if len(keys) else np.zeros(len(wanted), bool)
        for name in set(made.dtype.names or ()) - {"left", "right", "similarity"}:
            made[name][known] = rows[name][at[known]]
            made[name][~known] = np.nan if made.dtype[name].kind == "f" else made[name][~known]
        turned = known & (a > b)
        made["turn"][turned] = INVERSE[made["turn"][turned]]
        part = made["part"][turned]
        made["part"][turned] = np.where(part == b"a", b"b", np.where(part == b"b", b"a", b""))
        return made


def _plain(rows: PairRows) -> PairRows:
    made = np.empty(len(rows), PAIR)
    for name in PAIR.names or ():
        made[name] = rows[name]
    return made


def _pairs(rows: PairRows) -> Pairs:
    return Pairs(
        np.ascontiguousarray(rows["left"]),
        np.ascontiguousarray(rows["right"]),
        np.ascontiguousarray(rows["similarity"]),
    )


def _result(found: Found, threshold: float, how: Grouping, references: int, rules: Sequence[Rule]) -> Result:
    whole = found.whole() if found._decided() or how != "transitive" else None
    kin = whole or found.connected()
    groups = grouping.group(kin, how)
    of_image = np.full(found._n, len(groups), np.int64)
    for number, members in enumerate(groups):
        of_image[members] = number

    def owner(rows: PairRows) -> Indices:
        left = of_image[rows["left"]]
        return np.where(left == of_image[rows["right"]], left, len(groups))

    starts, rows = sorted_rows(found._rows(whole if found._decided() else None), owner, len(groups) + 1)
    made: list[Group] = []
    for number, members in enumerate(groups):
        own = rows[int(starts[number]) : int(starts[number + 1])]
        one = findings.group_of(members, found.scanned, _similar(kin, np.asarray(own)), rules, references)
        made.append(replace(one, pairs=Told(own, found.scanned.files)))
    removable = [member for one in made for member in one.members if member.removable]
    unique_images = found.images - sum(len(one.members) - 1 for one in made)
    size = sum(member.bytes for member in removable)
    return Result(
        schema=SCHEMA,
        method=found.scanned.prints.spec.name,
        threshold=threshold,
        grouping=how,
        images=found.images,
        failures=found.scanned.failures,
        low_quality=found.low_quality,
        groups=tuple(made),
        summary=Summary(len(rows), len(made), unique_images, len(removable), size),
    )


def _similar(kin: Kin, rows: PairRows) -> Callable[[int, int], float | None]:
    """The direct similarity of two images of a group, from the group's pairs; the second is asked for many times."""
    near: dict[int, dict[int, float]] = {}

    def of(node: int) -> dict[int, float]:
        left, right = kin.node[rows["left"]], kin.node[rows["right"]]
        touching = (left == node) | (right == node)
        others = np.where(left == node, right, left)[touching]
        return dict(zip(others.tolist(), rows["similarity"][touching].tolist(), strict=True))

    def similarity(a: int, b: int) -> float | None:
        one, other = int(kin.node[a]), int(kin.node[b])
        if one == other:
            return 1.0 if kin.label is None else None
        if other not in near:
            near[other] = of(other)
        return near[other].get(one)

    return similarity
