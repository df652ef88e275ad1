"""Where files go: names that are free, and never taken twice in one run, whatever the case."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Sequence

from imkin.actions import trash
from imkin.actions.changes import Change, Link, Move, SystemTrash
from imkin.catalogue.journal import Run
from imkin.plan import HELD, Action, Plan, Seen, inside

# Of ext4, XFS, btrfs, APFS, NTFS (characters there) and all others in common use.
NAME_MAX_BYTES = 255


class FreeNames:
    """Hands out names at which nothing is, and each only once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, folder: str, names: Sequence[str]) -> list[str]:
        """Free paths in folder for files that belong together: all as they are, or all with the same suffix.

        names: the image first; the suffix (`-2`, `-3`, …) comes after its stem.
        """
        number = 1
        while True:
            paths = [os.path.join(folder, _numbered(name, names[0], number)) for name in names]
            keys = [unicodedata.normalize("NFC", path).casefold() for path in paths]
            if not self._taken.intersection(keys) and not any(map(os.path.lexists, paths)):
                self._taken.update(keys)
                return paths
            number += 1


def _numbered(name: str, image: str, number: int) -> str:
    if number == 1:
        return name
    stem = os.path.splitext(image)[0]
    if not name.casefold().startswith(stem.casefold()):
        stem = os.path.splitext(name)[0]
    head, tail = name[: len(stem)], f"-{number}{name[len(stem) :]}"
    while len(os.fsencode(head + tail)) > NAME_MAX_BYTES and head:
        head = head[:-1]
    return head + tail


def temporary(folder: str) -> str:
    """A hidden name in folder that is nobody else's."""
    return os.path.join(folder, f".imkin-{secrets.token_hex(8)}.part")


class Places:
    """The changes that a run makes for each action of its plan."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan, self._run = plan, run
        self._names = FreeNames()

    def changes(self, action: Action) -> list[Change]:
        """The changes of an action's file and bundle, the file's first. Raises OSError if there is no place."""
        files = [action.file, *action.bundle]
        if action.verb in ("hardlink", "reflink", "symlink"):
            (held,) = self._held(files[:1])
            return [self._link(action, held)]
        if action.verb != "trash":
            dests = self._held(files) if action.verb == "delete" else self._moved(files)
            return [move(file, dest) for file, dest in zip(files, dests, strict=True)]
        if not trash.has_slots():
            return [SystemTrash(file) for file in files]
        slots = [(file, trash.find_slot(file.path)) for file in files]
        return [move(file, slot.file, info=slot.info, text=slot.text) for file, slot in slots]

    def _root(self, path: str) -> str:
        """The innermost root that holds path; of a root that is the file itself, its folder."""
        root = max((root for root in self._plan.roots if inside(path, (root,))), key=len)
        return os.path.dirname(path) if root == path else root

    def _moved(self, files: Sequence[Seen]) -> list[str]:
        """Under the target as they were under their root, and under the root's name if there are several."""
        folder, root = os.path.dirname(files[0].path), self._root(files[0].path)
        base = self._plan.target
        if len(self._plan.roots) > 1:
            base = os.path.join(base, os.path.basename(root) or "root")
        names = [os.path.basename(file.path) for file in files]
        return self._names.take(os.path.normpath(os.path.join(base, os.path.relpath(folder, root))), names)

    def _held(self, files: Sequence[Seen]) -> list[str]:
        """In a hidden folder at the top of the root, or of the part of it that is on the files' own volume."""
        folder, root = os.path.dirname(files[0].path), self._root(files[0].path)
        top, device = folder, os.stat(folder).st_dev
        while top != root and os.stat(os.path.dirname(top)).st_dev == device:
            top = os.path.dirname(top)
        held = os.path.join(top, HELD, f"{self._run.id}-{self._run.token}", os.path.relpath(folder, top))
        return self._names.take(os.path.normpath(held), [os.path.basename(file.path) for file in files])

    def _link(self, action: Action, held: str) -> Link:
        path, keep = action.file.path, action.keep.path
        text = ""
        if action.verb == "symlink":
            # Relative within one root, so that the link still leads there when the root is moved or mounted anew.
            together = any(inside(path, (root,)) and inside(keep, (root,)) for root in self._plan.roots)
            folder = os.path.realpath(os.path.dirname(path))
            real = os.path.join(os.path.realpath(os.path.dirname(keep)), os.path.basename(keep))
            text = os.path.relpath(real, folder) if together else real
        return Link(
            file=action.file,
            keep=action.keep,
            how=action.verb,
            dest=held,
            new=temporary(os.path.dirname(path)),
            part=temporary(os.path.dirname(held)),
            text=text,
        )


def move(file: Seen, dest: str, *, info: str = "", text: str = "") -> Move:
    """The move of a file to dest."""
    parts = temporary(os.path.dirname(dest)), temporary(os.path.dirname(file.path))
    return Move(file, dest, *parts, info=info, text=text)
