"""The tables of a catalogue and how they came to be: what both back ends make and nobody else says twice."""

from __future__ import annotations

from typing import Any

Rows = list[tuple[Any, ...]]

# «imkn» as a big-endian 32-bit number: tells a catalogue from any other database.
APPLICATION_ID = 0x696D6B6E

# One entry a schema version, applied in order and never changed after a release. In the words of SQLite, of which
# `postgres.translated` knows those that are used here.
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
    # Whose files a run changed, where several machines share a catalogue; "" in a file.
    ("ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT ''",),
    (
        """CREATE TABLE review_steps (
            scope BLOB NOT NULL, number INTEGER NOT NULL, step BLOB NOT NULL, PRIMARY KEY (scope, number))
            STRICT, WITHOUT ROWID""",
    ),
)
