"""The changes of a file that a run makes. Each can be taken, given back, and found half-way after a crash.

take            make the change; on an error everything is as it was
settle          after a crash in `take`: tidy up; True: it is made, False: it is not, None: nobody can tell now
give_back       the reverse of take, never overwriting
settle_back     after a crash in `give_back`: True: it is given back, False: it is still made
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from imkin.actions import trash
from imkin.actions.disk import (
    NO_HARD_LINKS,
    Disk,
    RefusedError,
    carry,
    copy_verified,
    digest,
    drop_reservation,
    holds,
    place,
    same_file,
)
from imkin.plan import Seen


class Change(Protocol):
    """One change of one file; see the module."""

    @property
    def file(self) -> Seen:
        """The file that is changed, as it was."""

    @property
    def dest(self) -> str:
        """Where its content is afterwards; empty if only the system knows."""

    def take(self, disk: Disk) -> None:
        """Make it. Raises OSError, RefusedError."""

    def settle(self, disk: Disk) -> bool | None:
        """After a crash."""

    def give_back(self, disk: Disk) -> None:
        """Undo it. Raises OSError, RefusedError."""

    def settle_back(self, disk: Disk) -> bool | None:
        """After a crash."""


def entry_of(change: Change, *, kept: Seen | None, main: str) -> dict[str, Any]:
    """A change as JSON types, for the journal. kept: the file that stays for it. main: the image of its bundle."""
    return {
        "kind": type(change).__name__,
        "main": main,
        "kept": kept and asdict(kept),
        "change": asdict(change),  # type: ignore[call-overload]
    }


def change_of(entry: Mapping[str, Any]) -> Change:
    """The change that `entry_of` wrote down."""
    values = {key: Seen(**value) if key in ("file", "keep") else value for key, value in entry["change"].items()}
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (Move, Link, SystemTrash)}
    return kinds[entry["kind"]](**values)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Move:
    """A file goes to dest: a folder of the user's, the holding folder, or a trash with its info file.

    part: a name beside dest for a copy that is not complete; back: the same beside the file.
    """

    file: Seen
    dest: str
    part: str
    back: str
    info: str = ""
    text: str = ""

    def take(self, disk: Disk) -> None:
        """See the module."""
        disk.make_folders(os.path.dirname(self.dest))
        try:
            if self.info:
                disk.make_folders(os.path.dirname(self.info))
                disk.write(self.info, self.text.encode())
            carry(disk, self.file, self.file.path, self.dest, part=self.part)
        except (OSError, RefusedError) as error:
            if getattr(error, "filename", None) != self.info or not isinstance(error, FileExistsError):
                self._drop_info(disk)
            raise

    def settle(self, disk: Disk) -> bool | None:
        """See the module. A complete copy at dest is the file; what is left of it at its old path goes."""
        arrived = _settle_carry(disk, self.file, self.file.path, self.dest, part=self.part)
        if arrived is False:
            self._drop_info(disk)
        return arrived

    def give_back(self, disk: Disk) -> None:
        """See the module."""
        if _is_back(self.file, self.dest):
            self._drop_info(disk)
            return
        if os.path.lexists(self.file.path):
            raise RefusedError(f"there is something else at {self.file.path} now; {_where(self.dest)}")
        if not os.path.isdir(os.path.dirname(self.file.path)):
            raise RefusedError(f"its folder {os.path.dirname(self.file.path)} is not there: make it, or plug it in")
        if not os.path.lexists(self.dest):
            raise RefusedError(f"{self.dest} is not there any more; is its disk plugged in?")
        if not holds(self.dest, self.file):
            raise RefusedError(f"{self.dest} was changed since; it stays there")
        carry(disk, self.file, self.dest, self.file.path, part=self.back)
        self._drop_info(disk)

    def settle_back(self, disk: Disk) -> bool | None:
        """See the module."""
        returned = _settle_carry(disk, self.file, self.dest, self.file.path, part=self.back)
        if returned:
            self._drop_info(disk)
        return returned

    def _drop_info(self, disk: Disk) -> None:
        """Remove our own info file; one with another content is somebody else's."""
        if self.info and not os.path.lexists(self.dest):
            with contextlib.suppress(FileNotFoundError):
                with open(self.info, "rb") as file:
                    ours = self.text.encode().startswith(file.read())
                if ours:
                    disk.unlink(self.info)


def _is_back(file: Seen, dest: str) -> bool:
    """Whether a person put a file back where it was."""
    return not os.path.lexists(dest) and holds(file.path, file)


def _where(dest: str) -> str:
    return f"it stays at {dest}" if os.path.lexists(dest) else f"{dest} is not there any more"


def _settle_carry(disk: Disk, file: Seen, source: str, dest: str, *, part: str) -> bool | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        disk.unlink(part)
    drop_reservation(disk, file, dest, source=source)
    if holds(dest, file):
        if same_file(source, dest) or holds(source, file):
            disk.sync_folder(os.path.dirname(dest))
            disk.unlink(source)
        return True
    return False if os.path.lexists(source) else None


@dataclass(frozen=True, slots=True)
class Link:
    """A file's name becomes a link to the kept file; the file itself goes to the holding folder.

    how: hardlink, reflink or symlink. text: what the symbolic link says. new: a name beside the file for the link
    while it is made. part: a name beside held.
    """

    file: Seen
    keep: Seen
    how: str
    dest: str
    new: str
    part: str
    text: str = ""

    def take(self, disk: Disk) -> None:
        """See the module. The name is never without a file: the link is swapped in for it in one step."""
        path = self.file.path
        try:
            self._make(disk)
            if same_file(path, self.keep.path):
                raise RefusedError(f"is the kept {self.keep.path} already")
            disk.make_folders(os.path.dirname(self.dest))
            self._hold(disk)
            disk.replace(self.new, path)
        except (OSError, RefusedError):
            self.settle(disk)
            raise

    def _make(self, disk: Disk) -> None:
        if self.how == "reflink":
            disk.clone(self.keep.path, self.new)
            right = digest(self.new) == self.keep.sha256
        else:
            disk.symlink(self.text, self.new) if self.how == "symlink" else disk.link(self.keep.path, self.new)
            right = same_file(self.new, self.keep.path)
        if not right:
            raise RefusedError(f"a link to {self.keep.path} would not lead to it")

    def _hold(self, disk: Disk) -> None:
        try:
            disk.link(self.file.path, self.dest)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            copy_verified(disk, self.file, self.file.path, self.dest, part=self.part)
        if not holds(self.dest, self.file):
            raise RefusedError("was replaced by another file meanwhile")

    def settle(self, disk: Disk) -> bool | None:
        """See the module."""
        for name in (self.new, self.part):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                disk.unlink(name)
        path = self.file.path
        drop_reservation(disk, self.file, self.dest, source=path)
        if not os.path.lexists(self.dest):
            return False if os.path.lexists(path) else None
        # The original has one name or two, never none: while it has its own, the swap has not happened.
        if same_file(path, self.dest):
            disk.unlink(self.dest)
            return False
        if not holds(self.dest, self.file):
            return None
        if not self._swapped() and holds(path, self.file):
            disk.unlink(self.dest)
            return False
        return True

    def _swapped(self) -> bool:
        """Whether our link is at the file's name."""
        path = self.file.path
        if self.how == "symlink":
            return os.path.islink(path) and os.readlink(path) == self.text
        return not os.path.islink(path) and (same_file(path, self.keep.path) or holds(path, self.keep))

    def give_back(self, disk: Disk) -> None:
        """See the module."""
        path = self.file.path
        if _is_back(self.file, self.dest) and not self._swapped():
            return
        if not os.path.lexists(self.dest):
            raise RefusedError(f"{self.dest} is not there any more; is its disk plugged in?")
        if not holds(self.dest, self.file):
            raise RefusedError(f"{self.dest} was changed since; it stays there")
        if os.path.lexists(path):
            if not self._swapped():
                raise RefusedError(f"there is something else at {path} now; the file stays at {self.dest}")
            if self._is_last_copy():
                keep = self.keep.path
                raise RefusedError(
                    f"holds the last copy of {keep}: copy it to {keep}, then undo; the file stays at {self.dest}"
                )
            disk.replace(self.dest, path)
        else:
            place(disk, self.dest, path)

    def _is_last_copy(self) -> bool:
        """Whether what the link shows may be nowhere else: the kept file is gone from its path, or changed."""
        path, keep = self.file.path, self.keep
        if self.how == "symlink" or (not os.path.islink(keep.path) and same_file(path, keep.path)):
            return False
        return not holds(keep.path, keep)

    def settle_back(self, disk: Disk) -> bool | None:
        """See the module."""
        drop_reservation(disk, self.file, self.file.path, source=self.dest)
        if same_file(self.file.path, self.dest):
            disk.unlink(self.dest)
        if os.path.lexists(self.dest):
            return False
        return True if holds(self.file.path, self.file) else None


@dataclass(frozen=True, slots=True)
class SystemTrash:
    """A file goes to a trash that does not say where it keeps it."""

    file: Seen

    @property
    def dest(self) -> str:
        """Unknown."""
        return ""

    def take(self, disk: Disk) -> None:  # noqa: ARG002
        """See the module."""
        trash.send(self.file.path)

    def settle(self, disk: Disk) -> bool | None:  # noqa: ARG002
        """See the module."""
        return not os.path.lexists(self.file.path)

    def give_back(self, disk: Disk) -> None:  # noqa: ARG002
        """Not possible from here."""
        raise RefusedError("is in the system's trash; restore it from there")

    def settle_back(self, disk: Disk) -> bool | None:  # noqa: ARG002
        """See the module."""
        return os.path.lexists(self.file.path)
