"""Pairs of files on disk: sorted by way of a temporary file, and named when they are asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from imkin.result import Pair
from imkin.scale.pairing import PairRows, relation_of
from imkin.types import File

# Rows that are sorted in memory at once, about; more go into BUCKETS files first.
IN_MEMORY = 4_000_000
BUCKETS = 256
NAMED_AT_ONCE = 10_000

Key = Callable[[PairRows], NDArray[np.int64]]


def sorted_rows(chunks: Iterator[PairRows], key: Key, keys: int) -> tuple[NDArray[np.int64], PairRows]:
    """All rows by (key, left, right), each once: where each key's start, (keys + 1,), and the rows.

    key: of rows, 0..keys-1. The rows are an array in memory, or one on disk that is gone when nobody has it any more.
    """
    held: list[PairRows] = []
    for rows in chunks:
        held.append(rows)
        if sum(map(len, held)) > IN_MEMORY:
            return _by_disk(held, chunks, key, keys)
    counts, rows = _in_order(np.concatenate(held), key, keys)
    return np.concatenate([[0], np.cumsum(counts)]), rows


def _in_order(rows: PairRows, key: Key, keys: int) -> tuple[NDArray[np.int64], PairRows]:
    owner = key(rows)
    order = np.lexsort((-rows["similarity"], rows["right"], rows["left"], owner))
    rows, owner = rows[order], owner[order]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (rows["left"][1:] != rows["left"][:-1]) | (rows["right"][1:] != rows["right"][:-1])
    return np.bincount(owner[fresh], minlength=keys).astype(np.int64), rows[fresh]


def _by_disk(
    held: list[PairRows], chunks: Iterator[PairRows], key: Key, keys: int
) -> tuple[NDArray[np.int64], PairRows]:
    kind, counts, total = held[0].dtype, np.zeros(keys, np.int64), 0
    with tempfile.TemporaryDirectory(prefix="imkin-") as folder:
        for rows in chain(held, chunks):
            bucket = key(rows) * BUCKETS // keys
            order = np.argsort(bucket, kind="stable")
            starts = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
            for number in np.unique(bucket).tolist():
                with open(f"{folder}/{number}", "ab") as file:
                    rows[order[starts[number] : starts[number + 1]]].tofile(file)
        # Closed at once: the array over it keeps what was written as long as somebody has it.
        with tempfile.TemporaryFile(prefix="imkin-") as target:
            for number in range(BUCKETS):
                if os.path.exists(f"{folder}/{number}"):
                    more, rows = _in_order(np.fromfile(f"{folder}/{number}", kind), key, keys)
                    rows.tofile(target)
                    counts += more
                    total += len(rows)
            target.flush()
            return np.concatenate([[0], np.cumsum(counts)]), np.memmap(target, kind, "r", shape=(total,))


class Told(Sequence[Pair]):
    """Pairs of files, named when they are asked for. rows: left and right are positions among the files."""

    def __init__(self, rows: PairRows, files: Sequence[File]) -> None:
        self._rows, self._files = rows, files

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Pair]:
        for start in range(0, len(self._rows), NAMED_AT_ONCE):
            yield from map(self._pair, np.asarray(self._rows[start : start + NAMED_AT_ONCE]))

    @overload
    def __getitem__(self, at: int) -> Pair: ...
    @overload
    def __getitem__(self, at: slice) -> Told: ...
    def __getitem__(self, at: int | slice) -> Pair | Told:
        if isinstance(at, slice):
            return Told(self._rows[at], self._files)
        return self._pair(self._rows[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]

    def _pair(self, row: Any) -> Pair:
        a, b = self._files[int(row["left"])], self._files[int(row["right"])]
        similarity = float(row["similarity"])
        if "name" not in (row.dtype.names or ()):
            return Pair(a.path, b.path, similarity)
        from imkin.join.relation import finished

        # Equal records are equal pixels, and have similarity 1 as no other pair has.
        relation = finished(
            relation_of(row),
            np.array([a.width, a.height]),
            np.array([b.width, b.height]),
            bytes_equal=a.sha256 == b.sha256,
            pixels_equal=similarity == 1,
        )
        return Pair(a.path, b.path, similarity, relation)


def _equal(a: object, b: object) -> bool:
    return a == b
