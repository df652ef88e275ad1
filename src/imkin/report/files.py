"""Writing a report's file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from imkin.errors import OutputError

BUFFER_BYTES = 1 << 20


def write_atomic(path: str, chunks: Iterable[bytes], *, sync: bool = True) -> None:
    """Write chunks to path by way of a temporary file beside it; an older file at path is replaced in one step.

    sync: wait until the bytes are on the disk before the file appears under its name (about 1 ms a file and more).
    Raises OutputError (no permission, no folder, a full disk); then, and when chunks raises, nothing is left behind.
    """
    folder = os.path.dirname(path) or "."
    part = os.path.join(folder, f".imkin-{secrets.token_hex(6)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise _output_error(path, error) from error
    try:
        with os.fdopen(descriptor, "wb", BUFFER_BYTES) as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            raise _output_error(path, error) from error
        raise


@contextmanager
def all_or_none(folder: str) -> Iterator[list[str]]:
    """Make a folder for several files; add to the list what is written there.

    If the work fails, these files are removed again, and every folder on their way that was made here and is empty.
    Raises OutputError where the folder cannot be made.
    """
    made, above = [], folder
    while above and not os.path.lexists(above):
        made.append(above)
        above = os.path.dirname(above)
    written: list[str] = []
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {shown(folder)}: {error.strerror or error}") from error
    try:
        yield written
    except BaseException as error:
        for path in written:
            with contextlib.suppress(OSError):
                os.unlink(path)
        below = sorted({os.path.dirname(path) for path in written}, key=len, reverse=True)
        for path in [*(path for path in below if len(path) > len(folder)), *made]:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {shown(folder)}: {error.strerror or error}") from error
        raise


def shown(text: str) -> str:
    """Text that any encoder takes: each byte of a name that is not UTF-8 is shown as U+FFFD. For eyes, never a key."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(name: str) -> str:
    """A file's name as a part of one line: control characters are spelled out, bytes that are not UTF-8 stay."""
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in name)


def name_bytes(text: str) -> bytes:
    """UTF-8; a name that is not UTF-8 gets its own bytes back (`surrogateescape`), whatever they are."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate in a name from Windows, where names are UTF-16
        return text.encode("utf-8", "surrogatepass")


def _output_error(path: str, error: OSError) -> OutputError:
    return OutputError(f"cannot write {shown(path)}: {error.strerror or error}")
