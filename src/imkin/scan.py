"""Scan: from items to files, fingerprints and failures, reading no more than the catalogue does not know.

items ─ path, size and mtime unchanged? ─► known content ─► row
    └─ read once ─► sha256 ─ known content? ─► row
                          └─ decode ─► fingerprint ─► catalogue ─► row
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.catalogue import Database, Known, PrintStore
from imkin.errors import StoppedError
from imkin.join.ssim_store import GrayStore
from imkin.prints import values_of
from imkin.sources import Item
from imkin.sources.places import Passed
from imkin.types import Failure, File, Fingerprinter, Map, Pixels, Prints, Spec

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how much of it is done, and how much there is."""

Stop = Callable[[], bool]
"""Asked now and then; the work ends with StoppedError when it says True. What was done by then is kept."""

# What a thread reads, decodes and fingerprints together: bounds its memory, what a stop waits for, and how long the
# last thread works alone. Small pictures are cheaper together; one 12-megapixel JPEG is enough by itself.
BATCH, BATCH_BYTES = 16, 1_000_000
# Items looked up in the catalogue at once.
LOOK_UP = 1000
# DESIGN: an interruption loses at most the last second of work.
SAVE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found: n files with a fingerprint each, in the order of the items, and the failures.

    root: (n,) int64, the index of the argument each file was reached from. made, copied, reused: how many
    fingerprints were computed, were known for the same content elsewhere, and for the very same unchanged file.
    found: items there were, before a sample was taken. grays: of gray images, where they lie; `prints.values` are
    then (n, 8) uint8, the bytes of their int64 indices there, since the pictures together may be larger than memory.
    passed: what lies in folders and was not entered.
    """

    files: tuple[File, ...]
    root: NDArray[np.int64]
    prints: Prints
    failures: tuple[Failure, ...]
    found: int
    made: int
    copied: int
    reused: int
    grays: GrayStore | None = None
    passed: Passed = field(default_factory=Passed)


@dataclass(frozen=True, slots=True)
class _Row:
    """The outcome for one item. value is None for a failure."""

    at: int
    sha256: bytes
    file: File | None
    value: bytes | None
    quality: float
    failure: Failure | None
    how: str


def scan(
    items: Sequence[Item],
    fingerprinter: Fingerprinter,
    *,
    database: Database,
    limits: image.Limits,
    engine: Map,
    found: int,
    grays: GrayStore | None = None,
    failures: Iterable[Failure] = (),
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Scan:
    """Fingerprint the items. failures: those met while the items were listed; they come first in the result.

    grays: takes the pictures of a fingerprinter of gray images, which are decoded in each run.
    """
    work = _Work(fingerprinter, _store(database, fingerprinter.spec, limits), limits, grays)
    rows: list[_Row | None] = [None] * len(items)
    missing: list[int] = []
    for start in range(0, len(items), LOOK_UP):
        chunk = range(start, min(start + LOOK_UP, len(items)))
        for at, row in zip(chunk, work.look_up(items, chunk), strict=True):
            rows[at] = row
            if row is None:
                missing.append(at)
        _check(stop)
    done = len(items) - len(missing)
    batches = _batches([(at, items[at]) for at in missing])
    unsaved: list[_Row] = []
    saved_at = time.monotonic()
    try:
        if progress:
            progress("reading", done, len(items))
        for batch in engine(work.read, batches):
            for row in batch:
                rows[row.at] = row
            unsaved += batch
            done += len(batch)
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                work.save(items, unsaved)
                unsaved, saved_at = [], time.monotonic()
            if progress:
                progress("reading", done, len(items))
            _check(stop)
    finally:
        work.halt.set()
        work.save(items, unsaved)
    return replace(_collect(items, rows, fingerprinter.spec, found=found, failures=failures), grays=grays)


def _batches(missing: Sequence[tuple[int, Item]]) -> Iterator[list[tuple[int, Item]]]:
    batch: list[tuple[int, Item]] = []
    size = 0
    for at, item in missing:
        batch.append((at, item))
        size += item.size
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check(stop: Stop | None) -> None:
    if stop and stop():
        raise StoppedError("stopped; what was read so far is in the catalogue")


def _store(database: Database, spec: Spec, limits: image.Limits) -> PrintStore:
    # A tolerated truncated file has another value than none, so tolerance is part of the print's key;
    # the other limits only decide what fails.
    decoder = f"{spec.id}/{image.VERSION}{'t' if limits.tolerate_truncated else ''}"
    recipe = f"{decoder}/{limits.max_pixels}/{','.join(limits.formats)}"
    return PrintStore(database, spec=decoder, recipe=recipe)


class _Work:
    """What the threads do for one scan."""

    def __init__(
        self, fingerprinter: Fingerprinter, store: PrintStore, limits: image.Limits, grays: GrayStore | None
    ) -> None:
        self._fingerprinter = fingerprinter
        self._spec = fingerprinter.spec
        self._store = store
        self._limits = limits
        self._grays = grays
        self._adding = threading.Lock()
        self.halt = threading.Event()

    def look_up(self, items: Sequence[Item], chunk: range) -> list[_Row | None]:
        """Rows of the items whose file is unchanged and whose content is known, None for the others."""
        keys = [items[at].key for at in chunk]
        seen = self._store.unchanged(keys)
        hits: dict[int, bytes] = {}
        for at, key in zip(chunk, keys, strict=True):
            facts = seen.get(key)
            if facts is not None and facts[:2] == (items[at].size, items[at].mtime_ns):
                hits[at] = facts[2]
        known = self._store.known(dict.fromkeys(hits.values()))
        return [
            self._known_row(at, items[at], known[hits[at]], how="reused")
            if at in hits and self._usable(known.get(hits[at]))
            else None
            for at in chunk
        ]

    def _usable(self, known: Known | None) -> bool:
        """Whether a catalogue row answers for this run: the limits may have become stricter since it was made."""
        if known is None or known.failure is not None:
            return known is not None
        return known.width * known.height <= self._limits.max_pixels and (
            not known.format or known.format in self._limits.formats
        )

    def _known_row(self, at: int, item: Item, known: Known, *, how: str) -> _Row:
        if known.failure is not None:
            stage, reason = known.failure
            failure = Failure(item.path, stage, reason)  # type: ignore[arg-type]
            return _Row(at, known.sha256, None, None, 0.0, failure, how)
        file = _file(item, known.sha256, known.sha1, known.width, known.height, known.format)
        return _Row(at, known.sha256, file, known.value, known.quality, None, how)

    def read(self, batch: Sequence[tuple[int, Item]]) -> list[_Row]:
        """Rows of a batch of items: read, known content reused, the rest decoded and fingerprinted together."""
        rows: list[_Row] = []
        contents: list[tuple[int, Item, bytes, bytes]] = []
        for at, item in batch:
            try:
                data = item.read()
                contents.append((at, item, data, hashlib.sha256(data).digest()))
            except OSError as error:
                rows.append(_failed(at, b"", Failure(item.path, "read", error.strerror or str(error))))
        known = self._store.known(dict.fromkeys(sha256 for *_, sha256 in contents))
        fresh: list[tuple[_Row, Pixels]] = []
        for at, item, data, sha256 in contents:
            if self.halt.is_set():
                break
            answer = known.get(sha256)
            if answer is not None and self._usable(answer):
                rows.append(self._known_row(at, item, answer, how="copied"))
                continue
            row, pixels = self._decode(at, item, data, sha256)
            if pixels is None:
                rows.append(row)
            else:
                fresh.append((row, pixels))
        return rows + self._fingerprint(fresh)

    def _decode(self, at: int, item: Item, data: bytes, sha256: bytes) -> tuple[_Row, Pixels | None]:
        sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
        if self._spec.kind == "bytes":
            measured = image.measure(data, path=item.path, limits=self._limits)
            if isinstance(measured, Failure):
                return _failed(at, sha256, measured), None
            return _Row(at, sha256, _file(item, sha256, sha1, *measured), sha256, 1.0, None, "made"), None
        decoded = image.decode(data, path=item.path, side=self._spec.side, limits=self._limits)
        if isinstance(decoded, Failure):
            return _failed(at, sha256, decoded), None
        file = _file(item, sha256, sha1, decoded.width, decoded.height, decoded.format)
        return _Row(at, sha256, file, None, 0.0, None, "made"), decoded.pixels

    def _fingerprint(self, fresh: Sequence[tuple[_Row, Pixels]]) -> list[_Row]:
        if not fresh:
            return []
        values, quality = self._fingerprinter.embed_batch([pixels for _, pixels in fresh])
        return [
            replace(row, value=self._bytes(value), quality=float(grade))
            for (row, _), value, grade in zip(fresh, values, quality, strict=True)
        ]

    def _bytes(self, value: NDArray[np.uint8]) -> bytes:
        if self._grays is None:
            return np.ascontiguousarray(value).tobytes()
        with self._adding:
            return self._grays.append(value).to_bytes(8, "little")

    def save(self, items: Sequence[Item], rows: Sequence[_Row]) -> None:
        """Hand what was read to the catalogue, in one commit."""
        read = [row for row in rows if row.sha256]
        if read:
            self._store.save(
                ((items[row.at].key, items[row.at].size, items[row.at].mtime_ns, row.sha256) for row in read),
                (
                    (row.file, row.value, row.quality)
                    for row in read
                    if row.file and row.value is not None and self._grays is None
                ),
                ((row.sha256, row.failure) for row in read if row.failure),
            )


def _file(item: Item, sha256: bytes, sha1: bytes, width: int, height: int, format_: str) -> File:
    return File(item.path, item.size, item.mtime_ns, sha256.hex(), sha1.hex(), width, height, format_, item.source)


def _failed(at: int, sha256: bytes, failure: Failure) -> _Row:
    return _Row(at, sha256, None, None, 0.0, failure, "made")


def _collect(
    items: Sequence[Item], rows: Sequence[_Row | None], spec: Spec, *, found: int, failures: Iterable[Failure]
) -> Scan:
    good = [row for row in rows if row is not None and row.file is not None]
    failed = [*failures, *(row.failure for row in rows if row is not None and row.failure)]
    prints = Prints(
        spec,
        values_of([row.value or b"" for row in good], spec),
        np.array([row.quality for row in good], np.float32),
        tuple(row.file.path for row in good if row.file),
        tuple(failed),
    )
    how = [row.how for row in good]
    return Scan(
        files=tuple(row.file for row in good if row.file),
        root=np.array([items[row.at].root for row in good], np.int64),
        prints=prints,
        failures=prints.failures,
        found=found,
        made=how.count("made"),
        copied=how.count("copied"),
        reused=how.count("reused"),
    )
