"""From what is alike to what is told: pairs with names, groups with a keeper, the result of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from imkin import grouping as grouping_
from imkin.grouping import Grouping, Kin, Similarities
from imkin.policy import Rule, choose
from imkin.result import SCHEMA, Group, Member, Pair, Relation, Result, Summary
from imkin.scan import Scan
from imkin.types import QUALITY_FLOOR, File, Pairs, Prints

Relate = Callable[[NDArray[np.int64], NDArray[np.int64]], list[Relation]]


def result(
    scanned: Scan, kin: Kin, *, threshold: float, grouping: Grouping, references: int, rules: Sequence[Rule]
) -> Result:
    """Groups of files with a suggested keeper each, and their counts.

    references: how many roots, the first ones, are reference folders: their files are kept and never removable.
    """
    pairs = grouping_.expand(kin)
    similarity = similarities(scanned, kin, threshold)
    groups = [
        replace(
            group_of(members, scanned, similarity, rules, references),
            pairs=tuple(named(inside, scanned.files, relating(scanned))),
        )
        for members, inside in _with_pairs(grouping_.group(kin, grouping), pairs, len(scanned.files))
    ]
    removable = [member for group in groups for member in group.members if member.removable]
    low = np.flatnonzero(scanned.prints.quality < QUALITY_FLOOR)
    return Result(
        schema=SCHEMA,
        method=scanned.prints.spec.name,
        threshold=threshold,
        grouping=grouping,
        images=len(scanned.files),
        failures=scanned.failures,
        low_quality=tuple(scanned.files[at].path for at in low.tolist()),
        groups=tuple(groups),
        summary=Summary(
            pairs=len(pairs),
            groups=len(groups),
            unique_images=len(scanned.files) - sum(len(group.members) - 1 for group in groups),
            removable=len(removable),
            removable_bytes=sum(member.bytes for member in removable),
        ),
    )


def similarities(scanned: Scan, kin: Kin, threshold: float) -> Similarities:
    """The direct similarity of any two files of a scan; measured where `kin` holds only so many pairs as connect."""
    return Similarities(kin, score=_scorer(scanned), threshold=threshold)


def gray_indices(prints_: Prints) -> NDArray[np.int64]:
    """Where the pictures lie in `Scan.grays`."""
    return np.ascontiguousarray(prints_.values).view("<i8").reshape(-1).astype(np.int64)


def _scorer(scanned: Scan) -> Callable[[int, int], float] | None:
    """Measures two files of a scan of gray images; None for a scan of anything else, whose pairs are complete."""
    grays = scanned.grays
    if grays is None:
        return None
    at = gray_indices(scanned.prints)
    poor = scanned.prints.quality < QUALITY_FLOOR

    def score(a: int, b: int) -> float:
        from imkin.join.ssim import ssim_pair

        if poor[a] or poor[b]:
            return 0.0
        left, right = grays.load([int(at[a]), int(at[b])])
        return ssim_pair(left, right)

    return score


def relating(scanned: Scan) -> Relate | None:
    """Tells how the two files of each pair are related; None for a scan whose fingerprints do not tell."""
    if scanned.prints.spec.kind != "record":
        return None

    def relate(left: NDArray[np.int64], right: NDArray[np.int64]) -> list[Relation]:
        from imkin.join.relation import relations
        from imkin.prints.auto import unpack

        rows, at = np.unique(np.concatenate([left, right]), return_inverse=True)
        files = [scanned.files[row] for row in rows.tolist()]
        sizes = np.array([(file.width, file.height) for file in files], np.int64).reshape(-1, 2)
        records = unpack(scanned.prints.values[rows])
        return relations(records, sizes, at[: len(left)], at[len(left) :], [file.sha256 for file in files])

    return relate


def named(pairs: Pairs, files: Sequence[File], relate: Relate | None = None) -> Iterator[Pair]:
    """Pairs of files by their paths, one after the other."""
    # In slices: lists of Python numbers of a million pairs would take 100 MB.
    for start in range(0, len(pairs), 10_000):
        part = slice(start, start + 10_000)
        rows = zip(pairs.left[part].tolist(), pairs.right[part].tolist(), pairs.similarity[part].tolist(), strict=True)
        related = relate(pairs.left[part], pairs.right[part]) if relate else repeat(None)
        for (a, b, similarity), relation in zip(rows, related, strict=False):
            yield Pair(files[a].path, files[b].path, similarity, relation)


def _with_pairs(groups: Sequence[NDArray[np.int64]], pairs: Pairs, n: int) -> Iterator[tuple[NDArray[np.int64], Pairs]]:
    """Each group with the pairs that lie inside it."""
    of_image = np.full(n, -1, np.int64)
    for number, members in enumerate(groups):
        of_image[members] = number
    owner = np.where(of_image[pairs.left] == of_image[pairs.right], of_image[pairs.left], -1)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(groups) + 1))
    for number, members in enumerate(groups):
        rows = order[starts[number] : starts[number + 1]]
        yield members, Pairs(pairs.left[rows], pairs.right[rows], pairs.similarity[rows])


def group_of(
    members: NDArray[np.int64],
    scanned: Scan,
    similarity: Callable[[int, int], float | None],
    rules: Sequence[Rule],
    references: int,
) -> Group:
    """A group with its keeper, its pairs still to be told. similarity: direct, of two files; see `Similarities`."""
    files = [scanned.files[at] for at in members.tolist()]
    referenced = [bool(scanned.root[at] < references) for at in members.tolist()]
    candidates = [at for at, is_reference in enumerate(referenced) if is_reference] or list(range(len(files)))
    chosen, reason = choose([files[at] for at in candidates], rules)
    keeper = candidates[chosen]
    if len(candidates) < len(files):
        reason = f"in the reference folder; {reason}" if len(candidates) > 1 else "in the reference folder"
    similar = [similarity(int(at), int(members[keeper])) for at in members.tolist()]
    similar[keeper] = 1.0
    order = [keeper, *(at for at in range(len(files)) if at != keeper)]
    return Group(
        keeper=files[keeper].path,
        reason=reason,
        members=tuple(
            Member(
                file.path,
                file.sha256,
                file.sha1,
                file.width,
                file.height,
                file.size,
                similar[at],
                removable=at != keeper and similar[at] is not None and not referenced[at] and file.source == "file",
            )
            for at, file in ((at, files[at]) for at in order)
        ),
        pairs=(),
    )
