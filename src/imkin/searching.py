"""Search of one collection: whatever finds members, the catalogue has the last word.

Candidates come from memory and graphs in files (`nearby`), or from a server (`catalogue.vectors`). Whether a candidate
is there still, its name, and its fingerprint, of which the similarity is measured anew, come from the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from imkin.catalogue.collections import CollectionStore, Row
from imkin.join import nearest
from imkin.scan import Progress
from imkin.segments import prints_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

# Without a number asked for, members are taken in lots of so many until they are below the threshold.
LOT = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A member of a collection and its similarity to what was searched, 0..1. name: its path, as a rule."""

    name: str
    sha256: str
    similarity: float


class Index(Protocol):
    """Finds the members that are worth a look; whatever it keeps beside the members can be made again of them."""

    def near(self, query: Prints, want: int, *, threshold: float) -> NDArray[np.int64]:
        """Numbers of members: the `want` most like the first of `query`, and others as they come, each once.

        query: as `nearest.unit` makes it. Fewer than `want`: there are no others of at least the threshold.
        """

    def wanted(self) -> bool:
        """Whether there are so many members that `make` should be called."""

    def make(self, *, jobs: int | None, progress: Progress | None) -> None:
        """Make the graphs of what has become much, again where they are missing or worn. OutputError."""

    def drop(self) -> None:
        """Remove what it keeps."""


class Searcher:
    """Searches one collection. For any number of threads."""

    def __init__(self, store: CollectionStore, collection: int, spec: Spec, index: Index) -> None:
        self._store = store
        self._collection = collection
        self._spec = spec
        self._index = index

    def search(self, query: Prints, sha256: bytes | None, *, top: int | None, threshold: float) -> tuple[Match, ...]:
        """The members most like the first fingerprint of `query`, by falling similarity, then by age.

        sha256: of the query's content; a member of the same bytes is 1, whatever its quality. Others of a quality
        below the floor are no match, nor is anything for a query of such a quality.
        """
        same = None if sha256 is None else self._store.number_of(self._collection, sha256)
        found = {} if same is None else {row.number: (row, 1.0) for row in self._store.rows(self._collection, [same])}
        if query.quality[0] >= QUALITY_FLOOR:
            self._gather(query, found, top=top, threshold=threshold)
        ranked = sorted(found.values(), key=lambda each: (-each[1], each[0].number))
        return tuple(
            Match(row.name, row.sha256.hex(), similarity) for row, similarity in ranked[:top] if similarity >= threshold
        )

    def _gather(self, query: Prints, found: dict[int, tuple[Row, float]], *, top: int | None, threshold: float) -> None:
        """Add members to `found` until the best `top` of those that are there still are among them."""
        unit = nearest.unit(query)
        want = LOT if top is None else top
        while True:
            numbers = self._index.near(unit, want, threshold=threshold)
            rows = self._store.rows(self._collection, [n for n in numbers.tolist() if n not in found])
            if rows:
                similar = nearest.similarities(query, prints_of(rows, self._spec)).tolist()
                found.update((row.number, (row, s)) for row, s in zip(rows, similar, strict=True))
            enough = top is not None and len(found) >= top
            # Fewer than were asked for are all there are, down to the threshold.
            if enough or len(numbers) < want:
                return
            want *= 4
