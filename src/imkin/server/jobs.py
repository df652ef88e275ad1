"""Jobs: work that outlasts a request, one at a time, each in a process of its own that can be stopped."""

from __future__ import annotations

import json
import logging
import multiprocessing
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

from imkin.server.jobbing import main
from imkin.server.problems import Problem

State = Literal["waiting", "running", "done", "stopped", "failed"]
ENDED = ("done", "stopped", "failed")
# Jobs that wait for the one that runs; and ended ones that are remembered.
MOST_WAITING, MOST_KEPT = 16, 64
# How long a job may take to stop when it is asked to, before its process is killed.
STOP_S = 30.0

log = logging.getLogger("imkin")


@dataclass(slots=True)
class Job:
    """One job. id: not to be guessed. seen: rises with each change. result: what its process told at the end."""

    kind: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    seen: int = 0
    result: dict[str, Any] | None = None
    plan: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def change(self, **values: object) -> None:
        """Set fields, and count it as a change."""
        for name, value in values.items():
            setattr(self, name, value)
        self.seen += 1


class Jobs:
    """The jobs of a service. catalogue: a file. memory: bytes of address space that each may take."""

    def __init__(self, catalogue: str | None, memory: int) -> None:
        self._catalogue, self._memory = catalogue, memory
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imkin-job")
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Job]:
        """Every job that is remembered, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def find(self, id_: str) -> Job:
        """One job. Raises Problem 404."""
        with self._lock:
            if id_ not in self._jobs:
                raise Problem(404, "unknown-job", "there is no such job")
            return self._jobs[id_]

    def running(self) -> int:
        """How many have not ended."""
        return sum(job.state not in ENDED for job in self.all())

    def start(self, kind: str, values: dict[str, Any], *, then: Callable[[Job], None]) -> Job:
        """Begin a job, or let it wait. then: called with it at its end, before it says so. Raises Problem 429."""
        if self._catalogue is None:
            raise Problem(409, "no-catalogue", "the service was started without a catalogue")
        job = Job(kind)
        with self._lock:
            open_ = [each for each in self._jobs.values() if each.state not in ENDED]
            if len(open_) > MOST_WAITING:
                raise Problem(429, "busy", "too many jobs wait; come again later", headers={"retry-after": "60"})
            ended = [each.id for each in self._jobs.values() if each.state in ENDED]
            for old in ended[: max(0, len(ended) - MOST_KEPT + 1)]:
                del self._jobs[old]
            self._jobs[job.id] = job
        self._thread.submit(self._work, job, values, then)
        return job

    def close(self) -> None:
        """Stop what runs."""
        for job in self.all():
            job.stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _work(self, job: Job, values: dict[str, Any], then: Callable[[Job], None]) -> None:
        try:
            job.change(state="running")
            told: dict[str, Any] = {"stopped": True} if job.stop.is_set() else self._run(job, values)
            job.result = told.get("result")
            then(job)
        except Exception:
            log.exception("job %s", job.id)
            told = {}
        if "result" in told:
            job.change(state="done")
        elif "stopped" in told:
            job.change(state="stopped")
        elif "refused" in told:
            job.change(state="failed", error=told["refused"])
        else:
            log.error("job %s broke off: %s", job.id, told.get("broken", "its process died"))
            job.change(state="failed", error="the job broke off; the log of the service says why")

    def _run(self, job: Job, values: dict[str, Any]) -> dict[str, Any]:
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(
            target=main, args=(theirs, job.kind, self._catalogue, values, self._memory), daemon=True
        )
        process.start()
        theirs.close()
        try:
            return _follow(pipe, job)
        finally:
            pipe.close()
            process.join(STOP_S)
            process.kill()
            process.join()


def _follow(pipe: Connection, job: Job) -> dict[str, Any]:
    """Hear a job's progress, and hand on a stop, until it ends; the last thing that it said."""
    asked = 0.0
    while True:
        try:
            if job.stop.is_set():
                if asked == 0.0:
                    pipe.send_bytes(b"stop")
                elif asked > STOP_S:
                    return {"stopped": True}
                asked += 0.1
            if not pipe.poll(0.1):
                continue
            told: dict[str, Any] = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return {}
        if "progress" not in told:
            return told
        job.change(**told["progress"])
