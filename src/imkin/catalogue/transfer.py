"""From one catalogue to another, of either kind: what the target does not have, or has older, is written there.

In chunks, each one commit, so that an interrupted copy goes on where it is called again; a collection, and the journal
with its runs, is one commit each. Nothing is taken out of the source, and nothing is lost in the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imkin.catalogue.collections import CollectionStore
from imkin.catalogue.database import Database
from imkin.catalogue.decisions import Decision, DecisionStore
from imkin.catalogue.vectors import ServerVectors, table_of
from imkin.errors import CatalogueError, UsageError

CHUNK = 5000

# Keyed by content, so that equal keys have equal rows; of a file the later look would do as well.
_PLAIN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "contents": (("sha256",), ("sha1", "width", "height", "format")),
    "files": (("path",), ("size", "mtime_ns", "sha256")),
    "prints": (("spec", "sha256"), ("value", "quality")),
    "failures": (("recipe", "sha256"), ("stage", "reason")),
    "choices": (("sha256", "path"), ("word", "instead")),
}
_DECISION = ("first", "second", "verdict", "decided_ns")
_COLLECTION = ("id", "name", "method", "spec", "decoder", "created_ns", "generation", "size", "last")
_MEMBER = ("collection", "number", "sha256", "name", "quality", "value")
_RUN = ("id", "token", "verb", "started_ns", "state", "plan", "host")
_STEP = ("run", "step", "action", "state", "note", "entry")

TABLES = (*_PLAIN, "decisions", "collections", "members", "runs", "journal")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Rows read from each table that was copied. runs_left: runs that the target has no room for, see `copy`."""

    rows: dict[str, int]
    runs_left: int


def counts(database: Database) -> dict[str, int]:
    """Rows of each table."""
    return {table: int(database.execute(f"SELECT count(*) FROM {table}")[0][0]) for table in TABLES}


def copy(source: Database, target: Database, *, progress: Progress | None = None) -> Transfer:
    """Copy everything. Of decisions and collections the newer hold; fingerprints are the same wherever they are.

    The journal goes along only into a target without runs of its own, whose numbers would be the same; where it has
    some, those of the source stay there alone, to be undone there, and are counted. Raises UsageError where a run is
    under way, or a collection of the same name is another one: nothing is copied then.
    """
    total, done = counts(source), 0
    with source.exclusive() as held:
        if not held:
            raise UsageError(f"another imkin is changing files just now (it locks {source.path}); wait for it")
        _check(source, target)
        rows: dict[str, int] = {}
        for table, (key, others) in _PLAIN.items():
            for chunk in _chunks(source, table, key, (*key, *others)):
                _put(target, table, (*key, *others), chunk, key)
                done += len(chunk)
                if progress:
                    progress("copying", done, sum(total.values()))
            rows[table] = total[table]
        rows["decisions"] = _decisions(source, target)
        rows["collections"] = _collections(source, target)
        runs_left = _journal(source, target)
        rows["runs"] = total["runs"] - runs_left
    return Transfer(rows, runs_left)


def _check(source: Database, target: Database) -> None:
    if source.path == target.path:
        raise UsageError("both are the same catalogue")
    running = source.execute(
        "SELECT id FROM runs WHERE host = ? AND state IN ('applying', 'undoing') ORDER BY id", (source.host,)
    )
    if running:
        raise UsageError(
            f"run {running[0][0]} of {source.path} is not finished: `imkin history` with that catalogue tells more, "
            "`imkin undo` or `imkin apply --resume` ends it"
        )
    names = {name: number for number, name in target.execute("SELECT id, name FROM collections")}
    for number, name in source.execute("SELECT id, name FROM collections ORDER BY name"):
        if names.get(name, number) != number:
            raise CatalogueError(f"{target.path} has another collection called `{name}`; delete one of the two first")


def _chunks(
    source: Database, table: str, key: Sequence[str], columns: Sequence[str]
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows by their key, so many at once."""
    named, keys = ", ".join(columns), ", ".join(key)
    where, after = "", ()
    while chunk := source.execute(f"SELECT {named} FROM {table} {where} ORDER BY {keys} LIMIT {CHUNK}", after):
        yield chunk
        after = chunk[-1][: len(key)]
        where = f"WHERE ({keys}) > ({', '.join('?' * len(key))})"


def _put(
    target: Database, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], key: Sequence[str]
) -> None:
    def write() -> None:
        with target.transaction():
            target.put(table, columns, rows, key=key)

    target.repeated(write)


def _decisions(source: Database, target: Database) -> int:
    store, found = DecisionStore(target), 0
    for chunk in _chunks(source, "decisions", _DECISION[:2], _DECISION):
        store.merge(Decision(first.hex(), second.hex(), verdict, when) for first, second, verdict, when in chunk)
        found += len(chunk)
    return found


def _collections(source: Database, target: Database) -> int:
    """Copy the collections that the target does not have, or has as they were earlier."""
    known: dict[int, int] = dict(target.execute("SELECT id, generation FROM collections"))
    for row in source.execute(f"SELECT {', '.join(_COLLECTION)} FROM collections ORDER BY id"):
        number, generation = row[0], row[_COLLECTION.index("generation")]
        if known.get(number, -1) < generation:
            _collection(source, target, row)
    return len(source.execute("SELECT id FROM collections"))


def _collection(source: Database, target: Database, row: tuple[Any, ...]) -> None:
    with target.transaction():
        target.execute("DELETE FROM members WHERE collection = ?", (row[0],))
        if target.server:
            target.execute(f"DROP TABLE IF EXISTS {table_of(row[0])}")
        target.put("collections", _COLLECTION, [row], key=("id",))
        after = 0
        select = f"SELECT {', '.join(_MEMBER)} FROM members WHERE collection = ? AND number > ?"
        while rows := source.execute(
            f"{select} ORDER BY number LIMIT {CHUNK}",
            (row[0], after),
        ):
            target.put("members", _MEMBER, rows)
            after = rows[-1][1]
    stored = CollectionStore(target).find(row[1])
    if target.server and stored is not None and ServerVectors.takes(stored.spec):
        vectors = ServerVectors(target, stored)
        if vectors.wanted():
            vectors.make()


def _journal(source: Database, target: Database) -> int:
    """Copy the runs of this machine and their steps; returns how many were left because the target has runs."""
    runs = source.execute(f"SELECT {', '.join(_RUN)} FROM runs WHERE host = ? ORDER BY id", (source.host,))
    there = {token for (token,) in target.execute("SELECT token FROM runs")}
    if there:
        return sum(row[1] not in there for row in runs)
    with target.transaction():
        target.put("runs", _RUN, [(*row[:-1], target.host) for row in runs])
        for row in runs:
            target.put(
                "journal", _STEP, source.execute(f"SELECT {', '.join(_STEP)} FROM journal WHERE run = ?", (row[0],))
            )
        target.numbered("runs")
    return 0
