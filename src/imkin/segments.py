"""The graphs of a collection of vectors, in files beside the catalogue: made from it, and again when they are gone.

Members are cut into segments by their numbers: numbers are never given twice and fingerprints never change, so a
segment's file holds good for ever; a member that was removed is left out when it is looked up in the catalogue. The
last segment is not full, and is made anew as the collection grows. A file's name says whose it is and at which
generation it was made: what a catalogue that was put back from a copy has not come to yet is no longer its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imkin.catalogue.collections import CollectionStore, Row
from imkin.catalogue.vectors import EXACT
from imkin.errors import OutputError
from imkin.join import nearest
from imkin.join.ann import ROUGH, Graph, Numbers, Vectors
from imkin.prints import values_of
from imkin.types import QUALITY_FLOOR, Prints, Spec

NAME = re.compile(r"([0-9a-f]{16})-(\d+)-(\d+)-(\d+)-(\d+)\.graph")
# Members read from the catalogue at once.
BLOCK = 4096
# A segment in which more than this share of the vectors is of removed members is made anew.
DEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Sizes:
    """From where on a search is quicker otherwise.

    exact_vectors: so many are compared one by one; 120,000 of 256 numbers take 15 ms. segment_bytes: of the vectors
    of one graph, as float32; two graphs are built at once. kept_bytes: of fingerprints that are held in memory
    between searches; where there are more, and no graph, each search reads them from the catalogue. server_vectors: so
    many a PostgreSQL server compares one by one; as many take about 20 ms.
    """

    exact_vectors: int = 120_000
    segment_bytes: int = 1 << 28
    kept_bytes: int = 1 << 29
    server_vectors: int = EXACT

    def segment(self, spec: Spec) -> int:
        """Numbers of one segment."""
        looked = nearest.looked_spec(spec)
        return max(1, self.segment_bytes // (4 * looked.dim // nearest.regions(looked)))


@dataclass(frozen=True, slots=True)
class Segment:
    """Graphs of the members with numbers after `after` up to `upto`: of the whole pictures, then of each region."""

    after: int
    upto: int
    graphs: tuple[Graph, ...]


class Segments:
    """Opens, makes and removes the graphs of one collection in a folder."""

    def __init__(self, folder: str, store: CollectionStore, collection: int, spec: Spec, sizes: Sizes) -> None:
        self._folder = folder
        self._store = store
        self._collection = collection
        self._spec, self._looked = spec, nearest.looked_spec(spec)
        self._step = sizes.segment(spec)

    def open(self) -> tuple[Segment, ...]:
        """The segments there are, from the first number on without a gap."""
        found: list[Segment] = []
        files = self._files()
        end = 0
        while begun := [upto for after, upto in files if after == end]:
            end = max(begun)
            try:
                graphs = tuple(Graph.load(path) for path in files[found[-1].upto if found else 0, end])
            except OSError:
                break
            found.append(Segment(found[-1].upto if found else 0, end, graphs))
        return tuple(found)

    def build(self, *, jobs: int | None, progress: Callable[[str, int, int], None] | None = None) -> None:
        """Make the segments that are missing, have grown, or hold too many removed members. OutputError."""
        generation, _, last = self._store.state(self._collection)
        there = {(segment.after, segment.upto): segment for segment in self.open()}
        wanted = [(after, min(after + self._step, last)) for after in range(0, last, self._step)]
        missing = [bounds for bounds in wanted if bounds not in there or self._worn(there[bounds])]
        parts = range(nearest.regions(self._looked))
        tasks = [(after, upto, part) for after, upto in missing for part in parts]
        try:
            os.makedirs(self._folder, exist_ok=True)
            with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
                for done, _ in enumerate(pool.map(partial(self._make, generation), tasks), 1):
                    if progress:
                        progress("indexing", done, len(tasks))
            _sync_folder(self._folder)
        except OSError as error:
            raise OutputError(f"cannot write the index {self._folder}: {error.strerror or error}") from None
        kept = {name for bounds in wanted for name in self._newest(bounds)}
        for name in self._names():
            if name not in kept:
                _unlink(os.path.join(self._folder, name))

    def forget_later(self) -> None:
        """Remove what was made at a generation that the catalogue has not come to: it was put back from a copy.

        To be called before it goes on, and comes to that generation by other ways.
        """
        names = self._parsed()
        # After the names are read: what another process makes meanwhile is not among them.
        generation, _, _ = self._store.state(self._collection)
        for name, made, _, _ in names:
            if made > generation:
                _unlink(os.path.join(self._folder, name))

    def remove(self) -> None:
        """Remove all files of the collection."""
        for name in self._names():
            _unlink(os.path.join(self._folder, name))

    def _make(self, generation: int, task: tuple[int, int, int]) -> None:
        after, upto, part = task
        numbers, vectors = self._vectors(after, upto, part)
        path = os.path.join(self._folder, f"{self._collection:016x}-{generation}-{after}-{upto}-{part}.graph")
        temporary = f"{path}.{secrets.token_hex(6)}.part"
        try:
            Graph.build(numbers, vectors).save(temporary)
            os.replace(temporary, path)
        except BaseException:
            _unlink(temporary)
            raise

    def _vectors(self, after: int, upto: int, part: int) -> tuple[Numbers, Vectors]:
        dim = self._looked.dim // nearest.regions(self._looked)
        numbers = np.empty(self._store.count(self._collection, after=after, upto=upto), np.int64)
        vectors = np.empty((len(numbers), dim), np.float32)
        count = 0
        for rows in blocks(self._store, self._collection, after=after, upto=upto):
            # Rows may be removed while they are read, never come in between.
            good = [row for row in rows if row.quality >= QUALITY_FLOOR]
            some = nearest.looked_at(prints_of(good, self._spec)).values
            numbers[count : count + len(good)] = [row.number for row in good]
            vectors[count : count + len(good)] = some[:, part * dim : (part + 1) * dim]
            count += len(good)
        return numbers[:count], vectors[:count]

    def _worn(self, segment: Segment) -> bool:
        there = self._store.count(self._collection, after=segment.after, upto=segment.upto)
        return len(segment.graphs[0]) * (1 - DEAD_SHARE) > there

    def _names(self) -> list[str]:
        prefix = f"{self._collection:016x}-"
        with contextlib.suppress(OSError):
            return sorted(name for name in os.listdir(self._folder) if name.startswith(prefix))
        return []

    def _parsed(self) -> list[tuple[str, int, tuple[int, int], int]]:
        """Of each file: name, generation, bounds, part."""
        found = []
        for name in self._names():
            if match := NAME.fullmatch(name):
                generation, after, upto, part = map(int, match.groups()[1:])
                found.append((name, generation, (after, upto), part))
        return found

    def _newest(self, bounds: tuple[int, int]) -> list[str]:
        """The files of one segment: those of the newest generation of which all are there."""
        made: dict[int, dict[int, str]] = {}
        for name, generation, its, part in self._parsed():
            if its == bounds:
                made.setdefault(generation, {})[part] = name
        whole = [g for g, parts in made.items() if len(parts) == nearest.regions(self._looked)]
        return [made[max(whole)][part] for part in sorted(made[max(whole)])] if whole else []

    def _files(self) -> dict[tuple[int, int], list[str]]:
        bounds = {its for _, _, its, _ in self._parsed()}
        found = {its: [os.path.join(self._folder, name) for name in self._newest(its)] for its in bounds}
        return {its: names for its, names in found.items() if names}


def candidates(
    segments: Sequence[Segment], query: Prints, count: int, *, threshold: float
) -> tuple[NDArray[np.int64], Vectors]:
    """About `count` numbers of the members most like the first of `query`, as `nearest.unit` makes it, and roughly how.

    Those of at least the threshold, and some within ROUGH below it.
    """
    cost = np.float32(nearest.region_cost(query.spec))
    parts = np.asarray(query.values[0], np.float32).reshape(nearest.regions(query.spec), -1)
    found: list[tuple[Numbers, Vectors]] = [(np.empty(0, np.int64), np.empty(0, np.float32))]
    for segment in segments:
        numbers, similar = segment.graphs[0].search(parts, count)
        similar[1:] -= cost
        found.append((numbers.ravel(), similar.ravel()))
        for graph in segment.graphs[1:]:
            numbers, similar = graph.search(parts[:1], count)
            found.append((numbers.ravel(), similar.ravel() - cost))
    numbers, similar = (np.concatenate(each) for each in zip(*found, strict=True))
    keep = (numbers >= 0) & (similar >= threshold - ROUGH)
    numbers, similar = numbers[keep], similar[keep]
    order = np.lexsort((numbers, -similar))
    _, first = np.unique(numbers[order], return_index=True)
    order = order[np.sort(first)][:count]
    return numbers[order], similar[order]


def blocks(store: CollectionStore, collection: int, *, after: int, upto: int) -> Iterator[list[Row]]:
    """The members with numbers after `after` up to `upto`, in lots."""
    while rows := store.block(collection, after=after, upto=upto, limit=BLOCK):
        yield rows
        after = rows[-1].number


def prints_of(rows: Sequence[Row], spec: Spec) -> Prints:
    """The fingerprints of members."""
    quality = np.array([row.quality for row in rows], np.float32)
    return Prints(spec, values_of([row.value for row in rows], spec), quality)


def _unlink(path: str) -> None:
    # Elsewhere than on POSIX a file that another process has mapped stays until the next time.
    with contextlib.suppress(OSError):
        os.unlink(path)


def _sync_folder(folder: str) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
