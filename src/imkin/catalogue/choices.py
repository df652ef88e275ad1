"""Choices: which file of its kin a person keeps, and which goes because of that one, remembered as they are made.

A choice is about a file: a path while it has this content. `go` names the content that stays instead, so that it
counts nowhere else: the same file beside other kin is undecided.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from imkin.catalogue.database import Database

Word = Literal["keep", "go"]

# SQLite binds at most 32,766 values a statement; smaller chunks cost nothing and keep memory flat.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """path: absolute. sha256: of the file, in hex. instead: of the file that stays in its place; empty for `keep`."""

    path: str
    sha256: str
    word: Word
    instead: str = ""


class ChoiceStore:
    """Choices in a catalogue; of two about one file with one content the later holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, choices: Iterable[Choice]) -> None:
        """Remember choices, as one commit."""
        rows = [(bytes.fromhex(c.sha256), os.fsencode(c.path), c.word, bytes.fromhex(c.instead)) for c in choices]
        self._database.repeated(lambda: self._put(rows))

    def _put(self, rows: Sequence[tuple[bytes, bytes, str, bytes]]) -> None:
        with self._database.transaction():
            self._database.put("choices", ("sha256", "path", "word", "instead"), rows, key=("sha256", "path"))

    def forget(self, files: Iterable[tuple[str, str]]) -> None:
        """Forget the choices about these (path, sha256), as one commit."""
        rows = [(bytes.fromhex(sha256), os.fsencode(path)) for path, sha256 in files]
        self._database.repeated(lambda: self._forget(rows))

    def _forget(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        with self._database.transaction():
            self._database.execute_many("DELETE FROM choices WHERE sha256 = ? AND path = ?", rows)

    def about(self, sha256s: Iterable[str]) -> Iterator[Choice]:
        """The choices about files with these contents, by content and path."""
        wanted = sorted({bytes.fromhex(sha256) for sha256 in sha256s})
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            rows = self._database.execute(
                "SELECT path, sha256, word, instead FROM choices "
                f"WHERE sha256 IN ({','.join('?' * len(chunk))}) ORDER BY sha256, path",
                chunk,
            )
            for path, sha256, word, instead in rows:
                yield Choice(os.fsdecode(path), sha256.hex(), word, instead.hex())
