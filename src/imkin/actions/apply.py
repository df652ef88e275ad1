"""Apply a plan: re-check, write down, change; one action after the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict

from imkin.actions.changes import entry_of
from imkin.actions.disk import DISK, Disk, in_words
from imkin.actions.lock import exclusive
from imkin.actions.outcome import Outcome, outcome_of
from imkin.actions.places import Places
from imkin.actions.recheck import READ_ONLY, Recheck, content_of, is_read_only
from imkin.actions.recovery import put_back, recover_runs, take
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal, Run
from imkin.errors import MissingPathError, OutputError, StoppedError, UsageError
from imkin.plan import KEEP, Action, Plan, Seen, check, inside, parse_plan, plan_text

Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]


def apply(
    plan: Plan,
    *,
    database: Database,
    progress: Progress | None = None,
    stop: Stop | None = None,
    disk: Disk = DISK,
) -> Outcome:
    """Do what a plan says, each action only if its files and the kept one are still what they were.

    database: a durable catalogue file. What an earlier run left half-done is tidied up first.
    Raises UsageError, MissingPathError or OutputError before anything is done; StoppedError when `stop` says so.
    """
    with exclusive(database):
        journal = Journal(database)
        recover_runs(journal, disk)
        _check_place(plan, disk)
        run = journal.begin(plan_text(plan), verb=plan.verb)
        return _Work(plan, run, journal, disk).go(progress, stop)


def resume(
    run: int,
    *,
    database: Database,
    progress: Progress | None = None,
    stop: Stop | None = None,
    disk: Disk = DISK,
) -> Outcome:
    """Go on with a run that was stopped or killed: take the actions that were not yet taken."""
    with exclusive(database):
        journal = Journal(database)
        recover_runs(journal, disk)
        found = journal.run(run)
        if found.state != "stopped":
            raise UsageError(f"run {run} was not stopped, it is {found.state}; there is nothing to go on with")
        plan = parse_plan(journal.plan(run), name=f"the plan of run {run}")
        _check_place(plan, disk)
        journal.set_state(run, "applying")
        return _Work(plan, found, journal, disk).go(progress, stop)


def _check_place(plan: Plan, disk: Disk) -> None:
    """Refuse a plan whose folders are not there, or that a link leads out of its roots. Nothing is done by then."""
    check(plan)
    for root in (*plan.roots, *plan.reference_roots):
        if not os.path.exists(root):
            raise MissingPathError(f"{root} of the plan is not there; plug in its disk, or make the plan anew")
    real_roots = tuple(os.path.realpath(root) for root in plan.roots)
    references = tuple(os.path.realpath(root) for root in plan.reference_roots)
    folders = {os.path.dirname(action.file.path): action.file.path for action in plan.actions}
    for folder, path in folders.items():
        real = os.path.join(os.path.realpath(folder), os.path.basename(path))
        if not inside(real, real_roots) or inside(real, references):
            raise UsageError(f"the plan names {path}, which is {real} and outside its roots; nothing was done")
    if plan.target:
        if os.path.realpath(plan.target) in real_roots:
            raise UsageError(f"cannot move files to {plan.target}: it is one of the folders to be cleaned")
        try:
            disk.make_folders(plan.target)
        except OSError as error:
            raise OutputError(f"cannot make the folder {plan.target}: {in_words(error)}") from None


class _Work:
    """One run at work."""

    def __init__(self, plan: Plan, run: Run, journal: Journal, disk: Disk) -> None:
        self._run, self._journal, self._disk = run, journal, disk
        self._actions = plan.actions
        self._places = Places(plan, run)
        self._check = Recheck()
        self._beside_kept = {
            member.file.path: member.bundle for group in plan.groups for member in group if member.do == KEEP
        }
        self._kept = dict(_names(member.file for group in plan.groups for member in group if member.do == KEEP))

    def go(self, progress: Progress | None, stop: Stop | None) -> Outcome:
        settled = {step.action for step in self._journal.steps(self._run.id) if step.state != "not done"}
        try:
            for number, action in enumerate(self._actions):
                if stop and stop():
                    raise StoppedError(
                        f"stopped after {number} of {len(self._actions)} files: `imkin undo {self._run.id}` takes them "
                        f"back, `imkin apply --resume {self._run.id}` goes on"
                    )
                if number not in settled:
                    self._one(number, action)
                if progress:
                    progress("cleaning", number + 1, len(self._actions))
        except BaseException:
            with contextlib.suppress(Exception):
                self._journal.flush()
                recover_runs(self._journal, self._disk)
            raise
        self._journal.set_state(self._run.id, "applied")
        return outcome_of(self._journal.run(self._run.id), self._journal.steps(self._run.id))

    def _one(self, number: int, action: Action) -> None:
        try:
            reason, state = self._refusal(action), "skipped"
            changes = [] if reason else self._places.changes(action)
        except OSError as error:
            reason, state = in_words(error), "failed"
        main = action.file.path
        if reason:
            entry = {"kind": "", "main": main, "kept": None, "change": {"file": asdict(action.file)}}
            self._journal.record(self._run.id, number, entry, state=state, note=reason)
            return
        entries = [entry_of(change, kept=action.keep, main=main) for change in changes]
        steps = self._journal.intend(self._run.id, number, entries)
        for at, (step, change) in enumerate(zip(steps, changes, strict=True)):
            if take(self._journal, self._disk, step, change):
                for rest in steps[at + 1 :]:
                    self._journal.settle(rest, "not done")
                put_back(self._journal, self._disk, steps[:at])
                return

    def _refusal(self, action: Action) -> str:
        """Why an action is not taken, or empty. Raises OSError if a file cannot be looked at."""
        if reason := self._check.changed(action.keep):
            return f"the kept {action.keep.path} {reason}"
        kinds = set(map(content_of, action.bundle)) - {""}
        for seen in self._beside_kept[action.keep.path]:
            if content_of(seen) in kinds and (reason := self._check.changed(seen)):
                return f"{seen.path}, which belongs to the kept {action.keep.path}, {reason}"
        for seen in (action.file, *action.bundle):
            name = "" if seen is action.file else f"{seen.path} of its bundle "
            if reason := self._check.changed(seen):
                return name + reason
            status = os.lstat(seen.path)
            if kept := self._kept.get((status.st_dev, status.st_ino)):
                return f"{name}is a hard link of the kept {kept}: nothing would be won"
            if is_read_only(status):
                return f"{name}{READ_ONLY}"
        return ""


def _names(kept: Iterable[Seen]) -> Iterable[tuple[tuple[int, int], str]]:
    """(device, inode) → path of the kept files that are there."""
    for seen in kept:
        with contextlib.suppress(OSError):
            status = os.lstat(seen.path)
            yield (status.st_dev, status.st_ino), seen.path
