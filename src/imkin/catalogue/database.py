"""The SQLite file under the catalogue. Only this package imports sqlite3.

Several processes may use one file at once (WAL, a busy time-out); inside a process one `Database` serves all
threads, one statement or transaction at a time. A file that is corrupt, newer or no catalogue is an error that
says what to do: it is never deleted and never written to.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from imkin.errors import CatalogueError

# «imkn» as a big-endian 32-bit number: tells a catalogue from any other SQLite file.
APPLICATION_ID = 0x696D6B6E
BUSY_TIMEOUT_S = 30.0

# One entry a schema version, applied in order and never changed after a release.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE contents (
            sha256 BLOB PRIMARY KEY, sha1 BLOB NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
            format TEXT NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE files (
            path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL)
            STRICT, WITHOUT ROWID""",
        """CREATE TABLE prints (
            spec TEXT NOT NULL, sha256 BLOB NOT NULL, value BLOB NOT NULL, quality REAL NOT NULL,
            PRIMARY KEY (spec, sha256)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE failures (
            recipe TEXT NOT NULL, sha256 BLOB NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
            PRIMARY KEY (recipe, sha256)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX files_by_content ON files (sha256)",
    ),
    (
        """CREATE TABLE decisions (
            first BLOB NOT NULL, second BLOB NOT NULL, verdict TEXT NOT NULL CHECK (verdict IN ('same', 'different')),
            decided_ns INTEGER NOT NULL, PRIMARY KEY (first, second), CHECK (first < second)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY, token TEXT NOT NULL, verb TEXT NOT NULL, started_ns INTEGER NOT NULL,
            state TEXT NOT NULL, plan TEXT NOT NULL) STRICT""",
        """CREATE TABLE journal (
            run INTEGER NOT NULL REFERENCES runs (id), step INTEGER NOT NULL, action INTEGER NOT NULL,
            state TEXT NOT NULL, note TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (run, step))
            STRICT, WITHOUT ROWID""",
        "CREATE INDEX journal_open ON journal (run) WHERE state IN ('intended', 'undoing')",
    ),
    (
        """CREATE TABLE collections (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, method TEXT NOT NULL, spec TEXT NOT NULL,
            decoder TEXT NOT NULL, created_ns INTEGER NOT NULL, generation INTEGER NOT NULL, size INTEGER NOT NULL,
            last INTEGER NOT NULL) STRICT""",
        # With a rowid: rows of some kilobytes lie badly in a table that is an index of itself.
        """CREATE TABLE members (
            collection INTEGER NOT NULL, number INTEGER NOT NULL, sha256 BLOB NOT NULL, name BLOB NOT NULL,
            quality REAL NOT NULL, value BLOB NOT NULL, PRIMARY KEY (collection, number)) STRICT""",
        "CREATE UNIQUE INDEX members_by_content ON members (collection, sha256)",
        "CREATE INDEX members_by_name ON members (collection, name)",
    ),
    (
        """CREATE TABLE choices (
            sha256 BLOB NOT NULL, path BLOB NOT NULL, word TEXT NOT NULL CHECK (word IN ('keep', 'go')),
            instead BLOB NOT NULL, PRIMARY KEY (sha256, path)) STRICT, WITHOUT ROWID""",
    ),
)


def default_path() -> str:
    """The catalogue in the user's cache folder."""
    from platformdirs import user_cache_dir

    return os.path.join(user_cache_dir("imkin"), "catalogue.sqlite")


class Database:
    """One catalogue file (or memory, for `--no-catalogue`), migrated to the newest schema.

    path: a file, made with its folder when absent; None keeps everything in memory until closed.
    durable: wait for the disk at each commit (the journal needs it); otherwise a power cut may lose the last
    commits, a killed process none.
    """

    def __init__(self, path: str | None, *, durable: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
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
            raise CatalogueError(f"{self.path} is an SQLite file of another program; name another with --catalogue")
        if version > len(MIGRATIONS):
            raise CatalogueError(
                f"the catalogue {self.path} has schema {version}, this imkin knows {len(MIGRATIONS)}: "
                "update imkin, or name another catalogue with --catalogue"
            )
        if self.path is not None:
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
                f"cannot use the catalogue {self.path}: {error}; check that the disk has room and the file can be "
                "written, or name another with --catalogue (or --no-catalogue)"
            ) from None
        except sqlite3.DatabaseError as error:
            raise CatalogueError(
                f"the catalogue {self.path} is damaged ({error}); it was left as it is: "
                "move it away to start a new one, or name another with --catalogue"
            ) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside are one commit, or none of them on an error."""
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; returns its rows."""
        with self._lock, self._errors():
            return self._connection.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        with self._lock, self._errors():
            self._connection.executemany(statement, rows)

    def close(self) -> None:
        """Give the file back; a closed database is of no further use."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
