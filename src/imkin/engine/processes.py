"""Workers that are processes of this machine, each at the end of a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import queue
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from imkin.engine import Blocks
from imkin.engine.crew import Died, Done, Event, Ready

# Threads of the parent must not be copied into the children, as a fork would.
START = multiprocessing.get_context("spawn")
END_S = 5.0


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


@dataclass(frozen=True, slots=True)
class _Begin:
    """Tells a worker which run the items that follow belong to, and what to do with them."""

    run: int
    blocks: Blocks[Any]


class Processes:
    """A crew of processes that outlives a run: the next run's steps are sent to those who are there."""

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        self._started = 0
        self._idle: list[int] = []
        self._run = 0
        self._begin = _Begin(0, Blocks(()))

    def begin(self, blocks: Blocks[Any]) -> None:
        """Take the steps of the items that follow."""
        self._run += 1
        self._begin = _Begin(self._run, blocks.of(()))
        self._idle = list(self._workers)

    def hire(self) -> int:
        """See `Crew`."""
        number = self._idle.pop() if self._idle else self._start()
        self._send(number, self._begin)
        return number

    def _start(self) -> int:
        ours, theirs = START.Pipe()
        process = START.Process(target=_serve, args=(theirs,), name="imkin-worker", daemon=True)
        process.start()
        theirs.close()
        self._started += 1
        self._workers[self._started] = _Worker(process, ours)
        return self._started

    def give(self, worker: int, at: int, item: Any) -> None:
        """See `Crew`."""
        self._send(worker, (at, item))

    def _send(self, worker: int, message: object) -> None:
        with contextlib.suppress(OSError):  # it died: its end of the pipe tells so to the next wait
            self._workers[worker].pipe.send(message)

    def wait(self) -> Sequence[Event]:
        """See `Crew`."""
        events: list[Event] = []
        while not events:
            numbers = {id(worker.pipe): number for number, worker in self._workers.items()}
            for pipe in wait([each.pipe for each in self._workers.values()]):
                event = self._receive(numbers[id(pipe)])
                if event is not None:
                    events.append(event)
        return events

    def _receive(self, number: int) -> Event | None:
        """What a worker says; None for the answer to a run that is over."""
        try:
            run, at, value, error = self._workers[number].pipe.recv()
        except (EOFError, OSError):
            gone = self._workers.pop(number)
            gone.pipe.close()
            gone.process.join()
            return Died(number, f"its process ended with {gone.process.exitcode}")
        if run != self._run:
            return None
        if error is not None:
            raise error
        return Ready(number) if at is None else Done(number, at, value)

    def close(self) -> None:
        """End all processes, whatever they do."""
        for worker in self._workers.values():
            worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.join(END_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()


def _serve(pipe: Connection) -> None:
    """What a worker's process does until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Always reading: else both sides could wait for each other to empty a full pipe.
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    run = 0
    work: Any = None
    while (message := inbox.get()) is not None:
        at, value, wrong = None, None, None
        try:
            if isinstance(message, _Begin):
                run = message.run
                work = message.blocks.worker()
            else:
                at, value = message[0], work(message[1])
        except Exception as error:
            wrong = _portable(error)
        pipe.send((run, at, value, wrong))


def _listen(pipe: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        inbox.put(None)


def _portable(error: Exception) -> Exception:
    """The error itself, or what it says where it does not survive the way."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
