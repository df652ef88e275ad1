"""Pairs of files on disk: sorted by way of a temporary file, and named when they are asked for."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from imkin.result import Pair
from imkin.scale.pairing import PairRows, relation_of
from imkin.types import File

# Rows that are sorted in memory at once, about; more go into BUCKETS files first.
IN_MEMORY = 1_000_000
BUCKETS = 256
NAMED_AT_ONCE = 10_000

Key = Callable[[PairRows], NDArray[np.int64]]


def sorted_rows(chunks: Iterator[PairRows], key: Key, keys: int) -> tuple[NDArray[np.int64], PairRows | Stored]:
    """All rows by (key, left, right), each once: where each key's start, (keys + 1,), and the rows.

    key: of rows, 0..keys-1. Few rows are in memory, many on disk.
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


def _by_disk(held: list[PairRows], chunks: Iterator[PairRows], key: Key, keys: int) -> tuple[NDArray[np.int64], Stored]:
    kind, counts, total = held[0].dtype, np.zeros(keys, np.int64), 0
    with tempfile.TemporaryDirectory(prefix="imkin-") as folder:
        for rows in chain(held, chunks):
            bucket = key(rows) * BUCKETS // keys
            order = np.argsort(bucket, kind="stable")
            starts = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
            for number in np.unique(bucket).tolist():
                with open(f"{folder}/{number}", "ab") as file:
                    rows[order[starts[number] : starts[number + 1]]].tofile(file)
        target = _File()
        for number in range(BUCKETS):
            if os.path.exists(f"{folder}/{number}"):
                more, rows = _in_order(np.fromfile(f"{folder}/{number}", kind), key, keys)
                target.write(rows)
                counts += more
                total += len(rows)
        return np.concatenate([[0], np.cumsum(counts)]), Stored(target, kind, 0, total)


class _File:
    """A temporary file that is gone with the last of those that read it. One thread writes, before all reading."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="imkin-")  # noqa: SIM115 - closed when nobody has it any more
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def write(self, rows: PairRows) -> None:
        self._file.write(rows.tobytes())

    def read(self, kind: np.dtype[np.void], start: int, count: int) -> PairRows:
        with self._lock:
            self._file.seek(start * kind.itemsize)
            return np.frombuffer(self._file.read(count * kind.itemsize), kind)


class Stored:
    """Rows start..stop-1 of a temporary file, in memory only while they are looked at: `np.asarray` reads them.

    A memory map would do, but its pages count as the process' own until the system wants them back.
    """

    def __init__(self, file: _File, kind: np.dtype[np.void], start: int, stop: int) -> None:
        self._file, self._kind, self._start, self._stop = file, kind, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, part: slice) -> Stored:
        start, stop, _ = part.indices(len(self))
        return Stored(self._file, self._kind, self._start + start, self._start + max(start, stop))

    def __array__(self, dtype: object = None, copy: object = None) -> PairRows:
        return self._file.read(self._kind, self._start, len(self))


class Told(Sequence[Pair]):
    """Pairs of files, named when they are asked for. rows: left and right are positions among the files."""

    def __init__(self, rows: PairRows | Stored, files: Sequence[File]) -> None:
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
        row = range(len(self))[at]
        return self._pair(np.asarray(self._rows[row : row + 1])[0])

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
