"""Hands items to workers that may die, and takes their results back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imkin.engine import ATTEMPTS, Lost
from imkin.errors import LostWorkError

# Items that a worker has at once: the next one is there when it is done with the first.
DEPTH = 2
# Items handed out beyond the first whose result is missing, per worker: a bound on results that wait.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker is there and has made what it works with."""

    worker: int


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's result for the item at a place."""

    worker: int
    at: int
    value: Any


@dataclass(frozen=True, slots=True)
class Died:
    """A worker is gone, with all it had."""

    worker: int
    reason: str


Event = Ready | Done | Died


class Crew(Protocol):
    """Workers of one kind. Numbers name them; a number is never given twice."""

    def hire(self) -> int:
        """Begin to start a worker; it may have items after its Ready."""

    def give(self, worker: int, at: int, item: Any) -> None:
        """Hand an item over; never waits for the worker."""

    def wait(self) -> Sequence[Event]:
        """What happened, at least one thing. Raises what a worker raised."""


def dispatch(crew: Crew, items: Sequence[Any], workers: int) -> Iterator[Any | Lost]:
    """Results in the order of the items. LostWorkError if workers die before they can work."""
    work = _Work(len(items))
    if items:
        for _ in range(min(workers, len(items))):
            crew.hire()
    while work.next < len(items):
        for worker, at in work.orders(workers):
            crew.give(worker, at, items[at])
        while work.next in work.results:
            yield work.results.pop(work.next)
            work.next += 1
        if work.next == len(items):
            return
        for event in crew.wait():
            if work.take(event):
                crew.hire()


class _Work:
    def __init__(self, count: int) -> None:
        self.count = count
        self.next = 0
        self.results: dict[int, Any | Lost] = {}
        self._fresh = 0
        self._suspects: deque[int] = deque()
        self._deaths: dict[int, int] = {}
        self._busy: dict[int, list[int]] = {}
        self._stillborn = 0

    def orders(self, workers: int) -> Iterator[tuple[int, int]]:
        """Who gets what now."""
        for worker, has in self._busy.items():
            while True:
                if self._suspects:
                    # What a worker died with runs alone, so that it takes no other item with it again.
                    if has:
                        break
                    at = self._suspects.popleft()
                elif len(has) < DEPTH and not (has and has[0] in self._deaths) and self._may_begin(workers):
                    at = self._fresh
                    self._fresh += 1
                else:
                    break
                has.append(at)
                yield worker, at

    def _may_begin(self, workers: int) -> bool:
        return self._fresh < min(self.count, self.next + AHEAD * workers)

    def take(self, event: Event) -> bool:
        """Note an event; whether a new worker is needed."""
        if isinstance(event, Ready):
            self._busy[event.worker] = []
            self._stillborn = 0
        elif isinstance(event, Done):
            self._busy[event.worker].remove(event.at)
            self.results[event.at] = event.value
        else:
            if event.worker not in self._busy:
                self._stillborn += 1
                if self._stillborn == ATTEMPTS:
                    raise LostWorkError(f"workers die before they can work ({event.reason})")
            for at in self._busy.pop(event.worker, ()):
                self._deaths[at] = self._deaths.get(at, 0) + 1
                if self._deaths[at] < ATTEMPTS:
                    self._suspects.append(at)
                else:
                    self.results[at] = Lost(at, event.reason)
            return True
        return False
