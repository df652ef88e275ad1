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
from imkin.segments import Segment, Segments, Sizes, blocks, candidates, prints_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

Numbers = NDArray[np.int64]

# Removed members are searched and left out, up to so many and a quarter of those in memory; then these are read again.
DEAD = 1000
# A graph sees roughly: so many times what is asked for, and some, are measured.
MORE, SOME = 1, 16


@dataclass(frozen=True, slots=True)
class _View:
    """What a search looks at: graphs up to the number `end`, the fingerprints after it, read up to `read_to`.

    kept: they are in memory; else they are too large for it, and are read from the catalogue for each search.
    size, last: of the collection when this was made; removed: how many members went since the fingerprints were read.
    """

    segments: tuple[Segment, ...]
    end: int
    numbers: Numbers
    prints: Prints
    read_to: int
    kept: bool
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
        self._segments = segments
        self._sizes = sizes
        self._lock = threading.Lock()
        self._view: _View | None = None

    def near(self, query: Prints, want: int, *, threshold: float) -> Numbers:
        """See `searching.Index`."""
        view = self.view()
        found = [self._tail(query, view, want, threshold)]
        if view.segments:
            numbers, _ = candidates(view.segments, query, MORE * want + SOME, threshold=threshold)
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
        if view.kept:
            return view.numbers[nearest.best(query, view.prints, want, threshold=threshold)[0]]
        best, likeness = np.empty(0, np.int64), np.empty(0, np.float32)
        for numbers, prints in self._read(after=view.end, upto=view.last):
            at, similar = nearest.best(query, prints, want, threshold=threshold)
            best, likeness = np.concatenate([best, numbers[at]]), np.concatenate([likeness, similar])
            order = np.argsort(-likeness, kind="stable")[: want + nearest.TIES]
            best, likeness = best[order], likeness[order]
        return best

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
        numbers, prints, read_to = np.empty(0, np.int64), prints_of([], self._spec), end
        if view is not None and view.kept and view.end == end and removed <= max(DEAD, len(view.numbers) // 4):
            numbers, prints, read_to = view.numbers, view.prints, view.read_to
        else:
            removed = 0
        kept = self._row_bytes() * (last - end) <= self._sizes.kept_bytes
        if kept:
            numbers, prints = self._read_on(numbers, prints, read_to, last)
        return _View(segments, end, numbers, prints, last, kept, generation, size, last, removed)

    def _large(self, numbers: int) -> bool:
        return numbers * nearest.regions(self._spec) > self._sizes.exact_vectors

    def _row_bytes(self) -> int:
        return self._spec.dim * 4 if self._spec.kind == "unit vector" else self._spec.dim // 8

    def _read_on(self, numbers: Numbers, prints: Prints, after: int, upto: int) -> tuple[Numbers, Prints]:
        parts = [(numbers, prints), *self._read(after=after, upto=upto)]
        values = np.concatenate([part.values for _, part in parts])
        quality = np.concatenate([part.quality for _, part in parts])
        return np.concatenate([part for part, _ in parts]), Prints(self._spec, values, quality)

    def _read(self, *, after: int, upto: int) -> Iterator[tuple[Numbers, Prints]]:
        for rows in blocks(self._store, self._collection, after=after, upto=upto):
            good = [row for row in rows if row.quality >= QUALITY_FLOOR]
            yield np.array([row.number for row in good], np.int64), nearest.unit(prints_of(good, self._spec))
