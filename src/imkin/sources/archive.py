"""Archives as folders that are only read: zip, cbz, tar, cbt and tar packed with gzip, bzip2, xz or Zstandard.

An entry is shown as `album.zip!/holiday/a.jpg`. Nothing is written to the disk, so a name like `../a.jpg` is only a
name. Archives inside archives are not entered.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from imkin.errors import MissingPathError
from imkin.image import looks_like_an_image
from imkin.sources import Filter, Item
from imkin.sources.folder import IMAGE_ENDINGS, SNIFF_BYTES, SYSTEM_FOLDERS
from imkin.types import Failure

ZIP_ENDINGS = (".zip", ".cbz")
TAR_ENDINGS = (
    ".tar", ".cbt", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst",
)  # fmt: skip

INSIDE = "!/"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What is refused. ratio: of unpacked to packed bytes; pictures hardly pack, 200 is a bomb or a blank sheet.

    Entries below `small_bytes`, and archives that unpack to less than four times that, may have any ratio.
    """

    entry_bytes: int = 512 << 20
    total_bytes: int = 1 << 42
    entries: int = 1_000_000
    ratio: int = 200
    small_bytes: int = 16 << 20

    def refusal(self, size: int, packed: int) -> str:
        """Why an entry of that size may not be unpacked; "" if it may."""
        if size > self.entry_bytes:
            return f"{size} bytes are over the limit of {self.entry_bytes}"
        if size > self.small_bytes and size > self.ratio * packed:
            return f"it unpacks to over {self.ratio} times its size, as an archive bomb does"
        return ""

    def most_unpacked(self, archive_bytes: int) -> int:
        """The most bytes that a whole archive of that size may unpack to."""
        return min(self.total_bytes, max(4 * self.small_bytes, self.ratio * archive_bytes))


def is_archive(path: str) -> bool:
    """Whether path is named like an archive that can be read."""
    return path.lower().endswith(ZIP_ENDINGS + TAR_ENDINGS)


def walk(path: str, wanted: Filter, *, root: int = 0, limits: ArchiveLimits | None = None) -> Iterator[Item | Failure]:
    """Yield the entries that are images by their ending or their first bytes, without unpacking them.

    Entries of a zip come in the order of their names, those of a tar in the tar's own. An entry that may not or
    cannot be unpacked is a Failure, and so is damage to the archive, beside all entries that can still be read.
    Every entry has the archive's own time of change: an archive that was touched is read again.
    Raises MissingPathError if path cannot be read, MissingExtraError if Zstandard is needed and not installed.
    """
    from imkin.sources import tarred, zipped

    limits = limits or ArchiveLimits()
    try:
        facts = os.stat(path)
        open(path, "rb").close()
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror}") from None
    place = Place(path, os.path.abspath(path), facts.st_size, facts.st_mtime_ns, root)
    if path.lower().endswith(ZIP_ENDINGS):
        yield from zipped.entries(place, wanted, limits)
    else:
        yield from tarred.entries(place, wanted, limits)


@dataclass(frozen=True, slots=True)
class Place:
    """An archive: as shown, where it is, its bytes, its time of change, and the index of the argument it is."""

    path: str
    absolute: str
    size: int
    mtime_ns: int
    root: int


class Names:
    """Gives each entry its path in the archive: unique, the second entry of one name gets `#2` added."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """The entry's path below the archive."""
        self._met[name] += 1
        return name if self._met[name] == 1 else f"{name}#{self._met[name]}"


def wants(name: str, size: int, wanted: Filter, head: Callable[[], bytes]) -> bool:
    """Whether an entry is one that is asked for. head: gives its first bytes, called if the name does not tell."""
    *folders, file = name.split("/")
    if (folders and not wanted.recursive) or size < wanted.min_size:
        return False
    if any(folder.casefold() in SYSTEM_FOLDERS for folder in folders):
        return False
    parts = [part for part in (*folders, file) if part not in ("", ".", "..")]
    if not wanted.hidden and any(part.startswith(".") for part in parts):
        return False
    if any(_matches(wanted.exclude, part, "/".join(parts[: at + 1])) for at, part in enumerate(parts)):
        return False
    if wanted.include and not any(_matches(wanted.include, part, name) for part in parts):
        return False
    return os.path.splitext(file)[1].lower() in IMAGE_ENDINGS or looks_like_an_image(head()[:SNIFF_BYTES])


def _matches(globs: tuple[str, ...], part: str, relative: str) -> bool:
    part, relative = part.casefold(), relative.casefold()
    return any(fnmatchcase(relative if "/" in glob else part, glob.casefold()) for glob in globs)
