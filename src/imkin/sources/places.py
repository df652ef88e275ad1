"""Any place a person may name: a folder, an image file, an archive, a table of URLs, a video, or one thing in these.

What lies inside a file is shown, and may be named, as `album.zip!/a/b.jpg`, `urls.csv!12!https://…/c.jpg` and
`clip.mp4!/00:01:23.400`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from imkin.errors import MissingPathError
from imkin.image import Limits
from imkin.sources import Filter, Item, archive, folder, table, video
from imkin.types import Failure

Progress = Callable[[str, int, int], None]
Kind = Literal["plain", "archive", "table", "video"]

INSIDE = "!"
"""Between the name of a file and that of what lies inside it."""
ORDER: tuple[Kind, ...] = ("archive", "table", "video")


@dataclass(frozen=True, slots=True)
class _Place:
    """A path that was named. file: what is opened for it. inside: only what is so named, or lies below it."""

    kind: Kind
    file: str
    inside: str | None = None


@dataclass(slots=True)
class Passed:
    """What lies in folders and is not entered, since it must be named: how many videos and archives."""

    videos: int = 0
    archives: int = 0

    def __bool__(self) -> bool:
        return self.videos + self.archives > 0

    def __str__(self) -> str:
        """As in: 2 videos, 1 archive."""
        counts = {"video": self.videos, "archive": self.archives}
        return ", ".join(f"{count:,} {noun}{'s' * (count > 1)}" for noun, count in counts.items() if count)

    def see(self, path: str) -> None:
        """Count a file of a folder."""
        self.videos += video.is_video(path)
        self.archives += archive.is_archive(path)


def walk(
    paths: Sequence[str],
    wanted: Filter,
    *,
    limits: Limits = Limits(),
    first: int = 0,
    progress: Progress | None = None,
    passed: Passed | None = None,
) -> Iterator[Item | Failure]:
    """Yield the images of each place: first those of folders and files, then those of archives, tables and videos.

    first: the root's number of the first path. limits: of pictures in tables and videos. progress: of downloads.
    passed: counts the videos and archives in folders, which are not entered.
    Raises MissingPathError for a place that is not there, before anything is yielded from it.
    """
    places = [_place(path) for path in paths]
    plain = [at for at, place in enumerate(places) if place.kind == "plain"]
    for entry in folder.walk([paths[at] for at in plain], wanted, passed=passed.see if passed is not None else None):
        if isinstance(entry, folder.FileItem) and (first or len(plain) < len(paths)):
            yield replace(entry, root=first + plain[entry.root])
        else:
            yield entry
    for kind in ORDER:
        for at, place in enumerate(places):
            if place.kind == kind:
                yield from _chosen(_inside(place, wanted, first + at, limits, progress), place)


def identity(path: str) -> str:
    """A path without links and turns, so that two names of one thing are equal; also of what lies inside a file."""
    if INSIDE in path and not os.path.lexists(path):
        for at, letter in enumerate(path):
            if letter == INSIDE and os.path.isfile(path[:at]):
                return os.path.realpath(path[:at]) + path[at:]
    return os.path.realpath(path)


def _place(path: str) -> _Place:
    if os.path.isdir(path):
        return _Place("plain", path)
    if not os.path.lexists(path):
        for at, letter in enumerate(path):
            if letter == INSIDE and os.path.isfile(path[:at]) and (kind := _kind(path[:at])) != "plain":
                return _Place(kind, path[:at], path)
    return _Place(_kind(path), path)


def _kind(path: str) -> Kind:
    if archive.is_archive(path):
        return "archive"
    if table.is_table(path):
        return "table"
    return "video" if video.is_video(path) else "plain"


def _inside(
    place: _Place, wanted: Filter, root: int, limits: Limits, progress: Progress | None
) -> Iterator[Item | Failure]:
    if place.kind == "archive":
        yield from archive.walk(place.file, wanted, root=root)
    elif place.kind == "table":
        from imkin.sources import fetched
        from imkin.sources.download import FetchOptions
        from imkin.sources.web import WebLimits

        options = FetchOptions(web=WebLimits(allow_private=wanted.allow_private), image=limits)
        yield from fetched.walk(place.file, root=root, column=wanted.url_column, options=options, progress=progress)
    else:
        from imkin.sources import video_moments

        yield from video_moments.walk(place.file, root=root, max_pixels=limits.max_pixels)


def _chosen(entries: Iterator[Item | Failure], place: _Place) -> Iterator[Item | Failure]:
    """What is named; all of it where the whole file is."""
    if place.inside is None:
        yield from entries
        return
    found = False
    for entry in entries:
        about_file = isinstance(entry, Failure) and entry.path == place.file
        if about_file or entry.path == place.inside or entry.path.startswith(place.inside.rstrip("/") + "/"):
            found = True
            yield entry
    if not found:
        raise MissingPathError(f"cannot read {place.inside}: there is no such image in {place.file}")
