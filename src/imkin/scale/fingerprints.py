"""A shard's items become its Parquet file: the scan of one machine, once a shard, wherever a worker is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imkin import image
from imkin.catalogue import Database
from imkin.engine import local
from imkin.scale.job import items_name, prints_name
from imkin.scan import scan
from imkin.sources import Item, place, shards
from imkin.sources.listed import Listed
from imkin.sources.place import Folder
from imkin.types import Failure, Fingerprinter

Make = Callable[[], Fingerprinter]


@dataclass(frozen=True, slots=True)
class Scanner:
    """The step that fingerprints a shard. make: loads the method, once a worker."""

    folder: Folder
    make: Make
    limits: image.Limits

    def __call__(self) -> Callable[[int], tuple[int, int]]:
        """Shard → how many files and failures it has; its file is written when this is known."""
        fingerprinter = self.make()
        return lambda shard: self._scan(shard, fingerprinter)

    def _scan(self, shard: int, fingerprinter: Fingerprinter) -> tuple[int, int]:
        name = prints_name(shard)
        if not self.folder.has(name):
            items = shards.items_of(self.folder.read(items_name(shard)))
            self.folder.write(name, shards.shard_bytes(fingerprinted(items, fingerprinter, self.limits)))
        return shards.counts_of(self.folder.read(name))


def fingerprinted(items: Sequence[Listed], fingerprinter: Fingerprinter, limits: image.Limits) -> shards.Shard:
    """What comes of the items of a shard; those with an address are downloaded first."""
    with tempfile.TemporaryDirectory(prefix="imkin-") as folder, _catalogue() as database:
        ready, failures = _ready(items, folder)
        done = scan(
            ready,
            fingerprinter,
            database=database,
            limits=limits,
            engine=local.serial,
            found=len(items),
            failures=failures,
        )
    values = np.ascontiguousarray(done.prints.values)
    width = values.dtype.itemsize * (values.shape[1] if values.ndim > 1 else 1)
    return shards.Shard(
        done.files, done.root, done.prints.quality, values.view(np.uint8).reshape(-1, width), done.failures
    )


class _catalogue:  # noqa: N801 - a context, not a thing
    def __enter__(self) -> Database:
        self._database = Database(None)
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _ready(items: Sequence[Listed], folder: str) -> tuple[list[Item], list[Failure]]:
    """The items that can be read, and why the others cannot: addresses are downloaded into the folder."""
    items = [_measured(item) for item in items]
    if not any(item.fetched for item in items):
        return list(items), []
    from imkin.sources import fetched

    return fetched.of_addresses(items, folder)


def _measured(item: Listed) -> Listed:
    """An item of a list, which holds names alone, with its size."""
    if item.size or item.fetched:
        return item
    try:
        size, mtime_ns = place.facts_of(item.place)
    except OSError:
        return item  # reading it will say why
    return replace(item, size=size, mtime_ns=mtime_ns)
