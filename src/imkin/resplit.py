"""A split repaired: every group whole on one side, each class as large in each split as it was, as far as that goes.

Groups that span splits are placed first, largest first, where the counts suffer least. Then whole groups that span
nothing are moved until the counts are back, and no more of them than that takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

# By how much a split's share of the images, or a class's share of a split, may change: one percentage point.
SHARE_TOLERANCE = 0.01

# What counts are brought back to, as a share of their split. If a class and its split are each off by at most
# t = 0.004, the class's share of the split is off by at most 2 t / (1 - t) = 0.0081, which is within the tolerance.
COUNT_TOLERANCE = 0.004

# Up to so many groups are tried two at a time where counts are still off: 200 groups make 80,000 trials, 0.3 s.
EXCHANGED = 200

# Rounds of placing the spanning groups anew after the balance; each must lower the cost.
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a class in its split (label: its number), or of a split in all images (label None): 0..1."""

    split: int
    label: int | None
    before: float
    after: float

    @property
    def kept(self) -> bool:
        """Whether it changed by a percentage point at most."""
        # 1e-9: a change of exactly one point must not fail for its last binary digit.
        return abs(self.after - self.before) <= SHARE_TOLERANCE + 1e-9


def resplit(group: Indices, split: Indices, label: Indices) -> Indices:
    """The split of each of n images after the repair, (n,) int64; the same answer for the same input.

    group: (n,) equal numbers stay together. split: (n,) numbers 0.. without gaps. label: (n,) class numbers 0..
    The number of splits stays. Cost: about n log n, and a few passes over the classes a moved group.
    """
    if not len(group):
        return split.copy()
    balance = _Balance(split, label)
    parts = _parts(group, split, label)
    placed = {number: part.home for number, part in enumerate(parts)}
    spanning = sorted((number for number in placed if parts[number].spans), key=lambda number: -parts[number].size)
    for number in spanning:
        for was, kind, count in parts[number].cells:
            balance.add(was, ((kind, count),), -1)
    for number in spanning:
        placed[number] = _best_place(parts[number], balance)
        balance.add(placed[number], parts[number].kinds, 1)
    pools = _Pools(parts, placed)
    _settle(balance, pools, placed)
    for _ in range(ROUNDS):
        if not _place_again(spanning, parts, placed, balance):
            break
        _settle(balance, pools, placed)
    _exchange(parts, placed, balance)
    of_part = np.array([placed[number] for number in range(len(parts))], np.int64)
    return of_part[np.unique(group, return_inverse=True)[1]]


def shares(before: Indices, after: Indices, label: Indices) -> list[Share]:
    """The share of every split, then of every class in every split, before and after; split by split.

    A split that has become empty has classes with share 0.
    """
    splits, labels = int(before.max()) + 1, int(label.max()) + 1
    old, new = (_table(split, label, splits, labels) for split in (before, after))
    found: list[Share] = []
    for at in range(splits):
        found.append(Share(at, None, float(old[at].sum() / len(before)), float(new[at].sum() / len(before))))
        for kind in range(labels):
            if old[at, kind] or new[at, kind]:
                rates = (float(table[at, kind] / max(1, table[at].sum())) for table in (old, new))
                found.append(Share(at, kind, *rates))
    return found


def _table(split: Indices, label: Indices, splits: int, labels: int) -> Indices:
    return np.bincount(split * labels + label, minlength=splits * labels).reshape(splits, labels).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Part:
    """A group. cells: (split, class, images). kinds: (class, images). home: the split with most of its images."""

    cells: tuple[tuple[int, int, int], ...]
    kinds: tuple[tuple[int, int], ...]
    size: int
    home: int
    spans: bool


def _parts(group: Indices, split: Indices, label: Indices) -> list[_Part]:
    """The groups, by rising number."""
    splits, labels = int(split.max()) + 1, int(label.max()) + 1
    rank = np.unique(group, return_inverse=True)[1].astype(np.int64)
    keys, counts = np.unique((rank * splits + split) * labels + label, return_counts=True)
    starts = np.flatnonzero(np.diff(keys // (splits * labels), prepend=-1))
    cells = list(zip((keys // labels % splits).tolist(), (keys % labels).tolist(), counts.tolist(), strict=True))
    return [_part(cells[a:b]) for a, b in zip(starts.tolist(), [*starts.tolist()[1:], len(cells)], strict=True)]


def _part(cells: Sequence[tuple[int, int, int]]) -> _Part:
    in_split: dict[int, int] = {}
    of_kind: dict[int, int] = {}
    for where, kind, count in cells:
        in_split[where] = in_split.get(where, 0) + count
        of_kind[kind] = of_kind.get(kind, 0) + count
    home = min(in_split, key=lambda where: (-in_split[where], where))
    return _Part(tuple(cells), tuple(sorted(of_kind.items())), sum(of_kind.values()), home, len(in_split) > 1)


class _Balance:
    """How many images each class of each split has too many (below 0: too few), against what it had."""

    def __init__(self, split: Indices, label: Indices) -> None:
        self.splits, self.labels = int(split.max()) + 1, int(label.max()) + 1
        self.size = np.bincount(split, minlength=self.splits).tolist()
        self.slack = [int(COUNT_TOLERANCE * size) for size in self.size]
        self.excess = [[0] * self.splits for _ in range(self.labels)]
        self.total = [0] * self.splits

    def add(self, where: int, kinds: Sequence[tuple[int, int]], times: int) -> None:
        """Put images into a split, or with times = -1 take them out."""
        for kind, count in kinds:
            self.excess[kind][where] += times * count
            self.total[where] += times * count

    def cost(self, where: int, kinds: Sequence[tuple[int, int]]) -> int:
        """By how much the sum of squared deviations rises if images come to a split."""
        size = sum(count for _, count in kinds)
        rise = sum(count * (2 * self.excess[kind][where] + count) for kind, count in kinds)
        return rise + size * (2 * self.total[where] + size)

    def shift(self, kinds: Sequence[tuple[int, int]], here: int, there: int) -> int:
        """Move images; returns by how much the sum of squared deviations rises."""
        self.add(here, kinds, -1)
        rise = self.cost(there, kinds) - self.cost(here, kinds)
        self.add(there, kinds, 1)
        return rise

    def off(self) -> set[int]:
        """The classes that are off; all of them if a split is off as a whole."""
        if self.uneven(self.total):
            return set(range(self.labels))
        return {kind for kind, row in enumerate(self.excess) if self.uneven(row)}

    def uneven(self, row: Sequence[int]) -> tuple[int, int] | None:
        """The split with most too many, and that with most too few, for their size; None if all are near enough."""
        if all(abs(off) <= slack for off, slack in zip(row, self.slack, strict=True)):
            return None
        rates = [off / size for off, size in zip(row, self.size, strict=True)]
        return rates.index(max(rates)), rates.index(min(rates))


def _best_place(part: _Part, balance: _Balance) -> int:
    """The split where a group costs least; of equal ones that with most of its images, then the first."""
    own = [0] * balance.splits
    for where, _, count in part.cells:
        own[where] += count
    return min(range(balance.splits), key=lambda where: (balance.cost(where, part.kinds), -own[where], where))


def _place_again(spanning: Sequence[int], parts: Sequence[_Part], placed: dict[int, int], balance: _Balance) -> bool:
    """Move spanning groups that are better elsewhere now; returns whether any was."""
    moved = False
    for number in spanning:
        part, here = parts[number], placed[number]
        balance.add(here, part.kinds, -1)
        there = _best_place(part, balance)
        better = balance.cost(there, part.kinds) < balance.cost(here, part.kinds)
        placed[number] = there if better else here
        balance.add(placed[number], part.kinds, 1)
        moved |= better
    return moved


def _exchange(parts: Sequence[_Part], placed: dict[int, int], balance: _Balance) -> None:
    """Where counts are still off: move one group or two at once, as long as that lowers the cost."""
    while off := balance.off():
        involved = [number for number, part in enumerate(parts) if off.intersection(kind for kind, _ in part.kinds)]
        if len(involved) > EXCHANGED or not _exchange_once(involved, parts, placed, balance):
            break


def _exchange_once(involved: Sequence[int], parts: Sequence[_Part], placed: dict[int, int], balance: _Balance) -> bool:
    for at, first in enumerate(involved):
        here = placed[first]
        for there in range(balance.splits):
            gain = balance.shift(parts[first].kinds, here, there)
            for second in involved[at + 1 :] if there != here else ():
                for other in range(balance.splits):
                    change = balance.shift(parts[second].kinds, placed[second], other)
                    if gain + change < 0:
                        placed[first], placed[second] = there, other
                        return True
                    balance.shift(parts[second].kinds, other, placed[second])
            balance.shift(parts[first].kinds, there, here)
    return False


class _Pools:
    """Groups of one class that span nothing: by class and split, then by size; the last ones are taken first."""

    def __init__(self, parts: Sequence[_Part], placed: dict[int, int]) -> None:
        self._of: dict[tuple[int, int], dict[int, list[int]]] = {}
        for number, part in enumerate(parts):
            if not part.spans and len(part.kinds) == 1:
                self.put(part.kinds[0][0], placed[number], part.size, number)

    def put(self, kind: int, where: int, size: int, number: int) -> None:
        """Add a group."""
        self._of.setdefault((kind, where), {}).setdefault(size, []).append(number)

    def fitting(self, kind: int, where: int, gap: int) -> int:
        """The size of the group that closes a gap between two counts best; 0 if none makes it smaller."""
        sizes = [size for size, numbers in self._of.get((kind, where), {}).items() if numbers and size < gap]
        fit = [size for size in sizes if 2 * size <= gap]
        return max(fit) if fit else min(sizes, default=0)

    def take(self, kind: int, where: int, size: int) -> int:
        """Take a group of that size out."""
        return self._of[kind, where][size].pop()


def _settle(balance: _Balance, pools: _Pools, placed: dict[int, int]) -> None:
    """Move whole groups until each class, and then each split, has about as many images as it had."""
    for kind in range(balance.labels):
        while uneven := balance.uneven(balance.excess[kind]):
            size = pools.fitting(kind, uneven[0], balance.excess[kind][uneven[0]] - balance.excess[kind][uneven[1]])
            if not size:
                break
            _move(kind, uneven, size, balance, pools, placed)
    while uneven := balance.uneven(balance.total):
        gap = balance.total[uneven[0]] - balance.total[uneven[1]]
        found = [
            (balance.excess[kind][uneven[1]] - balance.excess[kind][uneven[0]], kind, size)
            for kind in range(balance.labels)
            if (size := pools.fitting(kind, uneven[0], gap)) and _stays_even(kind, uneven, size, balance)
        ]
        if not found:
            break
        _, kind, size = min(found)
        _move(kind, uneven, size, balance, pools, placed)


def _stays_even(kind: int, places: tuple[int, int], size: int, balance: _Balance) -> bool:
    here, there = places
    row = balance.excess[kind]
    return row[here] - size >= -balance.slack[here] and row[there] + size <= balance.slack[there]


def _move(
    kind: int, places: tuple[int, int], size: int, balance: _Balance, pools: _Pools, placed: dict[int, int]
) -> None:
    here, there = places
    number = pools.take(kind, here, size)
    balance.add(here, ((kind, size),), -1)
    balance.add(there, ((kind, size),), 1)
    pools.put(kind, there, size, number)
    placed[number] = there
