"""Take a run back, look at past runs, and let go for good of what was held."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from imkin.actions.changes import change_of
from imkin.actions.disk import DISK, Disk, holds, in_words
from imkin.actions.lock import exclusive
from imkin.actions.outcome import Outcome, Row, outcome_of
from imkin.actions.recovery import given_back, recover_runs, undone_state
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal, Step
from imkin.errors import StoppedError, UsageError
from imkin.plan import HELD, Seen

Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]


def undo(
    run: int | None = None,
    *,
    database: Database,
    progress: Progress | None = None,
    stop: Stop | None = None,
    disk: Disk = DISK,
) -> Outcome:
    """Take a run back, last step first; run None: the last one of which anything can be taken back.

    A file is put where it was only if it is unchanged and nothing else is there; if not, it stays and its row says
    why. Raises UsageError if there is nothing to undo, StoppedError when `stop` says so.
    """
    with exclusive(database):
        journal = Journal(database)
        recover_runs(journal, disk)
        number = _last(journal) if run is None else journal.run(run).id
        steps = [step for step in journal.steps(number) if step.state == "done"]
        if not steps:
            raise UsageError(f"there is nothing to undo in run {number}, it is {journal.run(number).state}")
        journal.mark(steps, "undoing", run_state="undoing")
        try:
            for at, step in enumerate(reversed(steps)):
                if stop and stop():
                    raise StoppedError(f"stopped after {at} of {len(steps)} files: `imkin undo {number}` goes on")
                reason = given_back(step, disk)
                journal.settle(step, "done" if reason else "undone", reason)
                _tidy(disk, step)
                if progress:
                    progress("undoing", at + 1, len(steps))
        except BaseException:
            with contextlib.suppress(Exception):
                journal.flush()
                recover_runs(journal, disk)
            raise
        journal.set_state(number, undone_state(journal, number))
        return outcome_of(journal.run(number), journal.steps(number))


def _last(journal: Journal) -> int:
    for run in reversed(journal.runs()):
        if run.state != "undone" and any(step.state == "done" and _is_left(step) for step in journal.steps(run.id)):
            return run.id
    raise UsageError("there is nothing to undo: no run changed a file that could still be put back")


def _is_left(step: Step) -> bool:
    """Whether there may be something to put back, or an info file to tidy up; of what is unplugged nobody knows."""
    change = change_of(step.entry)
    info = step.entry["change"].get("info", "")
    if os.path.lexists(change.dest) or (info and os.path.lexists(info)):
        return True
    try:
        if holds(change.file.path, change.file):
            return False
    except OSError:
        return True
    # Folders that imkin or the trash made are only there with their volume; one that a person named may be empty.
    known = info or HELD in change.dest.split(os.sep)
    return not (known and os.path.isdir(os.path.dirname(change.dest)))


def history(database: Database) -> tuple[Outcome, ...]:
    """All runs, oldest first, with what became of each action. Changes nothing."""
    journal = Journal(database)
    return tuple(outcome_of(run, journal.steps(run.id)) for run in journal.runs())


def look_up(run: int, database: Database) -> Outcome:
    """One run. Raises UsageError if there is none of that number."""
    journal = Journal(database)
    return outcome_of(journal.run(run), journal.steps(run))


def purge(
    run: int | None = None,
    *,
    database: Database,
    without_kept: bool = False,
    disk: Disk = DISK,
) -> tuple[Row, ...]:
    """Remove for good the files that runs hold (all runs', or one's); returns a row each, purged or skipped.

    A file is removed only while the file that was kept for it still is where it was, unchanged; without_kept: also
    without that. Undo cannot bring back what was purged.
    """
    with exclusive(database):
        journal = Journal(database)
        recover_runs(journal, disk)
        runs = journal.runs() if run is None else [journal.run(run)]
        held = [step for each in runs for step in journal.steps(each.id) if _is_held(step)]
        rows = []
        kept: dict[tuple[str, str], bool] = {}
        for step in held:
            if without_kept or _stands(step, kept):
                rows.append(_purge(journal, disk, step))
            else:
                why = (
                    f"the kept {step.entry['kept']['path']} is not there any more, or changed; `imkin undo {step.run}`"
                )
                rows.append(_row(step, "skipped", why))
        journal.flush()
        return tuple(rows)


def _is_held(step: Step) -> bool:
    return step.state in ("done", "purging") and HELD in step.entry["change"].get("dest", "").split(os.sep)


def _stands(step: Step, known: dict[tuple[str, str], bool]) -> bool:
    kept = Seen(**step.entry["kept"])
    key = (kept.path, kept.sha256)
    if key not in known:
        try:
            known[key] = holds(kept.path, kept)
        except OSError:
            known[key] = False
    return known[key]


def _purge(journal: Journal, disk: Disk, step: Step) -> Row:
    dest = change_of(step.entry).dest
    journal.mark([step], "purging")
    try:
        disk.unlink(dest)
    except FileNotFoundError:
        # A purge that was killed after this removal, or a person who tidied up by hand: gone either way.
        if not os.path.isdir(os.path.dirname(dest)) and step.state == "done":
            journal.settle(step, "done")
            return _row(step, "skipped", f"{dest} is not there; is its disk plugged in?")
    except OSError as error:
        journal.settle(step, "done", in_words(error))
        return _row(step, "skipped", in_words(error))
    journal.settle(step, "purged")
    _tidy(disk, step)
    return _row(step, "purged", "")


def _row(step: Step, state: str, reason: str) -> Row:
    file = step.entry["change"]["file"]
    return Row(file["path"], state, reason, "", file["size"])


def _tidy(disk: Disk, step: Step) -> None:
    """Remove the folders of a holding place that are empty now."""
    folder = os.path.dirname(step.entry["change"].get("dest", ""))
    with contextlib.suppress(OSError):
        while HELD in folder.split(os.sep):
            disk.remove_folder(folder)
            folder = os.path.dirname(folder)
