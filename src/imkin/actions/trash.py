"""The trash of the desktop: where a file would go in it, known before it goes, so that it can come back.

On Linux and its kin this is the freedesktop.org Trash specification 1.0: a folder `Trash` with `files/` and `info/`,
in the user's data folder or at the top of the file's own volume. Elsewhere the system's trash is used through
send2trash, and what is in it is restored by hand.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from urllib.parse import quote_from_bytes

NAME_MAX = 255
_INFO = ".trashinfo"


@dataclass(frozen=True, slots=True)
class Slot:
    """A free place in a trash: the file's new path, and its info file with the content that it must have."""

    file: str
    info: str
    text: str


def has_slots() -> bool:
    """Whether this system's trash is laid out by the specification."""
    return os.name == "posix" and sys.platform != "darwin"


def find_slot(path: str) -> Slot:
    """A free place for the file at path, on its own volume. Nothing is made yet; OSError if the volume has none."""
    trash, top = _trash_of(path)
    name = os.path.basename(path)
    stem, suffix = os.path.splitext(name)
    number, free = 1, name
    while True:
        free = free if number == 1 else f"{stem}.{number}{suffix}"
        while len(os.fsencode(free)) > NAME_MAX - len(_INFO):
            stem = stem[:-1]
            free = f"{stem}.{number}{suffix}"
        file, info = os.path.join(trash, "files", free), os.path.join(trash, "info", free + _INFO)
        if not os.path.lexists(file) and not os.path.lexists(info):
            break
        number += 1
    where = os.path.relpath(path, top) if top else path
    deleted = datetime.now().astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    return Slot(file, info, f"[Trash Info]\nPath={quote_from_bytes(os.fsencode(where))}\nDeletionDate={deleted}\n")


def _trash_of(path: str) -> tuple[str, str]:
    """The trash folder for a file, and the top of its volume (empty: the user's own trash, with absolute paths)."""
    folder = os.path.realpath(os.path.dirname(path))
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    home = os.path.join(os.path.abspath(data), "Trash")
    device = os.stat(folder).st_dev
    if os.stat(_nearest(home)).st_dev == device:
        return home, ""
    top = folder
    while os.path.dirname(top) != top and os.stat(os.path.dirname(top)).st_dev == device:
        top = os.path.dirname(top)
    user = str(os.getuid())
    shared = os.path.join(top, ".Trash")
    try:
        mode = os.lstat(shared).st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
            return os.path.join(shared, user), top
    except OSError:
        pass
    return os.path.join(top, f".Trash-{user}"), top


def _nearest(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def send(path: str) -> None:
    """Put a file into the trash of a system without slots. Raises OSError."""
    import_module("send2trash").send2trash(path)
