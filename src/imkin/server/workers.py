"""Worker processes: what strangers send is decoded there, so that a bomb or a crash takes a worker, not the service.

Words and answers go through a pipe as JSON: a worker that hostile bytes took over cannot make the service run code.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any, cast

from imkin.server.problems import Problem
from imkin.server.settings import Work
from imkin.server.working import READY, Pictures, main

# After so many tasks a worker is replaced: what its libraries may have leaked goes with it.
TASKS_A_WORKER = 500
LONGEST_WAIT_S = 60
START_S = 60.0


class WorkerLostError(Exception):
    """A worker took too long, used too much memory, or crashed; it was replaced."""


class RefusedError(Exception):
    """A worker refused the task itself; the text is for the client."""


class Pool:
    """Worker processes, as many as requests are worked on at once, and a bounded number of requests that wait."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._threads = ThreadPoolExecutor(work.processes, thread_name_prefix="imkin-worker")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._used = 0
        self._usual_s = 0.5
        self._lost = 0
        for _ in range(work.processes):
            self._idle.put(_Worker(work.memory))

    def used(self) -> int:
        """Requests that are received, wait or are worked on."""
        return self._used

    def losses(self) -> int:
        """Workers that died of a task."""
        return self._lost

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue while a request is received and worked on. Raises Problem 429 where there is none."""
        if self._used >= self._work.processes + self._work.queue:
            ahead = self._used / self._work.processes * self._usual_s
            after = str(min(LONGEST_WAIT_S, max(1, math.ceil(ahead))))
            raise Problem(429, "busy", "too many requests wait; come again later", headers={"retry-after": after})
        self._used += 1
        try:
            yield
        finally:
            self._used -= 1

    async def run(self, task: str, timeout_s: float, pictures: Pictures, **values: object) -> dict[str, Any]:
        """What a worker answers to a task of `working`. Raises WorkerLostError, RefusedError."""
        asked = json.dumps({"task": task, "pictures": asdict(pictures), "values": values}).encode()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, asked, timeout_s)

    def _run(self, asked: bytes, timeout_s: float) -> dict[str, Any]:
        worker = self._idle.get()
        started = time.monotonic()
        try:
            answer = worker.call(asked, timeout_s)
        except WorkerLostError:
            self._lost += 1
            worker.end()
            worker = _Worker(self._work.memory)
            raise
        finally:
            if worker.calls >= TASKS_A_WORKER:
                worker.end()
                worker = _Worker(self._work.memory)
            self._idle.put(worker)
            self._usual_s += 0.1 * (time.monotonic() - started - self._usual_s)
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        return cast(dict[str, Any], answer["answer"])

    def close(self) -> None:
        """End the workers. What they are at is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for _ in range(self._work.processes):
            with suppress(queue.Empty):
                self._idle.get(timeout=1.0).end()


class _Worker:
    """One process and the pipe to it."""

    _starting = threading.Lock()

    def __init__(self, memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.calls = 0
        # daemon: it ends with the service; and when the service is killed, its pipe closes and it ends by itself.
        self._process = context.Process(target=main, args=(theirs, memory), daemon=True)
        with self._starting:
            self._process.start()
        theirs.close()

    def call(self, asked: bytes, timeout_s: float) -> dict[str, Any]:
        self.calls += 1
        try:
            # How long a fresh process takes to start is not the task's fault.
            if self.calls == 1 and not (self._pipe.poll(START_S) and self._pipe.recv_bytes() == READY):
                raise WorkerLostError
            self._pipe.send_bytes(asked)
            if not self._pipe.poll(timeout_s):
                raise WorkerLostError
            return _parsed(self._pipe)
        except (EOFError, OSError, ValueError):
            raise WorkerLostError from None

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _parsed(pipe: Connection) -> dict[str, Any]:
    answer = json.loads(pipe.recv_bytes())
    if not isinstance(answer, dict) or not ("answer" in answer or "refused" in answer):
        raise ValueError("no answer")
    return answer
