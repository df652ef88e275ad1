"""Search of one collection: what was added lately is compared one by one, in memory; what an index holds through it.

Whatever finds a member, the catalogue has the last word: whether it is there still, its name, and its fingerprint, of
which the similarity is measured anew. So an index may be old or gone, and nothing is lost but time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.catalogue.collections import CollectionStore, Row
from imkin.join import nearest
from imkin.scan import values_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

# Members read from the catalogue at once.
BLOCK = 4096
# Fingerprints kept in memory between searches. More of them are read from the catalogue for each search.
KEPT_BYTES = 512_000_000
# Removed members are searched and left out, up to so many and a quarter of all; then all are read again.
DEAD = 1000
# Without a number asked for, members are taken in lots of so many until they are below the threshold.
LOT = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A member of a collection and its similarity to what was searched, 0..1. name: its path, as a rule."""

    name: str
    sha256: str
    similarity: float


class Searcher:
    """Searches one collection; keeps in memory what it needs again. For any number of threads."""

    def __init__(self, store: CollectionStore, collection: int, spec: Spec) -> None:
        self._store = store
        self._collection = collection
        self._spec = spec
        self._lock = threading.Lock()
        self._generation = -1
        self._numbers = np.empty(0, np.int64)
        self._prints = prints_of([], spec)
        self._read_to = 0
        self._poor = 0

    def search(self, query: Prints, sha256: bytes | None, *, top: int | None, threshold: float) -> tuple[Match, ...]:
        """The members most like the first fingerprint of `query`, by falling similarity, then by age.

        sha256: of the query's content; a member of the same bytes is 1, whatever its quality. Others of a quality
        below the floor are no match, nor is anything for a query of such a quality.
        """
        same = None if sha256 is None else self._store.number_of(self._collection, sha256)
        found = {} if same is None else {row.number: (row, 1.0) for row in self._store.rows(self._collection, [same])}
        if query.quality[0] >= QUALITY_FLOOR:
            numbers, prints = self._current()
            self._gather(query, numbers, prints, found, top=top, threshold=threshold)
        ranked = sorted(found.values(), key=lambda each: (-each[1], each[0].number))
        return tuple(
            Match(row.name, row.sha256.hex(), similarity) for row, similarity in ranked[:top] if similarity >= threshold
        )

    def _gather(
        self,
        query: Prints,
        numbers: NDArray[np.int64],
        prints: Prints,
        found: dict[int, tuple[Row, float]],
        *,
        top: int | None,
        threshold: float,
    ) -> None:
        """Add members to `found` until the best `top` of those that are there still are among them."""
        want = LOT if top is None else top
        while True:
            candidates = numbers[nearest.best(query, prints, want, threshold=threshold)].tolist()
            rows = self._store.rows(self._collection, [number for number in candidates if number not in found])
            if rows:
                similar = nearest.similarities(query, prints_of(rows, self._spec)).tolist()
                found.update((row.number, (row, s)) for row, s in zip(rows, similar, strict=True))
            enough = top is not None and len(found) >= top
            if enough or len(candidates) < want or want >= len(numbers):
                return
            want *= 4

    def _current(self) -> tuple[NDArray[np.int64], Prints]:
        """Numbers and fingerprints of the members, after a look at what has changed."""
        with self._lock:
            generation, size, last = self._store.state(self._collection)
            if generation != self._generation:
                dead = len(self._numbers) + self._poor - size
                if dead > max(DEAD, size // 4):
                    self._numbers, self._prints = np.empty(0, np.int64), prints_of([], self._spec)
                    self._read_to = self._poor = 0
                if self._read_to < last:
                    self._read_on()
                self._generation = generation
            return self._numbers, self._prints

    def _read_on(self) -> None:
        numbers, parts = [self._numbers], [self._prints]
        while rows := self._store.block(self._collection, after=self._read_to, limit=BLOCK):
            good = [row for row in rows if row.quality >= QUALITY_FLOOR]
            numbers.append(np.array([row.number for row in good], np.int64))
            parts.append(nearest.unit(prints_of(good, self._spec)))
            self._poor += len(rows) - len(good)
            self._read_to = rows[-1].number
        self._numbers = np.concatenate(numbers)
        self._prints = Prints(
            self._spec,
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.quality for part in parts]),
        )


def prints_of(rows: Sequence[Row], spec: Spec) -> Prints:
    """The fingerprints of members."""
    return Prints(
        spec, values_of([row.value for row in rows], spec), np.array([row.quality for row in rows], np.float32)
    )
