"""Collections: named sets of images whose fingerprints are kept to be searched. The only truth about them.

A member is one content (sha256) under one name. Its number is the collection's next one, is never given again, and so
tells an index made earlier what came after it. A collection's generation rises with each change.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imkin.catalogue.database import Database
from imkin.errors import UsageError
from imkin.types import Spec

# SQLite binds at most 32,766 values a statement; smaller chunks cost nothing and keep memory flat.
CHUNK = 500
_STORED = "id, name, method, spec, decoder, created_ns, generation, size, last"
_MOST = 2**63 - 1
_MEMBER = "number, sha256, name, quality, value"


@dataclass(frozen=True, slots=True)
class Stored:
    """One collection as the catalogue knows it.

    id: never given again. method: what it was asked for by. decoder: of the pictures its fingerprints were made of.
    generation: rises with each change of the members. size: how many there are. last: the newest member's number,
    0 before the first one.
    """

    id: int
    name: str
    method: str
    spec: Spec
    decoder: str
    created_ns: int
    generation: int
    size: int
    last: int


@dataclass(frozen=True, slots=True)
class Row:
    """One member. sha256: 32 bytes. value: of its fingerprint, as in `Prints.values`. quality: 0..1."""

    number: int
    sha256: bytes
    name: str
    quality: float
    value: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """What a change did. added: new contents. renamed: known contents under a new name. removed: contents that went."""

    added: int
    renamed: int
    removed: int


class Mirror(Protocol):
    """What is kept beside the members, in the same commit (`vectors.ServerVectors`)."""

    def put(self, rows: Sequence[Row]) -> None:
        """Add members."""

    def delete(self, numbers: Iterable[int]) -> None:
        """Take members out."""

    def drop(self) -> None:
        """Forget all of it."""


class CollectionStore:
    """Reads and writes collections and their members; each change is one commit. mirror: of the one it is used for."""

    def __init__(self, database: Database, *, mirror: Mirror | None = None) -> None:
        self._database = database
        self._mirror = mirror

    def all(self) -> list[Stored]:
        """All collections by name."""
        rows = self._database.execute(f"SELECT {_STORED} FROM collections ORDER BY name")
        return [_stored(row) for row in rows]

    def find(self, name: str) -> Stored | None:
        """The collection of a name."""
        rows = self._database.execute(f"SELECT {_STORED} FROM collections WHERE name = ?", (name,))
        return _stored(rows[0]) if rows else None

    def create(self, name: str, *, method: str, spec: Spec, decoder: str) -> Stored:
        """A new, empty collection; where another process has just made one of this name, that one."""
        self._database.execute(
            "INSERT INTO collections (id, name, method, spec, decoder, created_ns, generation, size, last) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0) ON CONFLICT (name) DO NOTHING",
            (secrets.randbits(62), name, method, _spec_text(spec), decoder, time.time_ns()),
        )
        if (made := self.find(name)) is None:
            raise UsageError(f"the collection `{name}` was deleted just now")
        return made

    def delete(self, collection: int) -> None:
        """Forget a collection and its members."""
        self._database.repeated(lambda: self._delete_all(collection))

    def _delete_all(self, collection: int) -> None:
        with self._database.transaction():
            self._database.execute("DELETE FROM collections WHERE id = ?", (collection,))
            self._database.execute("DELETE FROM members WHERE collection = ?", (collection,))
            if self._mirror is not None:
                self._mirror.drop()

    def state(self, collection: int) -> tuple[int, int, int]:
        """(generation, size, last). Raises UsageError if the collection was deleted."""
        rows = self._database.execute("SELECT generation, size, last FROM collections WHERE id = ?", (collection,))
        if not rows:
            raise UsageError("the collection was deleted")
        generation, size, last = rows[0]
        return int(generation), int(size), int(last)

    def put(self, collection: int, rows: Sequence[tuple[bytes, str, float, bytes]], *, replace: bool) -> Put:
        """Add members: (sha256, name, quality, value) each. A content that is there already gets the new name.

        replace: a member of the same name and another content goes: the file at that path has changed.
        """
        wanted = {sha256: (name, quality, value) for sha256, name, quality, value in rows}
        return self._database.repeated(lambda: self._put(collection, wanted, replace=replace))

    def _put(self, collection: int, wanted: Mapping[bytes, tuple[str, float, bytes]], *, replace: bool) -> Put:
        with self._database.transaction():
            # The update comes first: it locks the row, so that two writers cannot give one number twice.
            self._touch(collection)
            _, size, last = self.state(collection)
            known = self._names(collection, list(wanted))
            renamed = [(os.fsencode(wanted[s][0]), collection, s) for s, name in known.items() if wanted[s][0] != name]
            self._database.execute_many("UPDATE members SET name = ? WHERE collection = ? AND sha256 = ?", renamed)
            # After the new names are given: a file that was moved away keeps its content in the collection.
            names = {name: sha256 for sha256, (name, _, _) in wanted.items()} if replace else {}
            gone = self._displaced(collection, names)
            self._delete(collection, gone)
            fresh = [
                Row(last + 1 + at, sha256, *wanted[sha256])
                for at, sha256 in enumerate(sha256 for sha256 in wanted if sha256 not in known)
            ]
            self._database.put(
                "members",
                ("collection", *_MEMBER.split(", ")),
                ((collection, r.number, r.sha256, os.fsencode(r.name), r.quality, r.value) for r in fresh),
            )
            if self._mirror is not None:
                self._mirror.put(fresh)
            self._database.execute(
                "UPDATE collections SET size = ?, last = ? WHERE id = ?",
                (size + len(fresh) - len(gone), last + len(fresh), collection),
            )
        return Put(len(fresh), len(renamed), len(gone))

    def remove(self, collection: int, numbers: Sequence[int]) -> int:
        """Remove members by their numbers; returns how many there were."""
        return self._database.repeated(lambda: self._remove(collection, numbers))

    def _remove(self, collection: int, numbers: Sequence[int]) -> int:
        with self._database.transaction():
            self._touch(collection)
            there = [number for (number,) in self._chunked("number", collection, "number", numbers)]
            self._delete(collection, there)
            self._database.execute("UPDATE collections SET size = size - ? WHERE id = ?", (len(there), collection))
        return len(there)

    def numbers_of(self, collection: int, name: str) -> list[int]:
        """The numbers of the members of this name, or of a name below it as of a folder."""
        path = os.fsencode(name)
        # «/» is followed by «0», so these bounds hold every name that goes on with a «/».
        inside = path.rstrip(b"/")
        rows = self._database.execute(
            "SELECT number FROM members WHERE collection = ? AND (name = ? OR (name > ? AND name < ?)) ORDER BY number",
            (collection, path, inside + b"/", inside + b"0"),
        )
        return [number for (number,) in rows]

    def number_of(self, collection: int, sha256: bytes) -> int | None:
        """The number of the member of this content."""
        rows = self._database.execute(
            "SELECT number FROM members WHERE collection = ? AND sha256 = ?", (collection, sha256)
        )
        return rows[0][0] if rows else None

    def rows(self, collection: int, numbers: Sequence[int]) -> list[Row]:
        """The members of these numbers, by number; those that are no longer there are left out."""
        return sorted(map(_row, self._chunked(_MEMBER, collection, "number", numbers)), key=lambda row: row.number)

    def block(self, collection: int, *, after: int, limit: int, upto: int = _MOST) -> list[Row]:
        """Up to `limit` members whose numbers come after `after` and not after `upto`, by number."""
        rows = self._database.execute(
            f"SELECT {_MEMBER} FROM members WHERE collection = ? AND number > ? AND number <= ? "
            "ORDER BY number LIMIT ?",
            (collection, after, upto, limit),
        )
        return [_row(row) for row in rows]

    def count(self, collection: int, *, after: int, upto: int) -> int:
        """How many members have numbers after `after` and not after `upto`."""
        ((count,),) = self._database.execute(
            "SELECT count(*) FROM members WHERE collection = ? AND number > ? AND number <= ?",
            (collection, after, upto),
        )
        return int(count)

    def _touch(self, collection: int) -> None:
        self._database.execute("UPDATE collections SET generation = generation + 1 WHERE id = ?", (collection,))

    def _delete(self, collection: int, numbers: Sequence[int]) -> None:
        self._database.execute_many(
            "DELETE FROM members WHERE collection = ? AND number = ?", ((collection, number) for number in numbers)
        )
        if self._mirror is not None:
            self._mirror.delete(numbers)

    def _names(self, collection: int, sha256s: Sequence[bytes]) -> dict[bytes, str]:
        rows = self._chunked("sha256, name", collection, "sha256", sha256s)
        return {bytes(sha256): os.fsdecode(bytes(name)) for sha256, name in rows}

    def _displaced(self, collection: int, content: dict[str, bytes]) -> list[int]:
        """Numbers of the members that have one of these names and another content."""
        rows = self._chunked("number, sha256, name", collection, "name", [os.fsencode(name) for name in content])
        return [number for number, sha256, name in rows if content[os.fsdecode(bytes(name))] != bytes(sha256)]

    def _chunked(
        self, columns: str, collection: int, key: str, values: Sequence[int] | Sequence[bytes]
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            yield from self._database.execute(
                f"SELECT {columns} FROM members WHERE collection = ? AND {key} IN ({','.join('?' * len(chunk))})",
                [collection, *chunk],
            )


def _stored(row: tuple[Any, ...]) -> Stored:
    id_, name, method, spec, *rest = row
    return Stored(id_, name, method, _spec(str(spec)), *rest)


def _row(row: tuple[Any, ...]) -> Row:
    number, sha256, name, quality, value = row
    return Row(int(number), bytes(sha256), os.fsdecode(bytes(name)), float(quality), bytes(value))


def _spec_text(spec: Spec) -> str:
    facts = {
        "name": spec.name,
        "version": spec.version,
        "kind": spec.kind,
        "dim": spec.dim,
        "default_threshold": spec.default_threshold,
        "side": spec.side,
        "params": dict(spec.params),
    }
    return json.dumps(facts)


def _spec(text: str) -> Spec:
    return Spec(**json.loads(text))
