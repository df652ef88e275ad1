"""A shard's items become its Parquet file: the scan of one machine, once a shard, wherever a worker is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.catalogue import Database
from imkin.engine import local
from imkin.errors import UsageError
from imkin.findings import gray_indices
from imkin.join.ssim_store import GrayStore
from imkin.scale.job import grays_name, items_name, prints_name
from imkin.scale.pictures import GRAY, place_of
from imkin.scale.task import Make
from imkin.scan import Scan, scan
from imkin.sources import Item, place, shards
from imkin.sources.listed import Listed
from imkin.sources.place import Folder
from imkin.types import Failure, Fingerprinter


@dataclass(frozen=True, slots=True)
class Scanner:
    """The step that fingerprints a shard. make: loads the method, once a worker. private: see `Filter`.

    threads: that read, decode and embed batches of pictures; with several the next batches are ready while a network
    on a graphics processor is busy with one.
    """

    folder: Folder
    make: Make
    limits: image.Limits
    private: bool = False
    threads: int = 1

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        """Shard → how many files and failures it has; its file is written when this is known."""
        fingerprinter = self.make()
        return lambda shard: self._scan(shard, fingerprinter)

    def _scan(self, shard: int, fingerprinter: Fingerprinter) -> tuple[int, int]:
        name = prints_name(shard)
        if not self._has(name):
            items = shards.items_of(self.folder.read(items_name(shard)))
            with tempfile.TemporaryDirectory(prefix="imkin-") as temporary, GrayStore(temporary) as grays:
                kept = grays if fingerprinter.spec.kind == "gray image" else None
                done = self._scanned(items, fingerprinter, temporary, kept)
                values = values_of(done.prints.values)
                if kept:
                    # Before the rows that name it: a shard whose rows are there is whole.
                    self.folder.write_chunks(grays_name(shard), grays.chunks())
                    places = (place_of(grays.place(at), shard) for at in gray_indices(done.prints).tolist())
                    values = np.frombuffer(b"".join(places), np.uint8).reshape(-1, GRAY.itemsize)
            made = shards.Shard(done.files, done.root, done.prints.quality, values, done.failures)
            self.folder.write(name, shards.shard_bytes(made))
        return shards.counts_of(self.folder.read(name))

    def _scanned(
        self, items: Sequence[Listed], fingerprinter: Fingerprinter, folder: str, grays: GrayStore | None
    ) -> Scan:
        """What comes of the items of a shard; those with an address are downloaded into the folder first."""
        with _catalogue() as database:
            ready, failures = _ready(items, folder, self.limits, private=self.private)
            return scan(
                ready,
                fingerprinter,
                database=database,
                limits=self.limits,
                engine=local.threads(self.threads),
                found=len(items),
                grays=grays,
                failures=failures,
            )

    def _has(self, name: str) -> bool:
        """Whether the file is there and whole: a disk may have lost a part of it."""
        if not self.folder.has(name):
            return False
        try:
            shards.counts_of(self.folder.read(name))
        except UsageError:
            return False
        return True


def values_of(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(n, bytes): fingerprints as their bytes."""
    values = np.ascontiguousarray(values)
    width = values.dtype.itemsize * (values.shape[1] if values.ndim > 1 else 1)
    return values.view(np.uint8).reshape(-1, width)


class _catalogue:  # noqa: N801 - a context, not a thing
    def __enter__(self) -> Database:
        self._database = Database(None)
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _ready(
    items: Sequence[Listed], folder: str, limits: image.Limits, *, private: bool
) -> tuple[list[Item], list[Failure]]:
    """The items that can be read, and why the others cannot: addresses are downloaded into the folder."""
    items = [_measured(item) for item in items]
    if not any(item.fetched for item in items):
        return list(items), []
    from imkin.sources import fetched
    from imkin.sources.download import FetchOptions
    from imkin.sources.web import WebLimits

    options = FetchOptions(web=WebLimits(allow_private=private), image=limits)
    return fetched.of_addresses(items, folder, options)


def _measured(item: Listed) -> Listed:
    """An item of a list, which holds names alone, with its size."""
    if item.size or item.fetched or item.within:
        return item
    try:
        size, mtime_ns = place.facts_of(item.place)
    except OSError:
        return item  # reading it will say why
    return replace(item, size=size, mtime_ns=mtime_ns)
