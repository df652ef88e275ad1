"""Leaks between the splits of a data set: near-duplicates across them, labels that disagree, and a split without.

splits ─fingerprint─► Kin ─► leaks, one an image ─► Leakage
                       └─group─► conflicts of labels; whole groups on one side ─► Repair
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from imkin import grouping
from imkin.errors import UsageError
from imkin.grouping import Kin
from imkin.labels import labels_of
from imkin.library import Library
from imkin.resplit import resplit, shares
from imkin.result import rounded
from imkin.scan import Progress, Scan
from imkin.types import QUALITY_FLOOR, Failure, Fingerprinter

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Leak:
    """An image that has a near-duplicate in an earlier split. twin: the most similar one there.

    similarity: 0..1. label, twin_label: None where there is none.
    """

    path: str
    split: str
    twin: str
    twin_split: str
    similarity: float
    label: str | None = None
    twin_label: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image of a group, its split and its label."""

    path: str
    split: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A group of near-duplicates with different labels: `labels`, sorted."""

    labels: tuple[str, ...]
    members: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An image in the repaired split. was: its split as it stands."""

    path: str
    was: str
    split: str
    label: str | None


@dataclass(frozen=True, slots=True)
class ShareChange:
    """A share before and after the repair, 0..1: of a class in a split, or (label None) of a split in all images."""

    split: str
    label: str | None
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Repair:
    """A split without leaks: every group whole on one side.

    images: every image that was read, in order. unkept: the shares that change by over a percentage point, because
    no better split of whole groups was found.
    """

    images: tuple[Placed, ...]
    unkept: tuple[ShareChange, ...]

    @property
    def moves(self) -> tuple[Placed, ...]:
        """The images whose split changes."""
        return tuple(image for image in self.images if image.split != image.was)


@dataclass(frozen=True, slots=True)
class Leakage:
    """What `imkin.leaks` found. splits: name → images read. low_quality: compared by their bytes alone."""

    method: str
    threshold: float
    splits: Mapping[str, int]
    leaks: tuple[Leak, ...]
    conflicts: tuple[Conflict, ...]
    repair: Repair
    unlabelled: int
    failures: tuple[Failure, ...]
    low_quality: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON object; similarities and shares with four decimals."""
        return {
            "method": self.method,
            "threshold": self.threshold,
            "splits": dict(self.splits),
            "leaks": [asdict(leak) | {"similarity": rounded(leak.similarity)} for leak in self.leaks],
            "conflicts": [asdict(conflict) for conflict in self.conflicts],
            "repair": {
                "moves": [asdict(move) for move in self.repair.moves],
                "unkept": [
                    asdict(share) | {"before": round(share.before, 4), "after": round(share.after, 4)}
                    for share in self.repair.unkept
                ],
            },
            "unlabelled": self.unlabelled,
            "failures": [asdict(failure) for failure in self.failures],
            "low_quality": list(self.low_quality),
        }


def find_leaks(
    library: Library,
    splits: Sequence[str],
    by: str | Fingerprinter,
    *,
    threshold: float,
    turns: bool = False,
    labels: str | Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Leakage:
    """Compare the splits of a data set, in their order: an image of a later one that an earlier one has is a leak.

    splits: folders, archives or tables. labels: `folders`, the path of a table, or labels by path.
    Raises UsageError for fewer than two splits, splits in each other, a split without images, labels for none.
    """
    _check(splits)
    scanned = library.fingerprint(splits, by, turns=turns, progress=progress)
    names = split_names(splits)
    for at, path in enumerate(splits):
        if not (scanned.root == at).any():
            raise UsageError(f"no image could be read in {path}")
    paths = [file.path for file in scanned.files]
    label = labels_of(paths, [splits[at] for at in scanned.root.tolist()], labels)
    kin = library.kin(scanned, threshold)
    members = grouping.group(kin, "transitive")
    low = np.flatnonzero(scanned.prints.quality < QUALITY_FLOOR).tolist()
    return Leakage(
        method=scanned.prints.spec.name,
        threshold=threshold,
        splits={name: int((scanned.root == at).sum()) for at, name in enumerate(names)},
        leaks=tuple(_leaks(scanned, kin, names, label)),
        conflicts=tuple(_conflicts(members, scanned, names, label)),
        repair=_repair(members, scanned, names, label),
        unlabelled=0 if labels is None else sum(one is None for one in label),
        failures=scanned.failures,
        low_quality=tuple(paths[at] for at in low),
    )


def split_names(splits: Sequence[str]) -> list[str]:
    """What the splits are called: the last part of each path, or the whole path where two have the same."""
    names = [os.path.basename(os.path.normpath(path)) or path for path in splits]
    return names if len(set(names)) == len(names) else list(splits)


def _check(splits: Sequence[str]) -> None:
    if len(splits) < 2:
        raise UsageError("name two splits or more: imkin leaks TRAIN TEST")
    real = [os.path.realpath(path) for path in splits]
    for at, path in enumerate(real):
        for other, above in enumerate(real):
            if at != other and (path == above or path.startswith(above.rstrip(os.sep) + os.sep)):
                raise UsageError(f"{splits[at]} lies in {splits[other]}: name splits that have no file in common")


def _leaks(scanned: Scan, kin: Kin, names: Sequence[str], label: Sequence[str | None]) -> Iterator[Leak]:
    """The leaks, in the order of the files."""
    files, split = scanned.files, scanned.root
    for at, (twin, similarity) in sorted(_twins(kin, split).items()):
        yield Leak(
            files[at].path,
            names[split[at]],
            files[twin].path,
            names[split[twin]],
            similarity,
            label[at],
            label[twin],
        )


def _twins(kin: Kin, split: Indices) -> dict[int, tuple[int, float]]:
    """Image → its most similar image in an earlier split, and how similar; of equal ones the first.

    The images of a node are all alike to others, so that the first of each split stands for them.
    """
    order, starts = kin.runs()
    nodes = kin.count
    earliest = np.full(nodes, split.max() + 1 if len(split) else 0, np.int64)
    np.minimum.at(earliest, kin.node, split)
    around = earliest.copy()
    left, right = kin.pairs.left, kin.pairs.right
    np.minimum.at(around, left, earliest[right])
    np.minimum.at(around, right, earliest[left])
    leaking = np.flatnonzero(around[kin.node] < split)
    near: dict[int, list[tuple[float, int]]] = {node: [(1.0, node)] for node in np.unique(kin.node[leaking]).tolist()}
    for a, b, similarity in zip(left.tolist(), right.tolist(), kin.pairs.similarity.tolist(), strict=True):
        for node, other in ((a, b), (b, a)):
            if node in near:
                near[node].append((similarity, other))
    # (node, split) → the first image there that is of an earlier split.
    firsts: dict[int, int] = {
        node: _first(order[starts[node] : starts[node + 1]], split)
        for node in {other for found in near.values() for _, other in found}
    }
    return {at: _twin(at, near[int(kin.node[at])], firsts, split) for at in leaking.tolist()}


def _first(images: Indices, split: Indices) -> int:
    """Of the images of a node, the first of the earliest split."""
    return int(images[np.argmin(split[images])])


def _twin(at: int, near: Sequence[tuple[float, int]], firsts: Mapping[int, int], split: Indices) -> tuple[int, float]:
    found = ((similarity, firsts[node]) for similarity, node in near if split[firsts[node]] < split[at])
    similarity, twin = min(found, key=lambda pair: (-pair[0], pair[1]))
    return twin, similarity


def _conflicts(
    members: Sequence[Indices], scanned: Scan, names: Sequence[str], label: Sequence[str | None]
) -> Iterator[Conflict]:
    for group in members:
        known = sorted({one for at in group.tolist() if (one := label[at]) is not None})
        if len(known) > 1:
            yield Conflict(
                tuple(known),
                tuple(Labelled(scanned.files[at].path, names[scanned.root[at]], label[at]) for at in group.tolist()),
            )


def _repair(members: Sequence[Indices], scanned: Scan, names: Sequence[str], label: Sequence[str | None]) -> Repair:
    n = len(scanned.files)
    group = np.arange(n, dtype=np.int64)
    for images in members:
        group[images] = images[0]
    known = sorted({one for one in label if one is not None})
    # Images without a label are a class of their own, the first.
    number = {None: 0} | {name: at for at, name in enumerate(known, 1)}
    kind = np.array([number[one] for one in label], np.int64)
    after = resplit(group, scanned.root, kind)
    changes = [share for share in shares(scanned.root, after, kind) if not share.kept]
    name_of = [None, *known]
    return Repair(
        tuple(
            Placed(file.path, names[was], names[now], one)
            for file, was, now, one in zip(scanned.files, scanned.root.tolist(), after.tolist(), label, strict=True)
        ),
        tuple(
            ShareChange(names[c.split], None if c.label is None else name_of[c.label], c.before, c.after)
            for c in changes
            if c.label is None or known
        ),
    )
