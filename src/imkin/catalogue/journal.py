"""The journal: what a run is about to do with users' files, written before it is done.

A step's state tells where a run stands. Forward: `intended` → `done`; back: `undoing` → `undone`; and `purging` →
`purged` for what was held. `skipped` and `failed` end an action that was not taken, `not done` one that a crash or
a failing companion stopped and that can be taken again.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imkin.catalogue.database import Database
from imkin.errors import UsageError

# States of a run in which a process is, or was, at work.
OPEN = ("applying", "undoing")

_RUN = "id, token, verb, started_ns, state"


@dataclass(frozen=True, slots=True)
class Run:
    """One applied plan. state: applying, stopped, applied, undoing, partly undone or undone.

    token: makes the run's holding folder unlike that of any other catalogue. verb: of the plan.
    """

    id: int
    token: str
    verb: str
    started_ns: int
    state: str


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one file. action: its place in the plan's actions. entry: JSON types only."""

    run: int
    number: int
    action: int
    state: str
    note: str
    entry: Mapping[str, Any]


class Journal:
    """Runs and their steps. Use a durable `Database`: a step must be on the disk before it is taken.

    A catalogue that several machines share holds the runs of each; here only those of this one are seen, since its
    paths mean other files elsewhere.
    `settle` is written with the next `intend` or `set_state`, one commit for both: what it says can be found out
    again from the disk if it is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: list[tuple[str, str, int, int]] = []

    def begin(self, plan: str, *, verb: str) -> Run:
        """A new run, in state `applying`."""
        token, now = secrets.token_hex(4), time.time_ns()
        with self._database.transaction():
            ((number,),) = self._database.execute(
                "INSERT INTO runs (token, verb, started_ns, state, plan, host) VALUES (?, ?, ?, 'applying', ?, ?) "
                "RETURNING id",
                (token, verb, now, plan, self._database.host),
            )
        return Run(number, token, verb, now, "applying")

    def intend(self, run: int, action: int, entries: Sequence[Mapping[str, Any]]) -> list[Step]:
        """Write down steps that are about to be taken, as one commit."""
        return self._add(run, action, entries, state="intended", note="")

    def record(self, run: int, action: int, entry: Mapping[str, Any], *, state: str, note: str) -> Step:
        """Write down an action that is not taken: `skipped` or `failed`, and why."""
        return self._add(run, action, [entry], state=state, note=note)[0]

    def _add(self, run: int, action: int, entries: Sequence[Mapping[str, Any]], *, state: str, note: str) -> list[Step]:
        with self._database.transaction():
            self._write()
            ((last,),) = self._database.execute("SELECT coalesce(max(step), -1) FROM journal WHERE run = ?", (run,))
            steps = [Step(run, last + 1 + at, action, state, note, entry) for at, entry in enumerate(entries)]
            self._database.execute_many(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)",
                ((run, s.number, action, state, note, json.dumps(s.entry)) for s in steps),
            )
        self._unwritten.clear()
        return steps

    def settle(self, step: Step, state: str, note: str = "") -> None:
        """Note how a step ended; it is on the disk after the next write or `flush`."""
        self._unwritten.append((state, note, step.run, step.number))

    def mark(self, steps: Sequence[Step], state: str, *, run_state: str = "") -> None:
        """Set the state of steps, and of their run if one is given, as one commit."""
        with self._database.transaction():
            self._write()
            if run_state:
                self._database.execute("UPDATE runs SET state = ? WHERE id = ?", (run_state, steps[0].run))
            self._database.execute_many(
                "UPDATE journal SET state = ? WHERE run = ? AND step = ?", ((state, s.run, s.number) for s in steps)
            )
        self._unwritten.clear()

    def flush(self) -> None:
        """Write what was settled."""
        self.mark((), "")

    def set_state(self, run: int, state: str) -> None:
        """Set the state of a run, and write what was settled."""
        with self._database.transaction():
            self._write()
            self._database.execute("UPDATE runs SET state = ? WHERE id = ?", (state, run))
        self._unwritten.clear()

    def _write(self) -> None:
        self._database.execute_many(
            "UPDATE journal SET state = ?, note = ? WHERE run = ? AND step = ?", self._unwritten
        )

    def runs(self) -> list[Run]:
        """All runs of this host, oldest first. A copy of a catalogue may have brought older ones of higher numbers."""
        rows = self._database.execute(
            f"SELECT {_RUN} FROM runs WHERE host = ? ORDER BY started_ns, id", (self._database.host,)
        )
        return [Run(*row) for row in rows]

    def open_runs(self) -> list[Run]:
        """The runs in which something is begun and not ended, oldest first."""
        marks = ", ".join("?" * len(OPEN))
        rows = self._database.execute(
            f"SELECT {_RUN} FROM runs WHERE host = ? AND (state IN ({marks}) "
            "OR id IN (SELECT run FROM journal WHERE state IN ('intended', 'undoing'))) ORDER BY id",
            (self._database.host, *OPEN),
        )
        return [Run(*row) for row in rows]

    def run(self, number: int) -> Run:
        """One run. Raises UsageError if there is none of that number."""
        rows = self._database.execute(f"SELECT host, {_RUN} FROM runs WHERE id = ?", (number,))
        if not rows:
            raise UsageError(f"there is no run {number}; `imkin history` lists them")
        host, *run = rows[0]
        if host != self._database.host:
            raise UsageError(f"run {number} changed files of the machine `{host}`: go on with it there")
        return Run(*run)

    def plan(self, run: int) -> str:
        """The plan that a run was begun with."""
        ((plan,),) = self._database.execute("SELECT plan FROM runs WHERE id = ?", (run,))
        return str(plan)

    def steps(self, run: int) -> list[Step]:
        """The steps of a run, in the order in which they were taken."""
        rows = self._database.execute(
            "SELECT run, step, action, state, note, entry FROM journal WHERE run = ? ORDER BY step", (run,)
        )
        return [
            Step(number, step, action, state, note, json.loads(entry))
            for number, step, action, state, note, entry in rows
        ]
