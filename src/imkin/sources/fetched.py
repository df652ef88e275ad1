"""The pictures of a table as items: fetched into a cache once, shown as `urls.csv!12!https://…/a.jpg`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imkin.sources import Item
from imkin.sources.download import FetchOptions, fetch, outcomes
from imkin.sources.listed import Listed
from imkin.sources.table import open_table, url_column, urls
from imkin.types import Failure


@dataclass(frozen=True, slots=True)
class RowItem:
    """The picture of one row; see `imkin.sources.Item`. file: where it was stored."""

    path: str
    key: str
    size: int
    mtime_ns: int
    root: int
    file: str

    @property
    def source(self) -> str:
        """From a row of a table."""
        return "row"

    def read(self) -> bytes:
        """All bytes of the stored picture."""
        with open(self.file, "rb") as file:
            return file.read()


def walk(
    path: str,
    *,
    root: int = 0,
    folder: str | None = None,
    column: str | None = None,
    options: FetchOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[RowItem | Failure]:
    """Fetch what is not there yet, then yield every row that has a picture, in the order of the rows.

    folder: where pictures are stored, default `cache_folder`. A row whose picture cannot be had is a Failure, one
    without a URL is left out. Raises as `open_table`, `url_column` and `fetch` do.
    """
    table = open_table(path)
    rows = urls(table, url_column(table, column))
    folder = folder or cache_folder(path)
    fetch(rows, folder, options=options, progress=progress, stop=stop)
    for outcome in outcomes(rows, folder):
        shown = f"{path}!{outcome.row}!{outcome.url}"
        if outcome.status == "empty":
            continue
        if not outcome.file:
            yield Failure(shown, "read", outcome.error)
            continue
        file = os.path.join(folder, outcome.file)
        try:
            facts = os.stat(file)
        except OSError as error:
            yield Failure(shown, "read", error.strerror or str(error))
            continue
        key = f"{os.path.abspath(path)}!{outcome.row}!{outcome.url}"
        yield RowItem(shown, key, facts.st_size, facts.st_mtime_ns, root, file)


def cache_folder(name: str) -> str:
    """Where the pictures of a table (its path) or of a sheet (its id and range) are kept between runs."""
    from platformdirs import user_cache_dir

    digest = hashlib.sha256(os.path.abspath(name).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return os.path.join(user_cache_dir("imkin"), "fetched", digest)


def of_addresses(
    items: Sequence[Listed], folder: str, options: FetchOptions | None = None
) -> tuple[list[Item], list[Failure]]:
    """Download the items that are addresses into folder: those that can be read, and why the others cannot."""
    places = [item.place if item.fetched else "" for item in items]

    def rows() -> Iterator[tuple[int, str]]:
        return iter(enumerate(places, start=1))

    fetch(rows, folder, options=options)
    ready: list[Item] = []
    failures: list[Failure] = []
    for item, outcome in zip(items, outcomes(rows, folder), strict=True):
        if not item.fetched:
            ready.append(item)
        elif outcome.file:
            file = os.path.join(folder, outcome.file)
            ready.append(RowItem(item.path, item.place, os.path.getsize(file), 0, item.root, file))
        else:
            failures.append(Failure(item.path, "read", outcome.error))
    return ready, failures
