"""From one catalogue to another, of either kind: what the target does not have, or has older, is written there.

In chunks, each one commit, so that an interrupted copy goes on where it is called again; a collection, and a run with
its steps, is one commit each. Nothing is taken out of the source, and nothing is lost in the target.
What a review remembers to take decisions back by stays where it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imkin.catalogue.collections import CollectionStore, Stored
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
# States of a run in the order in which it comes to them: of two copies the one that has come further is the later.
_STATES = ("applying", "stopped", "applied", "undoing", "partly undone", "undone")

TABLES = (*_PLAIN, "decisions", "collections", "members", "runs", "journal")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Rows read from each table that was copied. renumbered: runs whose number there was another's."""

    rows: dict[str, int]
    renumbered: int


def counts(database: Database) -> dict[str, int]:
    """Rows of each table."""
    return {table: int(database.execute(f"SELECT count(*) FROM {table}")[0][0]) for table in TABLES}


def copy(source: Database, target: Database, *, progress: Progress | None = None) -> Transfer:
    """Copy everything. Of decisions, collections and runs the newer hold; fingerprints are the same anywhere.

    A collection that was made on its own in both gets the members that it does not have. A run whose number is
    another's in the target gets a new one. Raises UsageError where a run is under way, CatalogueError where
    collections of one name cannot be compared: nothing is copied then.
    """
    if source.path == target.path:
        raise UsageError("both are the same catalogue")
    total, done = counts(source), 0
    with source.exclusive() as held, target.exclusive() as free:
        if not (held and free):
            busy = target if held else source
            raise UsageError(f"another imkin is changing files just now (it locks {busy.path}); wait for it")
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
        rows["runs"], renumbered = _runs(source, target)
    return Transfer(rows, renumbered)


def _check(source: Database, target: Database) -> None:
    running = source.execute(
        "SELECT id FROM runs WHERE host = ? AND state IN ('applying', 'undoing') ORDER BY id", (source.host,)
    )
    if running:
        raise UsageError(
            f"run {running[0][0]} of {source.path} is not finished: `imkin history` with that catalogue tells more, "
            "`imkin undo` or `imkin apply --resume` ends it"
        )
    there = {stored.name: stored for stored in CollectionStore(target).all()}
    for stored in CollectionStore(source).all():
        other = there.get(stored.name, stored)
        if (other.spec.id, other.decoder) != (stored.spec.id, stored.decoder):
            raise CatalogueError(
                f"{target.path} has a collection `{stored.name}` by `{other.spec.id}`, {source.path} one by "
                f"`{stored.spec.id}`: their fingerprints cannot be compared; delete one of the two first"
            )


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
    """Copy the collections that the target does not have, or has as they were earlier; merge those that it made."""
    there = {stored.name: stored for stored in CollectionStore(target).all()}
    every = CollectionStore(source).all()
    for stored in every:
        known = there.get(stored.name)
        if known is None or (known.id == stored.id and known.generation < stored.generation):
            _collection(source, target, stored)
        elif known.id != stored.id:
            _merge(source, target, stored, known)
    return len(every)


def _collection(source: Database, target: Database, stored: Stored) -> None:
    with target.transaction():
        target.execute("DELETE FROM members WHERE collection = ?", (stored.id,))
        if target.server:
            target.execute(f"DROP TABLE IF EXISTS {table_of(stored.id)}")
        row = source.execute(f"SELECT {', '.join(_COLLECTION)} FROM collections WHERE id = ?", (stored.id,))
        target.put("collections", _COLLECTION, row, key=("id",))
        after = 0
        select = f"SELECT {', '.join(_MEMBER)} FROM members WHERE collection = ? AND number > ?"
        while rows := source.execute(f"{select} ORDER BY number LIMIT {CHUNK}", (stored.id, after)):
            target.put("members", _MEMBER, rows)
            after = rows[-1][1]
    _index(target, stored)


def _merge(source: Database, target: Database, stored: Stored, known: Stored) -> None:
    """Add the members that the target's own collection of that name does not have."""
    vectors = _vectors(target, known)
    store, there = CollectionStore(source), CollectionStore(target, mirror=vectors)
    after = 0
    while rows := store.block(stored.id, after=after, limit=CHUNK):
        fresh = [row for row in rows if there.number_of(known.id, row.sha256) is None]
        if fresh:
            there.put(known.id, [(row.sha256, row.name, row.quality, row.value) for row in fresh], replace=False)
        after = rows[-1].number
    _index(target, known)


def _vectors(target: Database, stored: Stored) -> ServerVectors | None:
    return ServerVectors(target, stored) if target.server and ServerVectors.takes(stored.spec) else None


def _index(target: Database, stored: Stored) -> None:
    """What a server searches is made now, not when somebody waits for it."""
    vectors = _vectors(target, stored)
    if vectors is not None and vectors.wanted():
        vectors.make()


def _runs(source: Database, target: Database) -> tuple[int, int]:
    """Copy this machine's runs and their steps; returns how many there are and how many have another number there."""
    there = {token: (number, state) for number, token, state in target.execute("SELECT id, token, state FROM runs")}
    taken = {number for number, _ in there.values()}
    runs = source.execute(f"SELECT {', '.join(_RUN)} FROM runs WHERE host = ? ORDER BY id", (source.host,))
    renumbered = 0
    for number, token, *facts, _ in runs:
        to, state = there.get(token, (None if number in taken else number, ""))
        with target.transaction():
            if not state:
                to = _add_run(target, to, (token, *facts, target.host))
                renumbered += to != number
                taken.add(to)
            elif _STATES.index(facts[2]) <= _STATES.index(state):
                continue
            steps = source.execute(f"SELECT {', '.join(_STEP[1:])} FROM journal WHERE run = ? ORDER BY step", (number,))
            target.execute("UPDATE runs SET state = ? WHERE id = ?", (facts[2], to))
            target.execute("DELETE FROM journal WHERE run = ?", (to,))
            target.put("journal", _STEP, [(to, *step) for step in steps])
    return len(runs), renumbered


def _add_run(target: Database, number: int | None, facts: Sequence[Any]) -> int:
    """A new run, of this number or of the next one; returns it."""
    if number is None:
        names = ", ".join(_RUN[1:])
        marks = ", ".join("?" * len(facts))
        ((made,),) = target.execute(f"INSERT INTO runs ({names}) VALUES ({marks}) RETURNING id", facts)
        return int(made)
    target.put("runs", _RUN, [(number, *facts)])
    target.numbered("runs")
    return number
