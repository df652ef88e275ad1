"""Engines: where work runs. The answer is the same on all of them, in the same order.

Four verbs carry all work that may outgrow one machine. `read` names shards and how one is loaded; `Blocks.map` sends
each through a worker that is made once a process; `Engine.partition` brings rows of equal keys together and works on
each part; `Engine.reduce` merges results in a tree. `Engine.run` hands results to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from imkin.errors import LostWorkError, UsageError

T = TypeVar("T")
R = TypeVar("R")

Rows = NDArray[np.void]
"""(n,) structured array with a field `key`, uint64: rows of equal keys belong together."""

# Results that one task of a reduction merges: 8 keep a tree over a million shards 7 levels high.
FAN = 8
# How often work is begun before it counts as lost: one worker may die by itself, three that had it did not.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """What became of an item whose workers died, all ATTEMPTS of them. at: its place among the items."""

    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class Always(Generic[T, R]):
    """A step that needs nothing made before it."""

    work: Callable[[T], R]

    def __call__(self) -> Callable[[T], R]:
        """The function itself."""
        return self.work


@dataclass(frozen=True, slots=True)
class Blocks(Generic[T]):
    """Work to be done: items and the steps that each goes through. Nothing runs before an engine is asked.

    steps: each makes a worker, once in every process that needs it, and the worker turns one block into the next.
    gpus: graphics processors that a worker needs, or the share of one.
    """

    items: Sequence[Any]
    steps: tuple[Callable[[], Callable[[Any], Any]], ...] = ()
    gpus: float = 0.0

    def map(self, make: Callable[[], Callable[[T], R]], *, gpus: float = 0.0) -> Blocks[R]:
        """The blocks after a further step. make, and what it holds, must pickle."""
        return Blocks(self.items, (*self.steps, make), max(self.gpus, gpus))

    def worker(self) -> Callable[[Any], T]:
        """What turns an item into its block."""
        workers = [make() for make in self.steps]

        def work(item: Any) -> T:
            for each in workers:
                item = each(item)
            return item  # type: ignore[no-any-return]

        return work

    def of(self, items: Sequence[Any]) -> Blocks[T]:
        """The same steps for other items."""
        return replace(self, items=items)


def read(load: Callable[[T], R], shards: Sequence[T]) -> Blocks[R]:
    """A block a shard, loaded where and when it is worked on."""
    return Blocks(shards, (Always(load),))


class Engine(Protocol):
    """Runs blocks. Results never depend on how many workers there are, nor on which one of them had what."""

    def run(self, blocks: Blocks[R]) -> Iterator[R | Lost]:
        """The results, in the order of the items; a bounded number is taken ahead. What a worker raises is raised."""

    def partition(self, blocks: Blocks[Rows], parts: int, work: Callable[[], Callable[[Rows], R]]) -> Blocks[R]:
        """A block a part: `work` of the rows, in the order of the blocks, whose keys fall to it.

        Results stay where they are made until they are asked for. Raises LostWorkError.
        """

    def reduce(self, blocks: Blocks[R], merge: Callable[[Sequence[R]], R]) -> R:
        """All results merged, neighbours first, FAN at a time; `merge([])` where there are none. LostWorkError."""

    def here(self) -> bool:
        """Whether all workers are on this machine, and reach its files."""

    def close(self) -> None:
        """Let the workers go."""


def open_engine(name: str, *, jobs: int | None = None) -> Engine:
    """The engine of a name: `local` (threads), `processes`, `serial`, `ray` or `ray:ADDRESS`.

    jobs: workers, default one a processor; a Ray cluster has its own number. Raises UsageError, MissingExtraError.
    """
    from imkin.engine import local

    if name == "ray" or name.startswith("ray:"):
        from imkin.engine import ray

        return ray.join(name.partition(":")[2], jobs=jobs)
    made: dict[str, Callable[[], Engine]] = {
        "local": lambda: local.LocalEngine(local.threads(jobs)),
        "serial": lambda: local.LocalEngine(local.serial),
        "processes": lambda: local.ProcessEngine(jobs or local.default_jobs()),
    }
    if name not in made:
        raise UsageError(f"unknown engine `{name}`; known: local, processes, ray, ray:ADDRESS")
    return made[name]()


def found(results: Iterator[R | Lost]) -> Iterator[R]:
    """The results, where all of them are needed. LostWorkError at the first that is lost."""
    for result in results:
        if isinstance(result, Lost):
            raise LostWorkError(f"work was lost {ATTEMPTS} times ({result.reason}); the machine may lack memory")
        yield result


def split(rows: Rows, parts: int) -> tuple[Rows, NDArray[np.int64]]:
    """The rows sorted by part, in their own order within each, and where each part starts: (parts + 1,)."""
    # The finaliser of splitmix64 (Steele, Lea, Flood 2014): keys may be codes, whose low bits are not random.
    key = rows["key"].copy()
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        key ^= key >> np.uint64(shift)
        key *= np.uint64(factor)
    part = (key % np.uint64(parts)).astype(np.int64)
    order = np.argsort(part, kind="stable")
    return rows[order], np.searchsorted(part[order], np.arange(parts + 1)).astype(np.int64)


def groups_of(count: int, size: int = FAN) -> list[range]:
    """Neighbours, `size` at a time; one empty group where there is nothing."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)] or [range(0)]
