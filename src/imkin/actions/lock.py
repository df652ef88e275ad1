"""One process at a time changes files for a catalogue; a killed one leaves no lock behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imkin.catalogue import Database
from imkin.errors import UsageError


@contextmanager
def exclusive(database: Database) -> Iterator[None]:
    """Hold the catalogue's lock. Raises UsageError if another process has it, or the catalogue is in memory."""
    if database.path is None:
        raise UsageError("files are changed only with a catalogue, which holds the journal: leave out --no-catalogue")
    with database.exclusive() as held:
        if not held:
            raise UsageError(f"another imkin is changing files just now (it locks {database.path}); wait for it")
        yield
