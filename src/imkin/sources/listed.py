"""What a job over shards is to read: files here or in a store, rows of URLs, files that a table lists."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from imkin.errors import UsageError
from imkin.sources import Filter, archive, folder, place, table
from imkin.sources.delimited import SAMPLE_ROWS, URL
from imkin.types import Failure

PATH_COLUMNS = ("path", "file", "filename", "file_path", "image_path", "image", "url")


@dataclass(frozen=True, slots=True)
class Listed:
    """One thing to be read; see `imkin.sources.Item`. place: a path, a store's URL, or an http address to fetch."""

    path: str
    place: str
    size: int
    mtime_ns: int
    root: int
    source: str = "file"

    @property
    def key(self) -> str:
        """Its place."""
        return self.place

    @property
    def fetched(self) -> bool:
        """Whether it has to be downloaded before it can be read."""
        return URL.match(self.place) is not None

    def read(self) -> bytes:
        """All bytes."""
        return place.read_bytes(self.place)


def walk(paths: Sequence[str], wanted: Filter) -> Iterator[Listed | Failure]:
    """Everything below the paths in their order, nothing of it read. UsageError for an archive."""
    for root, path in enumerate(paths):
        if place.is_remote(path) and not table.is_table(path):
            for name, size in place.files_below(path):
                if name.lower().endswith(folder.IMAGE_ENDINGS) and size >= wanted.min_size:
                    yield Listed(name, name, size, 0, root)
        elif table.is_table(path) and not os.path.isdir(path):
            yield from _rows(path, root)
        elif archive.is_archive(path) and not os.path.isdir(path):
            raise UsageError(f"{path}: archives are not read in shards; unpack it, or leave --work out")
    plain = [at for at, path in enumerate(paths) if not (place.is_remote(path) or _is_file_of_many(path))]
    for entry in folder.walk([paths[at] for at in plain], wanted):
        if isinstance(entry, Failure):
            yield entry
        else:
            yield Listed(entry.path, entry.key, entry.size, entry.mtime_ns, plain[entry.root])


def _is_file_of_many(path: str) -> bool:
    return not os.path.isdir(path) and (table.is_table(path) or archive.is_archive(path))


def _rows(path: str, root: int) -> Iterator[Listed]:
    opened = table.open_table(path)
    column = _column(opened)
    for row, cell in enumerate(opened.column(column), start=1):
        value = cell.strip()
        if URL.fullmatch(value):
            yield Listed(f"{path}!{row}!{value}", value, 0, 0, root, "row")
        elif value:
            # A relative name is one beside the list.
            full = value if place.is_remote(value) else os.path.join(os.path.dirname(os.path.abspath(path)), value)
            yield Listed(full, full, 0, 0, root)


def _column(opened: table.Table) -> int:
    """The column of a table that holds URLs or names of files."""
    names = [name.casefold() for name in opened.header]
    for wanted in PATH_COLUMNS:
        if wanted in names:
            return names.index(wanted)
    if not names or len(names) == 1:
        return 0
    if any(URL.fullmatch(cell) for row in islice(opened.rows(), SAMPLE_ROWS) for cell in row):
        return table.url_column(opened)
    raise UsageError(f"{opened.path}: name the column of files `path`; its columns: {', '.join(opened.header)}")
