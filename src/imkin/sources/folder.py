"""Folders and single files: every image below them, in the order of their paths."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from imkin import image
from imkin.errors import MissingPathError
from imkin.plan import HELD
from imkin.sources import Filter
from imkin.types import Failure

# Places that hold a system's or a tool's own copies of pictures, none of them the user's.
SYSTEM_FOLDERS = frozenset(
    {"$recycle.bin", "system volume information", "lost+found", "__macosx", "@eadir", "#recycle", "#snapshot"}
)

# Files with these endings are taken for images without a look inside; of any other the first bytes decide.
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif", ".heic"),
    *(".heif", ".hif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".jp2", ".j2k", ".jpx", ".psd"),
    *(".nef", ".cr2", ".cr3", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"),
)
SNIFF_BYTES = 32

# Bytes asked for at once: a file that has grown is read on, and the buffer of a huge one is not made in one piece.
LEAST_READ, MOST_READ = 1 << 16, 1 << 28


@dataclass(frozen=True, slots=True)
class FileItem:
    """One file of a folder, or a file named by itself; see `imkin.sources.Item`."""

    path: str
    size: int
    mtime_ns: int
    root: int

    @property
    def key(self) -> str:
        """The absolute path."""
        return os.path.abspath(self.path)

    @property
    def source(self) -> str:
        """Files are files."""
        return "file"

    def read(self) -> bytes:
        """All bytes of the file."""
        # Straight system calls: each call gives the interpreter's lock away, and a file object makes twice as many.
        file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            parts = []
            while part := os.read(file, min(max(self.size, LEAST_READ), MOST_READ)):
                parts.append(part)
        finally:
            os.close(file)
        return b"".join(parts)


def walk(
    roots: Sequence[str], wanted: Filter, *, passed: Callable[[str], None] | None = None
) -> Iterator[FileItem | Failure]:
    """Yield the files under each root that are images by their ending or their first bytes.

    Roots come in the order given, files below each in the order of their names. A file reached twice, by links, hard
    links or overlapping roots, comes once; of roots that lie in each other the innermost comes first and has it.
    A folder inside that cannot be read is a Failure. passed: told the path of each wanted file that is no image.
    Raises MissingPathError for a root that is not there or cannot be read, before anything is yielded.
    """
    for root in roots:
        _check_root(root)
    overlapping = _overlap(roots)
    walker = _Walker(wanted, overlapping=overlapping, passed=passed)
    order = list(range(len(roots)))
    if overlapping:
        order.sort(key=lambda number: -len(list(_ancestors(os.path.realpath(roots[number])))))
    for number in order:
        yield from walker.walk_root(roots[number], number)


def _check_root(root: str) -> None:
    try:
        mode = os.stat(root).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(root).close()
        elif stat.S_ISREG(mode):
            open(root, "rb").close()
        else:
            raise MissingPathError(f"{root} is neither a file nor a folder")
    except OSError as error:
        raise MissingPathError(f"cannot read {root}: {error.strerror}") from None


def _overlap(roots: Sequence[str]) -> bool:
    real = {os.path.realpath(root) for root in roots}
    return len(real) < len(roots) or any(above in real for path in real for above in _ancestors(path))


def _ancestors(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


class _Walker:
    def __init__(self, wanted: Filter, *, overlapping: bool, passed: Callable[[str], None] | None) -> None:
        self._wanted, self._passed = wanted, passed
        # Remembering every inode costs 100 bytes a file; it is needed only where a file can be met again.
        self._remember_all = overlapping or wanted.follow_links
        self._seen: set[tuple[int, int]] = set()
        self._include = tuple(glob.casefold() for glob in wanted.include)
        self._exclude = tuple(glob.casefold() for glob in wanted.exclude)

    def walk_root(self, root: str, number: int) -> Iterator[FileItem | Failure]:
        facts = os.stat(root)
        if stat.S_ISDIR(facts.st_mode):
            yield from self._walk_folder(root, "", number, ((facts.st_dev, facts.st_ino),))
        elif not self._met_before(facts):
            yield FileItem(root, facts.st_size, facts.st_mtime_ns, number)

    def _walk_folder(
        self, folder: str, below: str, number: int, above: tuple[tuple[int, int], ...]
    ) -> Iterator[FileItem | Failure]:
        try:
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            yield Failure(folder, "open", f"cannot read the folder: {error.strerror}")
            return
        for entry in entries:
            relative = f"{below}{entry.name}"
            if self._unwanted(entry.name, relative):
                continue
            try:
                if entry.is_symlink() and not self._wanted.follow_links:
                    continue
                facts = entry.stat()
            except OSError as error:
                yield Failure(entry.path, "open", f"cannot read the file: {error.strerror}")
                continue
            if stat.S_ISDIR(facts.st_mode):
                here = (facts.st_dev, facts.st_ino)
                if self._wanted.recursive and here not in above and entry.name.casefold() not in SYSTEM_FOLDERS:
                    yield from self._walk_folder(entry.path, f"{relative}/", number, (*above, here))
            elif stat.S_ISREG(facts.st_mode) and self._wants_file(entry, relative, facts):
                yield FileItem(entry.path, facts.st_size, facts.st_mtime_ns, number)

    def _unwanted(self, name: str, relative: str) -> bool:
        # What imkin itself holds for an undo is no image of the user's any more.
        if name == HELD or (name.startswith(".") and not self._wanted.hidden):
            return True
        return bool(self._exclude) and _matches(self._exclude, name, relative)

    def _wants_file(self, entry: os.DirEntry[str], relative: str, facts: os.stat_result) -> bool:
        if facts.st_size < self._wanted.min_size:
            return False
        if self._include and not any(_matches(self._include, part, relative) for part in relative.split("/")):
            return False
        ending = os.path.splitext(entry.name)[1].lower()
        if ending not in IMAGE_ENDINGS and not _may_be_an_image(entry.path, named=bool(ending)):
            if self._passed:
                self._passed(entry.path)
            return False
        return not self._met_before(facts)

    def _met_before(self, facts: os.stat_result) -> bool:
        if facts.st_ino == 0 or (facts.st_nlink < 2 and not self._remember_all):
            return False
        here = (facts.st_dev, facts.st_ino)
        if here in self._seen:
            return True
        self._seen.add(here)
        return False


def _matches(globs: tuple[str, ...], name: str, relative: str) -> bool:
    name, relative = name.casefold(), relative.casefold()
    return any(fnmatchcase(relative if "/" in glob else name, glob) for glob in globs)


def _may_be_an_image(path: str, *, named: bool) -> bool:
    """Whether a file is worth reading whose name does not say that it is an image.

    named: it says that it is something else, so only a picture's first bytes count. A file without any ending is
    taken unless it is text: a damaged picture without a name should be listed, a LICENSE should not.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(SNIFF_BYTES)
    except OSError:
        return not named
    return image.looks_like_an_image(head) or not (named or _is_text(head))


def _is_text(head: bytes) -> bool:
    return len(head) == SNIFF_BYTES and not any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head)
