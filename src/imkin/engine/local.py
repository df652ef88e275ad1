"""The engines of one machine: threads, where the work releases the interpreter's lock (decoding, hashing and array
work do), and processes, where it does not or where a worker may crash.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from imkin.engine import Always, Blocks, Lost, Rows, found, groups_of, read, split
from imkin.engine.crew import dispatch
from imkin.types import Map

T = TypeVar("T")
R = TypeVar("R")

# Items handed out ahead of the one awaited, per thread: enough that none is idle while results come in order.
AHEAD = 4


def default_jobs() -> int:
    """As many threads as this process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serial(fn: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
    """Apply fn to one item after the other; the plainest `Map`."""
    return map(fn, items)


def threads(jobs: int | None = None) -> Map:
    """A `Map` over `jobs` threads (default: one a processor)."""
    count = jobs or default_jobs()
    return serial if count == 1 else _Threads(count)


class _Threads:
    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def __call__(self, fn: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="imkin")
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(fn, item))
                if len(waiting) >= self._jobs * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class LocalEngine:
    """An `Engine` over a `Map` of this process. Rows and results of a partition lie in a temporary folder."""

    def __init__(self, map_: Map) -> None:
        self._map = map_
        self._disk = _Disk()

    def run(self, blocks: Blocks[R]) -> Iterator[R | Lost]:
        """See `Engine`."""
        return self._map(blocks.worker(), blocks.items)

    def partition(self, blocks: Blocks[Rows], parts: int, work: Callable[[], Callable[[Rows], R]]) -> Blocks[R]:
        """See `Engine`."""
        return _partition(self.run, self._disk, blocks, parts, work)

    def reduce(self, blocks: Blocks[R], merge: Callable[[Sequence[R]], R]) -> R:
        """See `Engine`."""
        return _reduce(self.run, blocks, merge)

    def here(self) -> bool:
        """See `Engine`."""
        return True

    def close(self) -> None:
        """See `Engine`."""
        self._disk.close()


class ProcessEngine:
    """An `Engine` over processes; one that dies is replaced, and what it had is tried again."""

    def __init__(self, jobs: int) -> None:
        from imkin.engine.processes import Processes

        self._jobs = jobs
        self._crew = Processes()
        self._disk = _Disk()

    def run(self, blocks: Blocks[R]) -> Iterator[R | Lost]:
        """See `Engine`."""
        self._crew.begin(blocks)
        finished = False
        try:
            yield from dispatch(self._crew, blocks.items, self._jobs)
            finished = True
        finally:
            if not finished:  # what is still under way must not be taken for a result of the next run
                self._crew.close()

    def partition(self, blocks: Blocks[Rows], parts: int, work: Callable[[], Callable[[Rows], R]]) -> Blocks[R]:
        """See `Engine`."""
        return _partition(self.run, self._disk, blocks, parts, work)

    def reduce(self, blocks: Blocks[R], merge: Callable[[Sequence[R]], R]) -> R:
        """See `Engine`."""
        return _reduce(self.run, blocks, merge)

    def here(self) -> bool:
        """See `Engine`."""
        return True

    def close(self) -> None:
        """See `Engine`."""
        self._crew.close()
        self._disk.close()


_Run = Callable[[Blocks[Any]], Iterator[Any]]


class _Disk:
    """A temporary folder, made when it is asked for."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def path(self) -> str:
        """Where files may be written until the engine is closed."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="imkin-")
        return self._folder.name

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


@dataclass(frozen=True, slots=True)
class _Written:
    """A block's rows in a file, sorted by part; part p is rows starts[p] : starts[p + 1]."""

    path: str
    dtype: np.dtype[Any]
    starts: NDArray[np.int64]

    def part(self, number: int) -> Rows:
        start, end = int(self.starts[number]), int(self.starts[number + 1])
        return np.fromfile(self.path, self.dtype, end - start, offset=start * self.dtype.itemsize)


@dataclass(frozen=True, slots=True)
class _WriteRows:
    folder: str
    parts: int

    def __call__(self, rows: Rows) -> _Written:
        ordered, starts = split(rows, self.parts)
        path = _new_file(self.folder)
        ordered.tofile(path)
        return _Written(path, rows.dtype, starts)


@dataclass(frozen=True, slots=True)
class _ReadPart:
    written: Sequence[_Written]

    def __call__(self, number: int) -> Rows:
        return np.concatenate([each.part(number) for each in self.written])


@dataclass(frozen=True, slots=True)
class _Store:
    folder: str

    def __call__(self, value: Any) -> str:
        path = _new_file(self.folder)
        with open(path, "wb") as file:
            pickle.dump(value, file, pickle.HIGHEST_PROTOCOL)
        return path


def _stored(path: str) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - written by this very run


def _new_file(folder: str) -> str:
    handle, path = tempfile.mkstemp(dir=folder)
    os.close(handle)
    return path


def _partition(
    run: _Run, disk: _Disk, blocks: Blocks[Rows], parts: int, work: Callable[[], Callable[[Rows], R]]
) -> Blocks[R]:
    folder = disk.path()
    written = list(found(run(blocks.map(Always(_WriteRows(folder, parts))))))
    if not written:
        return Blocks(())
    each = read(_ReadPart(written), range(parts)).map(work).map(Always(_Store(folder)))
    results = list(found(run(each)))
    for block in written:
        os.unlink(block.path)
    return read(_stored, results)


@dataclass(frozen=True, slots=True)
class _Merge:
    blocks: Blocks[Any] | None
    merge: Callable[[Sequence[Any]], Any]

    def __call__(self) -> Callable[[Sequence[Any]], Any]:
        work = self.blocks.worker() if self.blocks else None
        return lambda items: self.merge([work(item) for item in items] if work else items)


def _reduce(run: _Run, blocks: Blocks[R], merge: Callable[[Sequence[R]], R]) -> R:
    values: Sequence[Any] = blocks.items
    step = _Merge(blocks.of(()), merge)
    while True:
        groups = [[values[at] for at in group] for group in groups_of(len(values))]
        values = list(found(run(Blocks(groups, (step,)))))
        if len(values) == 1:
            return values[0]  # type: ignore[no-any-return]
        step = _Merge(None, merge)
