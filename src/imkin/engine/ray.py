"""The engine of many machines. The only importer of Ray.

A run's workers are actors, so that a model is loaded once by each, and they are replaced when they die; a partition
and a reduction are tasks, whose results stay on the machines and are made again by Ray when a machine is lost.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from imkin.engine import ATTEMPTS, Always, Blocks, Lost, Rows, groups_of, split
from imkin.engine.crew import AHEAD, Died, Done, Event, Ready, dispatch
from imkin.errors import LostWorkError, MissingExtraError, UsageError

# Before Ray is imported, which may take it for a wish to report.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray's servers listen on every address of the machine, not on the loopback alone: none without a token.
os.environ.setdefault("RAY_AUTH_MODE", "token")

try:
    import ray
    from ray import exceptions
except ImportError:
    raise MissingExtraError("--engine ray", "ray") from None

R = TypeVar("R")

log = logging.getLogger("imkin")

# How long the workers may say nothing before the log says what is waited for.
SILENCE_S = 60.0
# How long a cluster's address may take to be reached.
ANSWER_S = 10.0


def _quiet() -> None:
    """Ray tells of machines that die on stdout, where data goes; to the log with that."""
    from ray._private import worker

    def note(data: Any, **_: Any) -> None:
        log.warning("ray: %s", "\n".join(data.get("lines", ())))

    worker.print_to_stdstream = note


def _check(address: str) -> None:
    """UsageError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "://" in address:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise UsageError(f"no Ray cluster answers at {address}: {error.strerror or error}") from None


def join(address: str, *, jobs: int | None = None) -> RayEngine:
    """The cluster at an address; "": the one that RAY_ADDRESS or this machine has, else a new one on this machine.

    jobs: processors of a new one. UsageError if there is no cluster at the address.
    """
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    _quiet()
    _check(address)
    if ray.is_initialized():
        return RayEngine(owned=False)
    try:
        ray.init(address=address or "auto", **options)
    except (ConnectionError, exceptions.RayError, ValueError) as error:
        if address:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"no Ray cluster answers at {address}: {reason}; it needs the same Ray, RAY_AUTH_MODE and token as here"
            ) from None
        ray.init(address="local", num_cpus=jobs, include_dashboard=False, **options)
    return RayEngine(owned=True)


class RayEngine:
    """An `Engine` over the cluster that this process has joined. owned: leave it when the engine is closed."""

    def __init__(self, *, owned: bool) -> None:
        self._owned = owned

    def run(self, blocks: Blocks[R]) -> Iterator[R | Lost]:
        """See `Engine`."""
        # Tasks start sooner than actors. And what tasks made must be worked on by tasks: actors would hold the
        # processors that those need which are still to make the items, or to make them again.
        made_by_tasks = any(isinstance(item, ray.ObjectRef) for item in blocks.items[:1])
        plain = not blocks.gpus and all(isinstance(step, Always) for step in blocks.steps)
        if made_by_tasks or plain:
            yield from _run_tasks(blocks)
            return
        crew = _Actors(blocks)
        try:
            yield from dispatch(crew, blocks.items, crew.size)
        finally:
            crew.close()

    def partition(self, blocks: Blocks[Rows], parts: int, work: Callable[[], Callable[[Rows], R]]) -> Blocks[R]:
        """See `Engine`."""
        if not blocks.items:
            return Blocks(())
        steps = ray.put(blocks.of(()))
        cut = _tasks(_pieces).options(num_returns=parts)
        pieces = [cut.remote(steps, item, parts) for item in blocks.items]
        of_part = [[row[part] for row in pieces] if parts > 1 else pieces for part in range(parts)]
        task = _tasks(_part)
        return Blocks([task.remote(work, *refs) for refs in of_part])

    def reduce(self, blocks: Blocks[R], merge: Callable[[Sequence[R]], R]) -> R:
        """See `Engine`."""
        values: Sequence[Any] = blocks.items
        steps, task = blocks.of(()), _tasks(_merged)
        while True:
            values = [task.remote(steps, merge, *(values[at] for at in each)) for each in groups_of(len(values))]
            if len(values) == 1:
                return _get(values[0])  # type: ignore[no-any-return]
            steps = Blocks(())

    def here(self) -> bool:
        """See `Engine`."""
        hosts = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        return hosts <= {socket.gethostname()}

    def close(self) -> None:
        """See `Engine`."""
        if self._owned:
            ray.shutdown()


def _get(ref: Any) -> Any:
    try:
        return ray.get(ref)
    except exceptions.RayTaskError as error:
        raise _cause(error) from error
    except exceptions.RayError as error:
        raise LostWorkError(f"work was lost {ATTEMPTS} times ({str(error).splitlines()[0]})") from error


def _cause(error: Any) -> Any:
    return error.cause if isinstance(error.cause, Exception) else error


def _tasks(function: Callable[..., Any]) -> Any:
    """A function as Ray's tasks; those that a dying machine takes with it are begun again."""
    return ray.remote(max_retries=ATTEMPTS)(function)


def _run_tasks(blocks: Blocks[R]) -> Iterator[R | Lost]:
    task, steps, ahead = _tasks(_done), ray.put(blocks.of(())), AHEAD * _processors()
    waiting: deque[tuple[int, Any]] = deque()
    for at, item in enumerate(blocks.items):
        waiting.append((at, task.remote(steps, item)))
        if len(waiting) >= ahead:
            yield _result(*waiting.popleft())
    while waiting:
        yield _result(*waiting.popleft())


def _result(at: int, ref: Any) -> Any:
    try:
        return _get(ref)
    except LostWorkError as error:
        return Lost(at, str(error))


def _processors() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _done(blocks: Blocks[Any], item: Any) -> Any:
    return blocks.worker()(item)


def _pieces(blocks: Blocks[Rows], item: Any, parts: int) -> Any:
    rows, starts = split(blocks.worker()(item), parts)
    made = [rows[starts[part] : starts[part + 1]] for part in range(parts)]
    return made if parts > 1 else made[0]


def _part(work: Callable[[], Callable[[Rows], Any]], *pieces: Rows) -> Any:
    import numpy as np

    return work()(np.concatenate(pieces))


def _merged(blocks: Blocks[Any], merge: Callable[[Sequence[Any]], Any], *items: Any) -> Any:
    work = blocks.worker()
    return merge([work(item) for item in items])


class _Worker:
    """The actor: makes its worker once."""

    def __init__(self, blocks: Blocks[Any]) -> None:
        self._blocks = blocks

    def ready(self) -> None:
        """Make the worker: here, where what is raised reaches the caller as it is."""
        self._work = self._blocks.worker()

    def do(self, item: Any) -> Any:
        """One item."""
        return self._work(item)


class _Actors:
    """The `Crew` of a run: an actor a processor, or as many as there is room for on graphics processors."""

    def __init__(self, blocks: Blocks[Any]) -> None:
        have = ray.cluster_resources()
        cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
        if blocks.gpus > gpus:
            raise UsageError(f"--gpus-per-actor {blocks.gpus:g} cannot be met: the cluster has {gpus:g} GPUs")
        self.size = max(1, int(min(cpus, gpus / blocks.gpus) if blocks.gpus else cpus))
        self._class = ray.remote(_Worker).options(num_cpus=1, num_gpus=blocks.gpus)
        self._blocks = ray.put(blocks.of(()))
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, int | None]] = {}

    def hire(self) -> int:
        """See `Crew`."""
        number = len(self._actors)
        actor = self._class.remote(self._blocks)
        self._actors[number] = actor
        self._pending[actor.ready.remote()] = number, None
        return number

    def give(self, worker: int, at: int, item: Any) -> None:
        """See `Crew`."""
        self._pending[self._actors[worker].do.remote(item)] = worker, at

    def wait(self) -> Sequence[Event]:
        """See `Crew`."""
        while True:
            ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=SILENCE_S)
            if ready:
                return [self._event(ready[0])]
            free = ray.available_resources()
            log.warning("waiting for workers; free in the cluster: CPU %s", free.get("CPU", 0.0))

    def _event(self, ref: Any) -> Event:
        worker, at = self._pending.pop(ref)
        try:
            value = ray.get(ref)
        except exceptions.RayTaskError as error:
            raise _cause(error) from error
        except exceptions.RayError as error:
            self._pending = {other: place for other, place in self._pending.items() if place[0] != worker}
            ray.kill(self._actors[worker])
            return Died(worker, str(error).splitlines()[0])
        return Ready(worker) if at is None else Done(worker, at, value)

    def close(self) -> None:
        """Let the actors go."""
        for actor in self._actors.values():
            ray.kill(actor)
