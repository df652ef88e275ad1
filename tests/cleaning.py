"""What the tests of clean-ups share: folders of small files, plans for them, and disks that fail or die."""

import errno
import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from imkin.actions import DISK
from imkin.bundles import look
from imkin.catalogue import Database
from imkin.plan import Member, Plan, plan_text  # noqa: F401 - plan_text is for the tests that import from here


def lay(folder, files):
    """Write files, name → content; each gets a time of its own."""
    for at, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
        os.utime(path, ns=(10**18 + at, 10**18 + at))


def plan_of(root, *groups, verb="delete", target="", bundles=None, roots=None, reference_roots=()):
    """A plan in which of each group (names under root) the first is kept and all others go."""
    made = []
    for names in groups:
        members = []
        for at, name in enumerate(names):
            bundle = tuple(look(str(root / other)) for other in (bundles or {}).get(name, ()))
            near = [(0, 0.95)] if at else [(other, 0.95) for other in range(1, len(names))]
            members.append(Member(look(str(root / name)), verb if at else "keep", "", "", bundle, tuple(near)))
        made.append(tuple(members))
    return Plan(
        verb,
        tuple(map(str, roots or [root])),
        tuple(made),
        target=str(target) if target else "",
        reference_roots=tuple(map(str, reference_roots)),
    )


def tree(folder):
    """Relative path → content, or `-> text` of a symbolic link, of everything below folder but empty folders."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            shown = os.path.relpath(path, folder)
            if os.path.islink(path):
                found[shown] = f"-> {os.readlink(path)}"
            else:
                with open(path, "rb") as file:
                    found[shown] = file.read().decode()
    return found


def rows(outcome):
    """Name → (state, reason)."""
    return {os.path.basename(row.path): (row.state, row.reason) for row in outcome.rows}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def failing(number, *names, when=lambda *_: True, disk=DISK):
    """A disk on which these operations fail with an error of the system."""

    def fail(function):
        def failed(*args):
            if when(*args):
                raise OSError(number, os.strerror(number), args[0])
            return function(*args)

        return failed

    return replace(disk, **{name: fail(getattr(disk, name)) for name in names})


def two_volumes(far, disk=DISK):
    """A disk on which everything under `far` lies on another volume."""

    def crosses(a, b):
        return str(a).startswith(str(far)) != str(b).startswith(str(far))

    return failing(errno.EXDEV, "link", "replace", when=crosses, disk=disk)


def without_links(disk=DISK):
    """A disk whose filesystem knows no hard links (FAT, exFAT)."""
    return failing(errno.EPERM, "link", disk=disk)


class KilledError(BaseException):
    """The process is dead; nothing it would still do has any effect."""


@dataclass
class Fate:
    """Counts what a process does to the disk and the journal; at the limit it dies, and stays dead."""

    limit: int = 10**9
    count: int = 0

    def step(self):
        self.count += 1
        if self.count > self.limit:
            raise KilledError

    def _die_in_the_middle(self, name, first, second):
        """Leave the first bytes of what was to be written."""
        if name == "write":
            path, content = first, second
        else:
            with open(first, "rb") as file:
                path, content = second, file.read()
        with open(path, "xb") as file:
            file.write(content[:3])
        self.step()

    def disk(self, disk=DISK):
        def mortal(name, function):
            def call(*args):
                self.step()
                if name in ("copy", "clone", "write") and self.count == self.limit:
                    self._die_in_the_middle(name, *args)
                return function(*args)

            return call

        return replace(disk, **{f.name: mortal(f.name, getattr(disk, f.name)) for f in fields(disk)})


class MortalDatabase(Database):
    """A catalogue whose process may die before a transaction, and before its commit."""

    def __init__(self, path, fate):
        self._fate = fate
        super().__init__(path, durable=True)
        fate.count = 0

    @contextmanager
    def transaction(self):
        self._fate.step()
        with super().transaction():
            yield
            self._fate.step()
