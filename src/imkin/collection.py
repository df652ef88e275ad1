"""Collections: named sets of images that are kept to be searched: «have I seen this picture?», asked again and again.

    library = Library("catalogue.sqlite")
    photos = Collection(library, "photos", by="kin")    # opened, or made if there is none of this name
    photos.add(["photos"])                              # folders, files, archives; only what is new is read
    photos.search("new.jpg", top=5)                     # (Match(name, sha256, similarity), …)

Members are contents (sha256) with a name, that of a file being its absolute path. What a call has returned from is in
the catalogue: it is seen by every later search, of other processes too, and a killed process loses none of it.
Fingerprints that were made elsewhere (a server's workers) go through `add_prints` and `search_prints`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from imkin import image as image_package
from imkin import prints
from imkin.catalogue import Database
from imkin.catalogue.collections import CollectionStore, Row, Stored
from imkin.errors import OutputError, UsageError
from imkin.library import DEFAULT_METHOD, Library
from imkin.nearby import Nearby
from imkin.scan import Progress, Scan, Stop, scan
from imkin.searching import Index, Match, Searcher
from imkin.segments import Segments, Sizes, prints_of
from imkin.sources import Item, archive
from imkin.sources.memory import BytesItem
from imkin.types import QUALITY_FLOOR, Failure, File, Fingerprinter, Prints, Spec

__all__ = ["Added", "Collection", "Match", "Member"]

# Images that are fingerprinted and committed together: bounds memory, and what an interruption loses.
CHUNK = 1000
PAGE = 1000
TOP = 10
MAX_NAME = 100
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Added:
    """What `add` did. added: new contents. known: contents that were there. replaced: old contents of changed files.

    low_quality: names of images too blank or small to be told from others: they are found by their bytes alone.
    """

    added: int
    known: int
    replaced: int
    failures: tuple[Failure, ...]
    low_quality: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One content of a collection. number: rises in the order of adding and is never given again."""

    number: int
    sha256: str
    name: str


class Collection:
    """A named set of images whose fingerprints are kept, for search.

    Opened, or made if there is none of this name (create=False: UsageError). by: the method of a new one, default
    `DEFAULT_METHOD`; one that is there keeps its own, and another one asked for is a UsageError.
    It lives as long as the library, and may be used by several threads. sizes: when a search goes through graphs.
    """

    def __init__(
        self,
        library: Library,
        name: str,
        by: str | Fingerprinter | None = None,
        *,
        turns: bool = False,
        create: bool = True,
        sizes: Sizes = Sizes(),
    ) -> None:
        self._library = library
        self._store = CollectionStore(library.database)
        self._made: Fingerprinter | None = None
        stored = self._store.find(_checked(name))
        if by is not None or (stored is None and create):
            wanted = DEFAULT_METHOD if by is None else by
            self._made = prints.fingerprinter(wanted, turns=turns) if isinstance(wanted, str) else wanted
        if stored is None:
            if not create or self._made is None:
                raise UsageError(f"there is no collection `{name}`; these are there: {_listed(self._store)}")
            if self._made.spec.kind == "gray image":
                raise UsageError(f"method `{self._made.spec.name}` keeps no fingerprints to search; take another one")
            method = by if isinstance(by, str) else self._made.spec.name
            stored = self._store.create(name, method=method, spec=self._made.spec, decoder=self._decoder())
        self._stored = stored
        self._check()
        self._store, self._index = _opened(library.database, stored, sizes)
        self._searcher = Searcher(self._store, stored.id, stored.spec, self._index)

    @classmethod
    def all(cls, library: Library) -> tuple[Collection, ...]:
        """Every collection of a library, by name."""
        return tuple(cls(library, stored.name, create=False) for stored in CollectionStore(library.database).all())

    @property
    def name(self) -> str:
        """Its name."""
        return self._stored.name

    @property
    def method(self) -> str:
        """What it compares by."""
        return self._stored.method

    @property
    def spec(self) -> Spec:
        """What its fingerprints are."""
        return self._stored.spec

    @property
    def created_ns(self) -> int:
        """When it was made, in nanoseconds since 1970 UTC."""
        return self._stored.created_ns

    def __len__(self) -> int:
        return self._store.state(self._stored.id)[1]

    def members(self, *, after: int = 0, limit: int | None = None) -> Iterator[Member]:
        """Members by their number, those of a higher one than `after`, at most `limit`."""
        left = limit
        while left is None or left > 0:
            rows = self._store.block(self._stored.id, after=after, limit=PAGE if left is None else min(left, PAGE))
            if not rows:
                return
            yield from map(_member, rows)
            after = rows[-1].number
            left = None if left is None else left - len(rows)

    def prints(self, sha256s: Sequence[str]) -> tuple[Prints, tuple[Member, ...]]:
        """Fingerprints and members by content (sha256 in hex), in the order given. UsageError for one that is none."""
        numbers = {sha256: self._store.number_of(self._stored.id, bytes.fromhex(sha256)) for sha256 in sha256s}
        rows = {row.number: row for row in self._store.rows(self._stored.id, [n for n in numbers.values() if n])}
        found = [rows.get(numbers[sha256] or 0) for sha256 in sha256s]
        if None in found:
            raise UsageError(f"`{sha256s[found.index(None)]}` is no member of the collection `{self.name}`")
        there = [row for row in found if row is not None]
        return prints_of(there, self.spec), tuple(map(_member, there))

    def add(self, paths: Sequence[str], *, progress: Progress | None = None, stop: Stop | None = None) -> Added:
        """Add the images of folders, files, archives and tables; what is there already is not read again.

        A file whose content has changed replaces what was under its path. Committed by and by: an interrupted call
        has added what came first, and the next one goes on from there.
        """
        items, failures = self._items(paths)
        done = Added(0, 0, 0, tuple(failures), ())
        for chunk, report in _chunks(items, progress):
            scanned = self._library.scan_items(chunk, self._fingerprinter(), progress=report, stop=stop)
            done = _sum(done, self._put(scanned, {item.path: item.key for item in chunk}, replace=True))
        self._index_if_large(progress)
        return done

    def add_bytes(self, images: Iterable[tuple[str, bytes]]) -> Added:
        """Add images by (name, bytes). Names need not differ; the same content again gets the newer name."""
        items: list[Item] = [BytesItem(name, data) for name, data in images]
        added = self._put(self._library.scan_items(items, self._fingerprinter()), {}, replace=False)
        self._index_if_large(None)
        return added

    def add_prints(self, made: Prints, sha256s: Sequence[str], names: Sequence[str], *, index: bool = True) -> Added:
        """Add fingerprints that were made elsewhere; sha256s (of the images' bytes, in hex) and names: one a row.

        index: make graphs where there are many new ones, which may take minutes; else call `index` some time.
        """
        self._check_prints(made)
        rows = [
            (bytes.fromhex(sha256), name, float(quality), np.ascontiguousarray(value).tobytes())
            for sha256, name, quality, value in zip(sha256s, names, made.quality, made.values, strict=True)
        ]
        put = self._store.put(self._stored.id, rows, replace=False)
        low = tuple(name for name, quality in zip(names, made.quality, strict=True) if quality < QUALITY_FLOOR)
        if index:
            self._index_if_large(None)
        return Added(put.added, len(rows) - put.added, put.removed, (), low)

    def remove(self, members: Iterable[str]) -> int:
        """Remove members by sha256 (hex), by path, or all below a folder; returns how many they were.

        UsageError for one that is none; then nothing is removed.
        """
        numbers: set[int] = set()
        for member in members:
            found = self._numbers(member)
            if not found:
                raise UsageError(f"`{member}` is no member of the collection `{self.name}`; nothing was removed")
            numbers.update(found)
        return self._store.remove(self._stored.id, sorted(numbers))

    def delete(self) -> None:
        """Forget the collection and its members. The images stay where they are."""
        self._store.delete(self._stored.id)
        self._index.drop()

    def index(self, *, progress: Progress | None = None) -> None:
        """Make the graphs through which many vectors are searched, now, and again where they are missing or worn.

        Adding does so by itself when there are many new members. Hashes need none. OutputError: they cannot be written.
        """
        self._index.make(jobs=self._library.jobs, progress=progress)

    def search(
        self, image: str | bytes, *, top: int | None = None, threshold: float | None = None
    ) -> tuple[Match, ...]:
        """The members most like an image (a path, or its bytes), by falling similarity, then in order of adding.

        top: so many at most; threshold: only those of at least this similarity, 0..1; neither: the ten best.
        A blank or tiny image is found by its bytes alone. UsageError where the image cannot be read.
        """
        limits = _limits(top, threshold)
        if isinstance(image, bytes):
            # In a catalogue of its own: what is asked for leaves no trace.
            items: list[Item] = [BytesItem("the image", image)]
            with Database(None) as nowhere:
                scanned = scan(
                    items, self._fingerprinter(), database=nowhere, limits=self._library.limits, engine=map, found=1
                )
        else:
            items, failures = self._items([image])
            if len(items) != 1:
                reason = failures[0].reason if failures else f"it holds {len(items)} images"
                raise UsageError(f"search takes one image, not {image}: {reason}")
            scanned = self._library.scan_items(items, self._fingerprinter())
        if scanned.failures:
            raise UsageError(f"cannot search for {scanned.failures[0].path}: {scanned.failures[0].reason}")
        return self._search(scanned.prints, 0, scanned.files[0].sha256, *limits)

    def search_each(
        self,
        paths: Sequence[str],
        *,
        top: int | None = None,
        threshold: float | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[File, bool, tuple[Match, ...]] | Failure]:
        """`search` for every image of folders, files, archives and tables: (file, too blank or small?, matches)."""
        limits = _limits(top, threshold)
        items, failures = self._items(paths)
        yield from failures
        for chunk, report in _chunks(items, progress):
            scanned = self._library.scan_items(chunk, self._fingerprinter(), progress=report)
            yield from scanned.failures
            for at, file in enumerate(scanned.files):
                low = bool(scanned.prints.quality[at] < QUALITY_FLOOR)
                yield file, low, self._search(scanned.prints, at, file.sha256, *limits)

    def search_prints(
        self,
        made: Prints,
        sha256s: Sequence[str] | None = None,
        *,
        top: int | None = None,
        threshold: float | None = None,
    ) -> list[tuple[Match, ...]]:
        """`search` for each of several fingerprints that were made elsewhere. sha256s: of their images, where known."""
        limits = _limits(top, threshold)
        self._check_prints(made)
        return [self._search(made, at, None if sha256s is None else sha256s[at], *limits) for at in range(len(made))]

    def _search(
        self, made: Prints, at: int, sha256: str | None, top: int | None, threshold: float
    ) -> tuple[Match, ...]:
        query = Prints(made.spec, made.values[at : at + 1], made.quality[at : at + 1])
        same = None if sha256 is None else bytes.fromhex(sha256)
        return self._searcher.search(query, same, top=top, threshold=threshold)

    def _index_if_large(self, progress: Progress | None) -> None:
        if self._index.wanted():
            # What was added is in the catalogue and is found without graphs: a full disk is no reason to fail.
            with suppress(OutputError):
                self.index(progress=progress)

    def _items(self, paths: Sequence[str]) -> tuple[list[Item], list[Failure]]:
        items: list[Item] = []
        failures: list[Failure] = []
        for entry in self._library.items(paths):
            if isinstance(entry, Failure):
                failures.append(entry)
            else:
                items.append(entry)
        if not items and not failures:
            raise UsageError(f"no images in {', '.join(paths) or 'no paths'}")
        return items, failures

    def _put(self, scanned: Scan, names: Mapping[str, str], *, replace: bool) -> Added:
        rows = [
            (bytes.fromhex(file.sha256), names.get(file.path, file.path), float(quality), value.tobytes())
            for file, quality, value in zip(scanned.files, scanned.prints.quality, scanned.prints.values, strict=True)
        ]
        put = self._store.put(self._stored.id, rows, replace=replace)
        low = tuple(name for _, name, quality, _ in rows if quality < QUALITY_FLOOR)
        return Added(put.added, len(rows) - put.added, put.removed, scanned.failures, low)

    def _numbers(self, member: str) -> list[int]:
        if SHA256.fullmatch(member):
            number = self._store.number_of(self._stored.id, bytes.fromhex(member))
            if number is not None:
                return [number]
        path = os.path.abspath(member)
        names = dict.fromkeys([member, path, path + archive.INSIDE.rstrip("/")])
        return [number for name in names for number in self._store.numbers_of(self._stored.id, name)]

    def _fingerprinter(self) -> Fingerprinter:
        if self._made is None:
            turns = "turns" in self.spec.params
            self._made = prints.fingerprinter(self.method, turns=turns)
            self._check()
        return self._made

    def _decoder(self) -> str:
        return f"{image_package.VERSION}{'t' if self._library.limits.tolerate_truncated else ''}"

    def _check(self) -> None:
        """Raise UsageError if the collection's fingerprints and those that would be made now cannot be compared."""
        stored = self._stored
        if self._made is not None and self._made.spec.id != stored.spec.id:
            raise UsageError(
                f"the collection `{stored.name}` was made by `{stored.spec.id}`, not by `{self._made.spec.id}`: "
                "search it by that, or make another one"
            )
        if stored.decoder != self._decoder():
            raise UsageError(
                f"the pictures of the collection `{stored.name}` were decoded otherwise ({stored.decoder}, now "
                f"{self._decoder()}): give the same limits, or delete it and add the images again"
            )

    def _check_prints(self, made: Prints) -> None:
        if made.spec.id != self.spec.id:
            raise UsageError(f"the collection `{self.name}` holds `{self.spec.id}`, not `{made.spec.id}`")


def _opened(database: Database, stored: Stored, sizes: Sizes) -> tuple[CollectionStore, Index]:
    """A collection's store, and what its searches go through: the server's tables, or memory and files."""
    if database.server:
        from imkin.catalogue.vectors import ServerVectors

        if ServerVectors.takes(stored.spec):
            vectors = ServerVectors(database, stored, exact=sizes.server_vectors)
            return CollectionStore(database, mirror=vectors), vectors
    store, segments = CollectionStore(database), None
    # Beside the catalogue's file; a catalogue in memory has none.
    if stored.spec.kind in ("unit vector", "record") and database.path is not None and not database.server:
        segments = Segments(f"{database.path}.index", store, stored.id, stored.spec, sizes)
        segments.forget_later()
    return store, Nearby(store, stored.id, stored.spec, segments=segments, sizes=sizes)


def _limits(top: int | None, threshold: float | None) -> tuple[int | None, float]:
    if top is not None and top < 1:
        raise UsageError(f"top must be at least 1, not {top}")
    if threshold is None:
        return TOP if top is None else top, 0.0
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"a threshold is a similarity in 0..1, not {threshold}")
    return top, threshold


def _chunks(items: Sequence[Item], progress: Progress | None) -> Iterator[tuple[Sequence[Item], Progress | None]]:
    """The items in lots, each with a progress that counts on from the lots before."""
    for start in range(0, len(items), CHUNK):
        report = None
        if progress is not None:
            report = partial(_report, progress, start, len(items))
        yield items[start : start + CHUNK], report


def _report(progress: Progress, before: int, total: int, stage: str, done: int, _: int) -> None:
    progress(stage, before + done, total)


def _sum(a: Added, b: Added) -> Added:
    return Added(
        a.added + b.added,
        a.known + b.known,
        a.replaced + b.replaced,
        a.failures + b.failures,
        a.low_quality + b.low_quality,
    )


def _member(row: Row) -> Member:
    return Member(row.number, row.sha256.hex(), row.name)


def _checked(name: str) -> str:
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        raise UsageError(f"a collection's name is 1 to {MAX_NAME} printable characters, not {name!r}")
    return name


def _listed(store: CollectionStore) -> str:
    return ", ".join(f"`{stored.name}`" for stored in store.all()) or "none"
