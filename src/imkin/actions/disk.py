"""The few ways in which imkin changes a disk, and moves built of them that never overwrite and never lose.

A move within a volume is a second name (hard link), then the removal of the first: unlike a rename it fails if the
new name is taken. Across volumes it is copy, sync, compare, and only then the removal.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass

from imkin.plan import Seen

COPY_BYTES = 1 << 20

# What filesystems without hard links, and rules against them, answer.
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})

# linux/fs.h: _IOW(0x94, 9, int)
FICLONE = 0x40049409

_IN_WORDS = {
    errno.ENOSPC: "no room left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENAMETOOLONG: "the name would be too long",
    errno.EACCES: "no permission",
    errno.EPERM: "not permitted",
    errno.EROFS: "the disk is read-only",
    errno.EEXIST: "something of that name appeared meanwhile",
}


class RefusedError(Exception):
    """A step that is not taken, because a file is not what it was; the text says why."""


def in_words(error: OSError) -> str:
    """An error of the system for a person."""
    text = _IN_WORDS.get(error.errno or 0) or error.strerror or str(error)
    return f"{text} ({error.filename2 or error.filename})" if error.filename else text


def _copy(source: str, dest: str) -> None:
    """Content, times, mode and extended attributes into a new file, on the disk when this returns."""
    with open(source, "rb") as read:
        descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as write:
            shutil.copyfileobj(read, write, COPY_BYTES)
            write.flush()
            shutil.copystat(source, dest)
            if hasattr(os, "fchown"):
                status = os.fstat(read.fileno())
                with contextlib.suppress(OSError):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fsync(descriptor)


def _clone(source: str, dest: str) -> None:
    """A new file that shares its blocks with source until one of them is written (btrfs, XFS, bcachefs, …)."""
    if not sys.platform.startswith("linux"):
        raise OSError(errno.EOPNOTSUPP, "reflinks are made on Linux alone")
    import fcntl

    with open(source, "rb") as read:
        descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as write:
            try:
                fcntl.ioctl(write.fileno(), FICLONE, read.fileno())
            except OSError as error:
                raise OSError(error.errno, "this filesystem cannot share blocks between files") from None
            shutil.copystat(source, dest)
            os.fsync(write.fileno())


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _make_folders(path: str) -> None:
    os.makedirs(path, 0o777, exist_ok=True)


def _sync_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk, where the system can say so."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Disk:
    """All changes of the disk go through these; a test passes others that fail, or stop, where it likes.

    write and copy, clone, link and symlink raise FileExistsError if there is anything at the new name.
    """

    link: Callable[[str, str], None] = os.link
    symlink: Callable[[str, str], None] = os.symlink
    replace: Callable[[str, str], None] = os.replace
    unlink: Callable[[str], None] = os.unlink
    make_folders: Callable[[str], None] = _make_folders
    remove_folder: Callable[[str], None] = os.rmdir
    write: Callable[[str, bytes], None] = _write
    copy: Callable[[str, str], None] = _copy
    clone: Callable[[str, str], None] = _clone
    sync_folder: Callable[[str], None] = _sync_folder


DISK = Disk()


def digest(path: str) -> str:
    """sha256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def holds(path: str, seen: Seen) -> bool:
    """Whether a regular file with that content is at path. Raises OSError for what is there but cannot be read."""
    try:
        status = os.lstat(path)
        return stat.S_ISREG(status.st_mode) and status.st_size == seen.size and digest(path) == seen.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False


def same_file(a: str, b: str) -> bool:
    """Whether two names are one file; False if one is not there."""
    try:
        return os.path.samefile(a, b)
    except (FileNotFoundError, NotADirectoryError):
        return False


def place(disk: Disk, source: str, dest: str) -> None:
    """Move within a volume without ever overwriting. Raises FileExistsError, and OSError(EXDEV) across volumes."""
    try:
        disk.link(source, dest)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        _place_reserved(disk, source, dest)
        return
    if not same_file(source, dest) and os.path.lexists(source):
        disk.unlink(dest)
        raise RefusedError("was replaced by another file meanwhile")
    try:
        disk.unlink(source)
    except OSError:
        if same_file(source, dest):
            disk.unlink(dest)
            raise
        _need_moved(source, dest)


def _place_reserved(disk: Disk, source: str, dest: str) -> None:
    """Where there are no hard links: take the name with an empty file, then rename over that."""
    disk.write(dest, b"")
    try:
        disk.replace(source, dest)
    except OSError:
        if os.path.lexists(source) and os.lstat(dest).st_size == 0:
            disk.unlink(dest)
            raise
        _need_moved(source, dest)


def _need_moved(source: str, dest: str) -> None:
    """Go on after an error of a network disk that did what it was asked all the same; else raise that error.

    Such an error says nothing about the files: what is at dest may be the only copy, and is never removed here.
    """
    if os.path.lexists(source) or not os.path.lexists(dest):
        raise


def drop_reservation(disk: Disk, file: Seen, dest: str, *, source: str) -> None:
    """After a crash: remove the empty file with which `place` took a name, if the file did not follow it there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(dest)
        if stat.S_ISREG(status.st_mode) and status.st_size == 0 < file.size and os.path.lexists(source):
            disk.unlink(dest)


def carry(disk: Disk, file: Seen, source: str, dest: str, *, part: str) -> None:
    """Move a file from source to dest, on whatever volume, without ever overwriting.

    part: a name beside dest that is nobody else's. Raises FileExistsError, OSError, RefusedError; then source is as
    it was and dest is not there.
    """
    try:
        place(disk, source, dest)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_verified(disk, file, source, dest, part=part)
        try:
            disk.unlink(source)
        except OSError:
            if os.path.lexists(source):
                disk.unlink(dest)
            raise


def copy_verified(disk: Disk, file: Seen, source: str, dest: str, *, part: str) -> None:
    """A copy that is on the disk and compared, or none. The source is looked at again after it is done."""
    before = os.lstat(source)
    try:
        disk.copy(source, part)
        if digest(part) != file.sha256:
            raise RefusedError("its content changed since the scan")
        place(disk, part, dest)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(part)
        raise
    disk.sync_folder(os.path.dirname(dest))
    after = os.lstat(source)
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        disk.unlink(dest)
        raise RefusedError("changed while it was copied")
