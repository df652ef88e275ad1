"""One process at a time changes files for a catalogue; a killed one leaves no lock behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from imkin.catalogue import Database
from imkin.errors import OutputError, UsageError


@contextmanager
def exclusive(database: Database) -> Iterator[None]:
    """Hold the lock file beside the catalogue. Raises UsageError if another process has it, or there is no file."""
    if database.path is None:
        raise UsageError("files are changed only with a catalogue, which holds the journal: leave out --no-catalogue")
    path = f"{database.path}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise UsageError(f"another imkin is changing files just now (it holds {path}); wait for it") from None
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
