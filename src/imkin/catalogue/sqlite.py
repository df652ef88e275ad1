"""A catalogue in one SQLite file, or in memory. Only this module imports sqlite3.

Several processes may use one file at once (WAL, a busy time-out).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from imkin.catalogue.schema import APPLICATION_ID, MIGRATIONS, Rows
from imkin.errors import CatalogueError, OutputError

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0


class File:
    """See `database.Backend`. path: a file, made with its folder when absent; None: memory."""

    def __init__(self, path: str | None, *, durable: bool = False) -> None:
        self.name = path
        if path is not None:
            _check_folder(path)
        try:
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise CatalogueError(f"cannot open the catalogue {path}: {error}; name another with --catalogue") from None
        try:
            with self._errors():
                self._prepare(durable=durable)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, durable: bool) -> None:
        run = self._connection.execute
        run("PRAGMA cache_size = -16000")
        application_id, version = run("PRAGMA application_id").fetchone()[0], self._version()
        tables = run("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application_id != APPLICATION_ID and tables:
            raise CatalogueError(f"{self.name} is an SQLite file of another program; name another with --catalogue")
        if version > len(MIGRATIONS):
            raise CatalogueError(
                f"the catalogue {self.name} has schema {version}, this imkin knows {len(MIGRATIONS)}: "
                "update imkin, or name another catalogue with --catalogue"
            )
        if self.name is not None:
            run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        if version < len(MIGRATIONS):
            self._migrate()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        # IMMEDIATE, and the version read again inside: another process may have migrated meanwhile.
        with self.transaction():
            for number in range(self._version(), len(MIGRATIONS)):
                for statement in MIGRATIONS[number]:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise CatalogueError(
                f"cannot use the catalogue {self.name}: {error}; check that the disk has room and the file can be "
                "written, or name another with --catalogue (or --no-catalogue)"
            ) from None
        except sqlite3.DatabaseError as error:
            raise CatalogueError(
                f"the catalogue {self.name} is damaged ({error}); it was left as it is: "
                "move it away to start a new one, or name another with --catalogue"
            ) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `database.Backend`; it waits for another writer."""
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def repeated(self, work: Callable[[], T]) -> T:
        """Do work, once: a file is never lost on the way."""
        return work()

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the lock file beside the catalogue; a killed process leaves no lock behind."""
        path = f"{self.name}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        try:
            yield _lock(descriptor)
        finally:
            os.close(descriptor)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """See `database.Backend`."""
        with self._errors():
            return self._connection.execute(statement, values).fetchall()

    def apart(self, statement: str) -> None:
        """See `database.Backend`."""
        self.execute(statement)

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """See `database.Backend`."""
        with self._errors():
            return max(0, self._connection.executemany(statement, rows).rowcount)

    def put(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], key: Sequence[str]) -> None:
        """See `database.Backend`."""
        others = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
        instead = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {others}" if key else ""
        self.execute_many(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}){instead}", rows
        )

    def close(self) -> None:
        """See `database.Backend`."""
        self._connection.close()


if sys.platform == "win32":

    def _lock(descriptor: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _check_folder(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CatalogueError(
            f"cannot make the folder of the catalogue {path}: {error.strerror}; name another with --catalogue"
        ) from None
    if os.path.isdir(path):
        raise CatalogueError(f"the catalogue {path} is a folder; name a file with --catalogue")
