"""Lay groups out in folders: group-0001/, group-0002/, …, each with its keeper first, as copies, moves or links."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from imkin.actions.changes import entry_of
from imkin.actions.disk import DISK, NO_HARD_LINKS, Disk, RefusedError, copy_verified, in_words
from imkin.actions.lock import exclusive
from imkin.actions.outcome import Outcome, Row, outcome_of
from imkin.actions.places import FreeNames, move, temporary
from imkin.actions.recheck import READ_ONLY, Recheck, is_read_only
from imkin.actions.recovery import put_back, recover_runs, take
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal
from imkin.errors import OutputError, StoppedError, UsageError
from imkin.plan import Seen
from imkin.policy.planning import Bundles, NoBundles
from imkin.types import File

Mode = Literal["copy", "move", "link"]
Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]

_NUMBERED = re.compile(r"(?:group|single)-(\d+)")


@dataclass(frozen=True, slots=True)
class _Item:
    """One image with its bundle, and the new paths for them."""

    files: tuple[Seen, ...]
    dests: tuple[str, ...]
    inside: str = ""
    """Why the image is no file of its own, or empty."""


def layout(
    groups: Sequence[Sequence[File]],
    folder: str,
    *,
    mode: Mode,
    database: Database,
    singles: Sequence[File] = (),
    into_existing: bool = False,
    fixed: Collection[str] = (),
    bundles: Bundles | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    disk: Disk = DISK,
) -> Outcome:
    """Lay groups out below folder, and each of `singles` in a folder of its own (single-0001/, …).

    groups: the keeper first; it takes its plain name where names collide. fixed: paths that are not moved. Copies
    keep the bytes, times and metadata; links are symbolic and absolute, hard links where there are none. A move is a
    run in the journal (with its number in the outcome; 0 otherwise) and can be undone. Nothing is overwritten; a
    file that changed since the scan is skipped. Raises UsageError for a folder that is not empty unless
    into_existing, OutputError if it cannot be made.
    """
    first = _prepare(folder, into_existing=into_existing, disk=disk)
    items = _items(groups, singles, folder, first, bundles or NoBundles())
    with exclusive(database) if mode == "move" else contextlib.nullcontext():
        work = _Work(mode, frozenset(fixed), disk, Journal(database) if mode == "move" else None)
        return work.go(list(items), progress, stop)


def _prepare(folder: str, *, into_existing: bool, disk: Disk) -> int:
    """Make the folder; returns the first free number in it."""
    try:
        disk.make_folders(folder)
        names = os.listdir(folder)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {in_words(error)}") from None
    if names and not into_existing:
        raise UsageError(f"{folder} is not empty; name a new folder, or add --into-existing (nothing is overwritten)")
    found = (_NUMBERED.fullmatch(name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=0)


def _items(
    groups: Sequence[Sequence[File]], singles: Sequence[File], folder: str, first: int, bundles: Bundles
) -> Iterator[_Item]:
    digits = max(4, len(str(first + max(len(groups), len(singles)))))
    names = FreeNames()
    named = {os.path.abspath(file.path) for group in (*groups, singles) for file in group}
    for word, sets in (("group", groups), ("single", [[file] for file in singles])):
        for number, files in enumerate(sets, first):
            place = os.path.join(os.path.abspath(folder), f"{word}-{number:0{digits}}")
            for file in files:
                path = os.path.abspath(file.path)
                if file.source != "file":
                    yield _Item((Seen(path, file.size, file.mtime_ns, file.sha256),), ("",), _no_file(file))
                    continue
                beside = [bundles.seen(each.path) for each in bundles.of(path) if each.path not in named]
                seen = (Seen(path, file.size, file.mtime_ns, file.sha256), *(each for each in beside if each))
                yield _Item(seen, tuple(names.take(place, [os.path.basename(each.path) for each in seen])))


def _no_file(file: File) -> str:
    return {"video": "is a frame of a video", "row": "is a row of a table"}.get(file.source, "lies in an archive")


class _Work:
    """One layout at work; journalled if it moves."""

    def __init__(self, mode: Mode, fixed: frozenset[str], disk: Disk, journal: Journal | None) -> None:
        self._mode, self._fixed, self._disk, self._journal = mode, fixed, disk, journal
        self._check = Recheck()
        if journal:
            recover_runs(journal, disk)
            self._run = journal.begin("", verb="layout")

    def go(self, items: list[_Item], progress: Progress | None, stop: Stop | None) -> Outcome:
        """All items; a full disk ends it early."""
        rows: list[Row] = []
        try:
            for number, item in enumerate(items):
                if stop and stop():
                    raise StoppedError(f"stopped after {number} of {len(items)} files")
                rows.append(self._one(number, item))
                if progress:
                    progress("laying out", number + 1, len(items))
        except BaseException:
            if self._journal:
                with contextlib.suppress(Exception):
                    self._journal.flush()
                    recover_runs(self._journal, self._disk)
            raise
        if not self._journal:
            return Outcome(0, self._mode, "applied", time.time_ns(), tuple(rows))
        self._journal.set_state(self._run.id, "applied")
        return outcome_of(self._journal.run(self._run.id), self._journal.steps(self._run.id))

    def _one(self, number: int, item: _Item) -> Row:
        main = item.files[0]
        size = sum(file.size for file in item.files)
        try:
            reason = self._refusal(item)
            state = "skipped"
            if not reason:
                self._move(self._journal, number, item) if self._journal else self._copy(item)
                return Row(main.path, "done", "", item.dests[0], size)
        except RefusedError as error:
            reason = str(error)
        except OSError as error:
            reason, state = in_words(error), "failed"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutputError(f"{reason}: {number} files were laid out, the others were not") from None
        if self._journal and state == "skipped":
            entry = {"kind": "", "main": main.path, "kept": None, "change": {"file": asdict(main)}}
            self._journal.record(self._run.id, number, entry, state=state, note=reason)
        return Row(main.path, state, reason, "", size)

    def _refusal(self, item: _Item) -> str:
        if item.inside:
            return item.inside
        for file in item.files:
            name = "" if file is item.files[0] else f"{file.path} of its bundle "
            if reason := self._check.changed(file):
                return name + reason
            if self._mode == "move" and is_read_only(os.lstat(file.path)):
                return name + READ_ONLY
            if self._mode == "move" and file.path in self._fixed:
                return f"{name}lies in a reference folder"
        return ""

    def _move(self, journal: Journal, number: int, item: _Item) -> None:
        changes = [move(file, dest) for file, dest in zip(item.files, item.dests, strict=True)]
        entries = [entry_of(change, kept=None, main=item.files[0].path) for change in changes]
        steps = journal.intend(self._run.id, number, entries)
        for at, (step, change) in enumerate(zip(steps, changes, strict=True)):
            if error := take(journal, self._disk, step, change):
                for rest in steps[at + 1 :]:
                    journal.settle(rest, "not done")
                put_back(journal, self._disk, steps[:at])
                raise error

    def _copy(self, item: _Item) -> None:
        """Copies or links of an image and its bundle; all or none."""
        self._disk.make_folders(os.path.dirname(item.dests[0]))
        made: list[str] = []
        try:
            for file, dest in zip(item.files, item.dests, strict=True):
                if self._mode == "link":
                    self._link(file.path, dest)
                else:
                    copy_verified(self._disk, file, file.path, dest, part=temporary(os.path.dirname(dest)))
                made.append(dest)
        except BaseException:
            with contextlib.suppress(OSError):
                for dest in made:
                    self._disk.unlink(dest)
            raise

    def _link(self, path: str, dest: str) -> None:
        try:
            self._disk.symlink(path, dest)
        except OSError as error:
            # Windows allows symbolic links to administrators alone.
            if error.errno not in NO_HARD_LINKS:
                raise
            self._disk.link(path, dest)
