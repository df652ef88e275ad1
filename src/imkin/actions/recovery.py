"""After a crash: bring every file to one side or the other of the change that it was in."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import groupby

from imkin.actions.changes import Change, change_of
from imkin.actions.disk import DISK, Disk, RefusedError, in_words
from imkin.actions.lock import exclusive
from imkin.actions.outcome import Outcome, outcome_of
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal, Run, Step


def recover(*, database: Database, disk: Disk = DISK) -> tuple[Outcome, ...]:
    """Settle what a killed run left half-done; returns these runs. apply, resume, undo and purge do it first."""
    with exclusive(database):
        journal = Journal(database)
        runs = recover_runs(journal, disk)
        return tuple(outcome_of(journal.run(run.id), journal.steps(run.id)) for run in runs)


def recover_runs(journal: Journal, disk: Disk) -> list[Run]:
    """Settle all open runs and return them. A step of which nobody can tell now stays as it is, for the next time."""
    runs = journal.open_runs()
    for run in runs:
        steps = journal.steps(run.id)
        if run.state in ("undoing", "partly undone", "undone"):
            for step in steps:
                if step.state == "undoing":
                    back = _settled(step, disk, back=True)
                    if back is not None:
                        journal.settle(step, "undone" if back else "done")
            journal.set_state(run.id, undone_state(journal, run.id))
        else:
            for _, group in groupby(steps, key=lambda step: step.action):
                _settle_attempt(journal, disk, [step for step in group if step.state in ("intended", "undoing")])
            journal.set_state(run.id, "stopped" if run.state == "applying" else run.state)
    return runs


def undone_state(journal: Journal, run: int) -> str:
    """The state of a run of which steps were given back."""
    journal.flush()
    left = any(step.state in ("done", "undoing", "purging", "purged") for step in journal.steps(run))
    return "partly undone" if left else "undone"


def _settle_attempt(journal: Journal, disk: Disk, steps: Sequence[Step]) -> None:
    """Settle the steps of one action that were under way: all made, or none."""
    made: dict[int, bool] = {}
    for step in steps:
        there = _settled(step, disk, back=step.state == "undoing")
        if there is None:
            return
        made[step.number] = there != (step.state == "undoing")
    if all(made.values()) and all(step.state == "intended" for step in steps):
        for step in steps:
            journal.settle(step, "done")
        return
    for step in steps:
        if not made[step.number]:
            journal.settle(step, "not done")
    put_back(journal, disk, [step for step in steps if made[step.number]])


def _settled(step: Step, disk: Disk, *, back: bool) -> bool | None:
    change = change_of(step.entry)
    try:
        return change.settle_back(disk) if back else change.settle(disk)
    except OSError:
        return None


def take(journal: Journal, disk: Disk, step: Step, change: Change) -> RefusedError | OSError | None:
    """Make the change of a step and settle the step; returns the error if the change is not made."""
    try:
        change.take(disk)
    except RefusedError as error:
        journal.settle(step, "skipped", str(error))
        return error
    except OSError as error:
        made = None
        with contextlib.suppress(OSError):
            made = change.settle(disk)
        # Where nobody can tell now (the disk is gone), the step stays `intended` for a later recovery.
        if made is not None:
            journal.settle(step, "done" if made else "failed", in_words(error))
        return None if made else error
    journal.settle(step, "done")
    return None


def put_back(journal: Journal, disk: Disk, steps: Sequence[Step]) -> None:
    """Give back the steps that were made for an action whose others cannot be."""
    if steps:
        journal.mark(steps, "undoing")
    for step in reversed(steps):
        reason = given_back(step, disk)
        journal.settle(step, "done" if reason else "not done", reason)


def given_back(step: Step, disk: Disk) -> str:
    """Undo one step; returns why it could not be, or nothing."""
    change = change_of(step.entry)
    try:
        change.give_back(disk)
    except RefusedError as error:
        return str(error)
    except OSError as error:
        with contextlib.suppress(OSError):
            if change.settle_back(disk):
                return ""
        return in_words(error)
    return ""
