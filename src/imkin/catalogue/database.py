"""The catalogue's database: one schema and one small interface over two back ends, SQLite and PostgreSQL.

What the stores need is little: rows of a statement, one statement for many rows, rows put in bulk, transactions.
They write SQL that both know, with `?` for values. Inside a process one `Database` serves all threads, one statement
or transaction at a time. A catalogue that is damaged, newer or another program's is an error that says what to do: it
is never deleted and never written to.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from imkin.catalogue.schema import Rows

T = TypeVar("T")
SERVER_SCHEMES = ("postgresql://", "postgres://")


def default_path() -> str:
    """The catalogue in the user's cache folder."""
    from platformdirs import user_cache_dir

    return os.path.join(user_cache_dir("imkin"), "catalogue.sqlite")


def is_server(catalogue: str) -> bool:
    """Whether a catalogue is named by the URL of a PostgreSQL database."""
    return catalogue.startswith(SERVER_SCHEMES)


class Backend(Protocol):
    """What runs the statements. name: the catalogue as it may be shown: without a password."""

    name: str | None

    def execute(self, statement: str, values: Sequence[Any]) -> Rows:
        """Run one statement; returns its rows."""

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each row; returns how many rows of the table were changed."""

    def apart(self, statement: str) -> None:
        """Run a statement that takes long, so that others need not wait where that can be."""

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], key: Sequence[str]) -> None:
        """Insert rows, many at once; one that has the key of a row that is there takes its place."""

    def transaction(self) -> AbstractContextManager[None]:
        """All statements inside are one commit, or none of them on an error."""

    def repeated(self, work: Callable[[], T]) -> T:
        """Do work; do it again if the connection is lost within."""

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold the catalogue's one lock for changes of files; False if another process has it."""

    def close(self) -> None:
        """Give everything back."""


class Database:
    """One catalogue, migrated to the newest schema.

    path: a file, made with its folder when absent; the URL of a PostgreSQL database (`postgresql://…`); None keeps
    everything in memory until closed.
    durable: wait for the disk at each commit (the journal needs it); otherwise a power cut may lose the last
    commits of a file, a killed process none.
    """

    def __init__(self, path: str | None, *, durable: bool = False) -> None:
        self._lock = threading.RLock()
        self._server = path is not None and is_server(path)
        self._backend = _opened(path, durable=durable)

    @property
    def path(self) -> str | None:
        """The file, or the URL without its password; None in memory."""
        return self._backend.name

    @property
    def server(self) -> bool:
        """Whether it is a PostgreSQL database."""
        return self._server

    @property
    def host(self) -> str:
        """Whose files this process changes: of a catalogue that several machines share, this one; else ""."""
        return platform.node() if self._server else ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside are one commit, or none of them on an error."""
        with self._lock, self._backend.transaction():
            yield

    def repeated(self, work: Callable[[], T]) -> T:
        """Do work, a transaction as a rule; do it again if the connection to a server is lost within.

        Whether it was committed before the loss nobody knows: it must be safe to do twice.
        """
        return self._backend.repeated(work)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold the catalogue's one lock for changes of files; False if another process has it. Not in memory."""
        return self._backend.exclusive()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """Run one statement; returns its rows. Outside a transaction it must be safe to do twice."""
        with self._lock:
            return self._backend.execute(statement, values)

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each row, inside a transaction; returns how many rows of the table were changed."""
        with self._lock:
            return self._backend.execute_many(statement, rows)

    def apart(self, statement: str) -> None:
        """Run a statement that takes long outside transactions; in a server, while other threads go on."""
        self._backend.apart(statement)

    def put(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, key: Sequence[str] = ()
    ) -> None:
        """Insert rows, many at once, inside a transaction. key: a row that is there with the same is replaced."""
        with self._lock:
            self._backend.put(table, columns, rows, key)

    def numbered(self, table: str) -> None:
        """After rows were put with numbers of their own: the next one is given a higher number. In a transaction."""
        if self._server:
            with self._lock:
                self._backend.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))", ()
                )

    def close(self) -> None:
        """Give the catalogue back; a closed database is of no further use."""
        with self._lock:
            self._backend.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(path: str | None, *, durable: bool) -> Backend:
    if path is not None and is_server(path):
        from imkin.catalogue.postgres import Server

        return Server(path, durable=durable)
    from imkin.catalogue.sqlite import File

    return File(path, durable=durable)
