"""The members of one collection that are near a picture: those added lately from memory, the rest through graphs.

A graph may be old or gone: what it does not hold is compared one by one, and nothing is lost but time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.catalogue.collections import CollectionStore
from imkin.join import nearest
from imkin.join.multi_index import MultiIndex
from imkin.segments import Segment, Segments, Sizes, blocks, candidates, prints_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

Numbers = NDArray[np.int64]

# Removed members are searched and left out, up to so many and a quarter of those in memory; then these are read again.
DEAD = 1000
# A graph sees roughly: so many times what is asked for, and some, are measured. Of records the vectors alone are looked
# at, and what else counts is measured afterwards: more.
MORE, SOME = 1, 16
MORE_RECORDS, SOME_RECORDS = 2, 64
# Hashes that are compared one by one, in about a millisecond, and then again until tables are worth their making.
FEW, FEWER = 20_000, 8


@dataclass(frozen=True, slots=True)
class _View:
    """What a search looks at: graphs up to the number `end`, the fingerprints after it, read up to `read_to`.

    kept: they are in memory; else they are too large for it, and are read from the catalogue for each search.
    tables: of hashes, over the first of them.
    size, last: of the collection when this was made; removed: how many members went since the fingerprints were read.
    """

    segments: tuple[Segment, ...]
    end: int
    numbers: Numbers
    prints: Prints
    read_to: int
    kept: bool
    tables: MultiIndex | None
    generation: int
    size: int
    last: int
    removed: int


class Nearby:
    """Finds the members of one collection that are near; keeps in memory what it needs again.

    segments: where its graphs are, None if there are none.
    """

    def __init__(
        self, store: CollectionStore, collection: int, spec: Spec, *, segments: Segments | None, sizes: Sizes
    ) -> None:
        self._store = store
        self._collection = collection
        self._spec = spec
        self._looked = nearest.looked_spec(spec)
        self._segments = segments
        self._sizes = sizes
        self._lock = threading.Lock()
        self._view: _View | None = None

    def near(self, query: Prints, want: int, *, threshold: float) -> Numbers:
        """See `searching.Index`."""
        view, record = self.view(), self._spec.kind == "record"
        more, some = (MORE_RECORDS, SOME_RECORDS) if record else (MORE, SOME)
        threshold = nearest.least_likeness(self._spec, threshold)
        query = nearest.looked_at(query)
        found = [self._tail(query, view, more * want + some if record else want, threshold)]
        if view.segments:
            numbers, _ = candidates(view.segments, query, more * want + some, threshold=threshold)
            found.append(numbers)
        return np.concatenate(found)

    def make(self, *, jobs: int | None, progress: Callable[[str, int, int], None] | None) -> None:
        """See `searching.Index`: the graphs of vectors. Hashes need none."""
        if self._segments is not None:
            self._segments.build(jobs=jobs, progress=progress)
            with self._lock:
                self._view = None

    def drop(self) -> None:
        """See `searching.Index`."""
        if self._segments is not None:
            self._segments.remove()

    def wanted(self) -> bool:
        """See `searching.Index`: whether so many members are in no graph that they should be."""
        _, _, last = self._store.state(self._collection)
        view = self._view
        if not self._large(last - (0 if view is None else view.end)):
            return False
        return self._segments is not None and self._large(last - self.view().end)

    def _tail(self, query: Prints, view: _View, want: int, threshold: float) -> Numbers:
        if view.tables is not None:
            return self._by_tables(query, view, view.tables, want, threshold)
        if view.kept:
            return view.numbers[nearest.best(query, view.prints, want, threshold=threshold)[0]]
        best, likeness = np.empty(0, np.int64), np.empty(0, np.float32)
        for numbers, prints in self._read(after=view.end, upto=view.last):
            at, similar = nearest.best(query, prints, want, threshold=threshold)
            best, likeness = np.concatenate([best, numbers[at]]), np.concatenate([likeness, similar])
            order = np.argsort(-likeness, kind="stable")[: want + nearest.TIES]
            best, likeness = best[order], likeness[order]
        return best

    def _by_tables(self, query: Prints, view: _View, tables: MultiIndex, want: int, threshold: float) -> Numbers:
        """Of hashes: through the tables, and one by one what came after them."""
        most = int((1 - threshold + nearest.SLACK) * self._spec.dim)
        at, _ = tables.best(np.asarray(query.values[0], np.uint8), want, most=most)
        after = len(tables)
        rest = Prints(self._spec, view.prints.values[after:], view.prints.quality[after:])
        late, _ = nearest.best(query, rest, want, threshold=threshold)
        found: Numbers = view.numbers[np.concatenate([at[: want + nearest.TIES], late + after])]
        return found

    def view(self) -> _View:
        """What to search, after a look at what has changed."""
        with self._lock:
            generation, size, last = self._store.state(self._collection)
            view = self._view
            if view is None or generation != view.generation:
                view = self._view = self._changed(view, generation, size, last)
            return view

    def _changed(self, view: _View | None, generation: int, size: int, last: int) -> _View:
        segments: tuple[Segment, ...] = ()
        if self._segments is not None:
            segments = () if view is None else view.segments
            # Another process may have made graphs of what has become much.
            if view is None or self._large(last - (segments[-1].upto if segments else 0)):
                segments = self._segments.open()
        end = segments[-1].upto if segments else 0
        removed = 0 if view is None else view.removed + view.size + (last - view.last) - size
        numbers, prints, read_to = np.empty(0, np.int64), nearest.looked_at(prints_of([], self._spec)), end
        tables = None
        if view is not None and view.kept and view.end == end and removed <= max(DEAD, len(view.numbers) // 4):
            numbers, prints, read_to, tables = view.numbers, view.prints, view.read_to, view.tables
        else:
            removed = 0
        kept = self._row_bytes() * (last - end) <= self._sizes.kept_bytes
        if kept:
            numbers, prints = self._read_on(numbers, prints, read_to, last)
            tables = self._tabled(tables, prints)
        return _View(segments, end, numbers, prints, last, kept, tables, generation, size, last, removed)

    def _tabled(self, tables: MultiIndex | None, prints: Prints) -> MultiIndex | None:
        """Tables over hashes where these are many; made anew once many have come after them."""
        whole = self._spec.kind == "bits" and not {"turns", "parts"} & self._spec.params.keys()
        if not whole or self._spec.dim % 16 or len(prints) - len(tables or ()) <= max(FEW, len(tables or ()) // FEWER):
            return tables
        return MultiIndex(np.asarray(prints.values, np.uint8))

    def _large(self, numbers: int) -> bool:
        return numbers * nearest.regions(self._looked) > self._sizes.exact_vectors

    def _row_bytes(self) -> int:
        return self._looked.dim * 4 if self._looked.kind == "unit vector" else self._spec.dim // 8

    def _read_on(self, numbers: Numbers, prints: Prints, after: int, upto: int) -> tuple[Numbers, Prints]:
        parts = [(numbers, prints), *self._read(after=after, upto=upto)]
        values = np.concatenate([part.values for _, part in parts])
        quality = np.concatenate([part.quality for _, part in parts])
        return np.concatenate([part for part, _ in parts]), Prints(self._looked, values, quality)

    def _read(self, *, after: int, upto: int) -> Iterator[tuple[Numbers, Prints]]:
        for rows in blocks(self._store, self._collection, after=after, upto=upto):
            good = [row for row in rows if row.quality >= QUALITY_FLOOR]
            yield np.array([row.number for row in good], np.int64), nearest.looked_at(prints_of(good, self._spec))
