"""What a job over shards is to read: files here or in a store, what lies in archives and videos, rows of URLs, files
that a table lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from imkin.errors import UsageError
from imkin.sources import Filter, archive, folder, inside, place, table, video
from imkin.sources.delimited import SAMPLE_ROWS, URL
from imkin.types import Failure

PATH_COLUMNS = ("path", "file", "filename", "file_path", "image_path", "image", "url")


@dataclass(frozen=True, slots=True)
class Listed:
    """One thing to be read; see `imkin.sources.Item`. place: a path, a store's URL, or an http address to fetch.

    within: where it lies in an archive or a video (see `sources.inside`).
    """

    path: str
    place: str
    size: int
    mtime_ns: int
    root: int
    source: str = "file"
    within: str = ""

    @property
    def key(self) -> str:
        """Its place."""
        return self.place

    @property
    def fetched(self) -> bool:
        """Whether it has to be downloaded before it can be read."""
        return not self.within and URL.match(self.place) is not None

    def read(self) -> bytes:
        """All bytes."""
        return inside.read(self.within, self.size) if self.within else place.read_bytes(self.place)


def walk(paths: Sequence[str], wanted: Filter, *, max_pixels: int) -> Iterator[Listed | Failure]:
    """Everything below the paths, nothing of it read: folders and files first, as `places.walk` has it.

    max_pixels: of a video's frames. UsageError for an archive or a video in a store.
    """
    kinds = [_kind(path) for path in paths]
    plain = [at for at, kind in enumerate(kinds) if kind == "plain"]
    for entry in folder.walk([paths[at] for at in plain], wanted):
        if isinstance(entry, Failure):
            yield entry
        else:
            yield Listed(entry.path, entry.key, entry.size, entry.mtime_ns, plain[entry.root])
    for wanted_kind in ("store", "archive", "table", "video"):
        for root, (path, kind) in enumerate(zip(paths, kinds, strict=True)):
            if kind != wanted_kind:
                continue
            if kind == "store":
                yield from _stored(path, wanted, root)
            elif kind == "table":
                yield from _rows(path, root, wanted.url_column)
            else:
                yield from _within(path, kind, wanted, root, max_pixels)


def _kind(path: str) -> str:
    if not place.is_remote(path) and os.path.isdir(path):
        return "plain"
    if table.is_table(path):
        return "table"
    several = "archive" if archive.is_archive(path) else "video" if video.is_video(path) else ""
    if not place.is_remote(path):
        return several or "plain"
    if several:
        raise UsageError(f"{path}: what lies in an archive or a video is not read from a store; copy it to a disk")
    return "store"


def _stored(path: str, wanted: Filter, root: int) -> Iterator[Listed]:
    start = path.rstrip("/") + "/"
    for name, size in place.files_below(path):
        below = name.removeprefix(start) if name != path else os.path.basename(name)
        if archive.wants(below, size, wanted, bytes):
            yield Listed(name, name, size, 0, root)


def _within(path: str, kind: str, wanted: Filter, root: int, max_pixels: int) -> Iterator[Listed | Failure]:
    if kind == "archive":
        entries = archive.walk(path, wanted, root=root)
    else:
        from imkin.sources import video_moments

        entries = video_moments.walk(path, root=root, max_pixels=max_pixels)
    for entry in entries:
        if isinstance(entry, Failure):
            yield entry
        else:
            yield Listed(entry.path, entry.key, entry.size, entry.mtime_ns, root, entry.source, inside.locator(entry))


def _rows(path: str, root: int, named: str | None) -> Iterator[Listed]:
    opened = table.open_table(path)
    column = _column(opened) if named is None else table.url_column(opened, named)
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
