"""The order of a table's rows in which those that are alike stand together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.types import Pairs


@dataclass(frozen=True, slots=True)
class Ordering:
    """How n rows are to stand.

    order: every row once, from 0. group: (n,) int64, by row, numbered from 0 as the groups come in the order; −1 for
    a row without kin. similarity: (n,) float32, by row, to the first row of its group (that one: 1); 0 without kin.
    """

    order: tuple[int, ...]
    group: NDArray[np.int64]
    similarity: NDArray[np.float32]


def order(pairs: Pairs, n: int, *, same: NDArray[np.int64] | None = None, absent: Collection[int] = ()) -> Ordering:
    """Each row followed by the later rows like it, groups in the order of their first row.

    A row goes to the first group whose first row it is itself like: there are no chains, so that of a group each is
    like the first. pairs: of rows, or of classes of equal rows if same, (n,), gives the class of each row. absent:
    rows without a picture; they come last, in their own order, and are like nothing. Time and memory are linear in
    rows and pairs. Raises ValueError for a pair outside.
    """
    of_row = np.arange(n, dtype=np.int64) if same is None else same
    if len(of_row) != n or (len(pairs) and int(max(pairs.left.max(), pairs.right.max())) > int(of_row.max(initial=-1))):
        raise ValueError(f"pairs or classes do not fit {n} rows")
    gone = set(absent)
    kin = _Neighbours(pairs, int(of_row.max(initial=-1)) + 1)
    waiting: dict[int, list[int]] = {}
    for row in range(n):
        if row not in gone:
            waiting.setdefault(int(of_row[row]), []).append(row)
    group = np.full(n, -1, np.int64)
    similarity = np.zeros(n, np.float32)
    result: list[int] = []
    groups = 0
    for row in range(n):
        own = int(of_row[row])
        # Rows of a class leave it together: either its first row is placed by itself, or as kin of an earlier one.
        if row in gone or own not in waiting:
            continue
        found = [(later, np.float32(1)) for later in waiting.pop(own)]
        for other, alike in kin.of(own):
            found += ((later, alike) for later in waiting.pop(other, ()))
        found[1:] = sorted(found[1:])
        result += (later for later, _ in found)
        if len(found) > 1:
            members = [later for later, _ in found]
            group[members] = groups
            similarity[members] = [alike for _, alike in found]
            groups += 1
    return Ordering((*result, *sorted(gone)), group, similarity)


class _Neighbours:
    """The other ends of each class's pairs."""

    def __init__(self, pairs: Pairs, classes: int) -> None:
        ends = np.concatenate([pairs.left, pairs.right])
        by_end = np.argsort(ends, kind="stable")
        self._starts = np.searchsorted(ends[by_end], np.arange(classes + 1))
        self._other = np.concatenate([pairs.right, pairs.left])[by_end]
        self._similarity = np.concatenate([pairs.similarity, pairs.similarity])[by_end]

    def of(self, one: int) -> list[tuple[int, np.float32]]:
        """(class, similarity) of every class like this one."""
        span = slice(self._starts[one], self._starts[one + 1])
        return list(zip(self._other[span].tolist(), self._similarity[span], strict=True))
