"""What a person decided about pairs, brought into what was measured, before files are grouped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imkin.grouping import Kin
from imkin.types import File, Pairs

Indices = NDArray[np.int64]


def respect(kin: Kin, files: Sequence[File], verdicts: Mapping[tuple[str, str], str]) -> Kin:
    """What is alike, after a person's verdicts on contents: (sha256, sha256) in rising order → `same` or `different`.

    Where only files of different labels are compared, `same` joins only those. Doing it again changes nothing.
    """
    number: dict[str, int] = {}
    content = np.array([number.setdefault(file.sha256, len(number)) for file in files], np.int64)
    known = [(number[a], number[b], verdict) for (a, b), verdict in verdicts.items() if a in number and b in number]
    if not known:
        return kin
    # A unit is what shares node and content: the files of a decided content move together.
    keys, first, unit = np.unique(kin.node * len(number) + content, return_index=True, return_inverse=True)
    units_of: dict[int, list[int]] = {}
    for at, key in enumerate(keys.tolist()):
        units_of.setdefault(key % len(number), []).append(at)
    label = kin.label[first] if kin.label is not None else np.arange(len(keys))
    decided = {
        (a, b): verdict
        for one, other, verdict in known
        for a in units_of[one]
        for b in units_of[other]
        if verdict == "different" or label[a] != label[b]
    }
    same, near = decide(keys // len(number), kin.pairs, decided, within=kin.label is None)
    return _numbered_by_first(same[unit], near, kin.label)


def _numbered_by_first(node: Indices, near: Pairs, label: Indices | None) -> Kin:
    _, first = np.unique(node, return_index=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    a, b = rank[near.left], rank[near.right]
    left, right = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((right, left))
    return Kin(rank[node], label, Pairs(left[order], right[order], near.similarity[order]))


def decide(
    same: Indices, near: Pairs, decided: Mapping[tuple[int, int], str], *, within: bool = True
) -> tuple[Indices, Pairs]:
    """Fingerprint classes and their pairs as `decided` wants them: `different` contents are no pair, `same` are one.

    same: (n,) int64, the class of each content; classes are numbered 0.. without gaps. near: pairs of classes.
    decided: (content, content) → `same` or `different`. A content that is decided about leaves a class that it
    shares, and keeps all its other pairs. A pair that is `same` and was not near has similarity 1. within: the
    contents of a class are pairs of each other.
    """
    if not decided:
        return same, near
    moved, new = _alone(same, sorted({content for pair in decided for content in pair}))
    touched = np.unique([[same[a], same[b], new[a], new[b]] for a, b in decided])
    inside = np.isin(near.left, touched) | np.isin(near.right, touched)
    table = _with_moved(Pairs(near.left[inside], near.right[inside], near.similarity[inside]), moved, within=within)
    for (a, b), verdict in decided.items():
        key = (min(int(new[a]), int(new[b])), max(int(new[a]), int(new[b])))
        if verdict == "same":
            table.setdefault(key, 1.0)
        else:
            table.pop(key, None)
    left = np.concatenate([near.left[~inside], np.array([row[0] for row in table], np.int64)])
    right = np.concatenate([near.right[~inside], np.array([row[1] for row in table], np.int64)])
    similarity = np.concatenate([near.similarity[~inside], np.array(list(table.values()), np.float32)])
    order = np.lexsort((right, left))
    return new, Pairs(left[order], right[order], similarity[order])


def _alone(same: Indices, contents: Iterable[int]) -> tuple[dict[int, list[int]], Indices]:
    """A class of its own for each of these contents: old class → new classes, and the class of each content.

    The last content of a class stays in it, so that no class is left empty.
    """
    same = same.copy()
    size = np.bincount(same)
    moved: dict[int, list[int]] = {}
    number = len(size)
    for content in contents:
        old = int(same[content])
        if size[old] > 1:
            size[old] -= 1
            same[content] = number
            moved.setdefault(old, []).append(number)
            number += 1
    return moved, same


def _with_moved(near: Pairs, moved: Mapping[int, list[int]], *, within: bool) -> dict[tuple[int, int], float]:
    """Pairs of classes, and those that the moved ones have through their old class and with it."""
    table: dict[tuple[int, int], float] = {}
    for a, b, similarity in zip(near.left.tolist(), near.right.tolist(), near.similarity.tolist(), strict=True):
        for left in (a, *moved.get(a, ())):
            for right in (b, *moved.get(b, ())):
                table[min(left, right), max(left, right)] = similarity
    for old, new in moved.items() if within else ():
        together = (old, *new)
        for at, left in enumerate(together):
            for right in together[at + 1 :]:
                table[min(left, right), max(left, right)] = 1.0
    return table
