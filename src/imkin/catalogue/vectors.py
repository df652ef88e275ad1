"""What pgvector searches: beside each member of a collection a row of its fingerprint's parts, in the same commit.

A collection in PostgreSQL has a table of its own, `near_ID`, with a column for each part: regions of vectors as
halfvec, turns and parts of a hash as bit. The server compares all rows, one by one, in one statement that says what
`metric` says; where there are many vectors it takes them from HNSW indexes first, which it keeps up as rows come and
go. 16 bits a number are rough: `searching` measures what is found on the members' own values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from imkin.catalogue.collections import CollectionStore, Row, Stored
from imkin.catalogue.database import Database
from imkin.join import nearest
from imkin.metric import VOTES_NEEDED
from imkin.prints import turn_parts, values_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

Numbers = NDArray[np.int64]

# benchmarks/postgres.py. A search looks at no more than pgvector allows, and holds twice what is asked for.
LINKS, BUILD_EFFORT, SEARCH_EFFORT, MOST_EFFORT = 16, 64, 96, 1000
# Vectors that are compared one by one, in about 20 ms.
EXACT = 20_000
# pgvector indexes no longer halfvec, and a row of 8 KB holds no more numbers.
MOST_NUMBERS = 3900
# So many more than were asked for are measured: halves of a number mistake one neighbour for the next. Of records,
# whose similarity is more than that of their vectors, more.
SOME, SOME_RECORDS = 16, 64
# What 16 bits make of a similarity of unit vectors, and of the log-odds of `auto`.
ROUGH, ROUGH_ODDS = 0.002, 0.1
# Members read at once.
BLOCK = 4096
# Of vectors that are all but equal; below what any odds of `auto` can be.
EQUAL, FIRST = -0.9995, -1000.0


class ServerVectors:
    """Keeps and searches the rows of one collection of a catalogue in PostgreSQL; see `searching.Index`.

    exact: of vectors, so many are compared one by one.
    """

    def __init__(self, database: Database, stored: Stored, *, exact: int = EXACT) -> None:
        self._database = database
        self._store = CollectionStore(database)
        self._collection = stored.id
        self._spec = stored.spec
        self._parts = _parts(stored.spec)
        self._exact = exact
        self._table = table_of(stored.id)
        self._columns = ("number", *(f"v{at}" for at in range(self._parts.count)))
        self._make()

    @staticmethod
    def takes(spec: Spec) -> bool:
        """Whether the server can search such fingerprints."""
        return spec.kind == "bits" or (
            spec.kind in ("unit vector", "record") and nearest.looked_spec(spec).dim <= MOST_NUMBERS
        )

    def _make(self) -> None:
        """Make the table where there is none, of the members that are there."""
        if self._there() is None:
            self._database.repeated(self._make_once)

    def _make_once(self) -> None:
        with self._database.transaction():
            # Other processes wait here, with the same in mind and with members to add.
            self._database.execute("UPDATE collections SET size = size WHERE id = ?", (self._collection,))
            if self._there() is not None:
                return
            columns = ", ".join(f"{name} {self._parts.type} NOT NULL" for name in self._columns[1:])
            self._database.execute(f"CREATE TABLE {self._table} (number BIGINT PRIMARY KEY, {columns})")
            for name in self._columns[1:]:
                # In the row, not aside: it is what the table is for.
                self._database.execute(f"ALTER TABLE {self._table} ALTER COLUMN {name} SET STORAGE MAIN")
            after = 0
            while rows := self._store.block(self._collection, after=after, limit=BLOCK):
                self.put(rows)
                after = rows[-1].number

    def _there(self) -> bool | None:
        """Whether the vectors are indexed; None where the table is not there."""
        ((table, index),) = self._database.execute(
            "SELECT to_regclass(?), to_regclass(?)", (f"imkin.{self._table}", f"imkin.{self._table}_v0")
        )
        return None if table is None else index is not None

    def put(self, rows: Sequence[Row]) -> None:
        """Add members, in a transaction; those of too low a quality are left out."""
        good = [row for row in rows if row.quality >= QUALITY_FLOOR]
        if not good:
            return
        values = values_of([row.value for row in good], self._spec)
        texts = self._parts.texts(Prints(self._spec, values, np.ones(len(good), np.float32)))
        self._database.put(
            self._table, self._columns, ((row.number, *each) for row, each in zip(good, texts, strict=True))
        )

    def delete(self, numbers: Iterable[int]) -> None:
        """Take members out, in a transaction."""
        self._database.execute_many(f"DELETE FROM {self._table} WHERE number = ?", ((number,) for number in numbers))

    def drop(self) -> None:
        """Forget all of it."""
        self._database.execute(f"DROP TABLE IF EXISTS {self._table}")

    def wanted(self) -> bool:
        """Whether there are so many vectors that they should be indexed, and are not."""
        if self._spec.kind == "bits" or self._there():
            return False
        ((count,),) = self._database.execute(f"SELECT count(*) FROM {self._table}")
        return int(count) * self._parts.count > self._exact

    def make(self, *, jobs: int | None = None, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Index the vectors: minutes for a million, in which searches go on and changes of this collection wait.

        jobs: nothing here, the server has its own.
        """
        del jobs
        if self._spec.kind == "bits" or self._there():
            return
        # The first one last: it tells that all are there.
        for done, name in enumerate(reversed(self._columns[1:])):
            if progress:
                progress("indexing", done, self._parts.count)
            self._database.apart(
                f"CREATE INDEX IF NOT EXISTS {self._table}_{name} ON {self._table} USING hnsw ({name} halfvec_ip_ops) "
                f"WITH (m = {LINKS}, ef_construction = {BUILD_EFFORT})"
            )
        self._database.apart(f"ANALYZE {self._table}")

    def near(self, query: Prints, want: int, *, threshold: float) -> Numbers:
        """See `searching.Index`."""
        if (indexed := self._there()) is None:
            # UsageError where the collection is gone; a copy of a catalogue leaves it without.
            self._store.state(self._collection)
            self._make()
        first = Prints(query.spec, query.values[:1], query.quality[:1])
        (values,) = self._parts.texts(first)
        limit = want + self._parts.some
        bound = self._parts.bound(threshold)
        # A graph ends before it has found more.
        if 2 * limit <= MOST_EFFORT and indexed:
            rows = self._database.repeated(lambda: self._through_graphs(values, limit))
            # Rows that were deleted lately are found first and say nothing.
            if rows and rows[0][2] == limit:
                return _within(rows, bound)
        return _within(self._database.repeated(lambda: self._one_by_one(values, limit)), bound)

    def _one_by_one(self, values: Sequence[str], limit: int) -> list[tuple[Any, ...]]:
        with self._database.transaction():
            # Of vectors of one part the planner may take the graph for the order asked for.
            self._database.execute("SELECT set_config('jit', 'off', true), set_config('enable_indexscan', 'off', true)")
            return self._database.execute(
                f"WITH {self._query()} SELECT number, {self._parts.distance} AS distance FROM {self._table} "
                "ORDER BY distance, number LIMIT ?",
                (*values, limit),
            )

    def _through_graphs(self, values: Sequence[str], limit: int) -> list[tuple[Any, ...]]:
        """Rows as of `_one_by_one`, and the fewest that a graph has found."""
        pairs = self._parts.pairs
        found = ", ".join(
            f"f{at} AS MATERIALIZED (SELECT number FROM {self._table} ORDER BY {pair} LIMIT {limit})"
            for at, pair in enumerate(pairs)
        )
        fewest = _least([f"(SELECT count(*) FROM f{at})" for at in range(len(pairs))])
        every = " UNION ".join(f"SELECT number FROM f{at}" for at in range(len(pairs)))
        with self._database.transaction():
            # The planner may think otherwise of a table it has not looked at.
            self._database.execute(
                "SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true), "
                "set_config('hnsw.ef_search', ?, true)",
                (str(max(SEARCH_EFFORT, 2 * limit)),),
            )
            return self._database.execute(
                f"WITH {self._query()}, {found} SELECT number, {self._parts.distance} AS distance, {fewest} "
                f"FROM {self._table} WHERE number IN ({every}) ORDER BY distance, number LIMIT ?",
                (*values, limit),
            )

    def _query(self) -> str:
        """The parts of what is searched, under the names q0, q1, …"""
        named = ", ".join(f"?::{self._parts.type} AS q{at}" for at in range(self._parts.count))
        return f"q AS MATERIALIZED (SELECT {named})"


def table_of(collection: int) -> str:
    """The name of a collection's table, in the schema of the catalogue."""
    return f"near_{collection}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """How fingerprints of one spec are laid out and compared in SQL.

    count: columns. type: of each. pairs: distances of a member's part and one of the query's that a graph can look
    for. distance: of a whole member. some: so many more than asked for are to be measured.
    """

    spec: Spec
    count: int
    type: str
    pairs: tuple[str, ...]
    distance: str
    some: int

    def texts(self, prints: Prints) -> list[list[str]]:
        """The parts of each fingerprint, as the server reads them."""
        if self.spec.kind == "bits":
            codes = turn_parts(prints).reshape(len(prints), self.count, -1)
            return [[_bits(code) for code in parts] for parts in codes]
        values = np.asarray(nearest.looked_at(prints).values, np.float32).reshape(len(prints), self.count, -1)
        return [[_vector(part) for part in parts] for parts in values]

    def bound(self, threshold: float) -> float:
        """The largest distance that a member of at least this similarity can have."""
        if self.spec.kind == "bits":
            return (1 - threshold) * self.spec.dim / self.count + 1e-3
        if self.spec.kind == "record":
            from imkin.join.fused import least_by_network

            return ROUGH_ODDS - least_by_network(threshold)
        return ROUGH - threshold if threshold > 0 else np.inf


def _parts(spec: Spec) -> _Parts:
    if spec.kind == "bits":
        parts = cast(int, spec.params.get("parts", 1))
        count = cast(int, spec.params.get("turns", 1)) * parts
        # Of the upright one to each turn, and of each turn to the upright one.
        turns = [(0, 0), *(pair for t in range(1, count // parts) for pair in ((0, t), (t, 0)))]
        each = [_voted([f"(v{a * parts + p} <~> {_asked(b * parts + p)})" for p in range(parts)]) for a, b in turns]
        return _Parts(spec, count, f"bit({spec.dim // count})", (), _least(each), 0)
    count = nearest.regions(nearest.looked_spec(spec))
    whole, regions = f"(v0 <#> {_asked(0)})", [(0, at) for at in range(1, count)] + [(at, 0) for at in range(1, count)]
    others = [f"(v{a} <#> {_asked(b)})" for a, b in regions]
    if spec.kind == "record":
        from imkin.join import fused

        odds = f"{fused.WHOLE} * {whole} + {fused.REGION} * {_least(others)}"
        distance = f"CASE WHEN {whole} < {EQUAL} THEN {FIRST} ELSE {odds} END"
    else:
        distance = _least([whole, *(f"({other} + {nearest.region_cost(spec)})" for other in others)])
    some = SOME_RECORDS if spec.kind == "record" else SOME
    return _Parts(spec, count, f"halfvec({nearest.looked_spec(spec).dim // count})", (whole, *others), distance, some)


def _asked(part: int) -> str:
    return f"(SELECT q{part} FROM q)"


def _least(distances: Sequence[str]) -> str:
    return distances[0] if len(distances) == 1 else f"LEAST({', '.join(distances)})"


def _voted(distances: Sequence[str]) -> str:
    """The VOTES_NEEDED-th smallest: the smallest among the largest of each so many."""
    if len(distances) < VOTES_NEEDED:
        return distances[0]
    return _least([f"GREATEST({', '.join(some)})" for some in combinations(distances, VOTES_NEEDED)])


def _vector(vector: NDArray[np.float32]) -> str:
    return f"[{','.join(f'{number:.6g}' for number in vector.tolist())}]"


def _bits(code: NDArray[np.uint8]) -> str:
    return f"{int.from_bytes(code.tobytes(), 'big'):0{8 * len(code)}b}"


def _within(rows: Sequence[tuple[Any, ...]], bound: float) -> Numbers:
    return np.array([row[0] for row in rows if row[1] <= bound], np.int64)
