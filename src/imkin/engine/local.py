"""The engine of one machine: threads. Decoding, hashing and array work release the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
