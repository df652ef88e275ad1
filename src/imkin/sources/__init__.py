"""Sources: each module yields the items of one kind of place.

An `Item` is known before its bytes are read, so that a catalogue can answer for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Item(Protocol):
    """One thing that may be an image, not yet read."""

    @property
    def path(self) -> str:
        """As shown to people."""

    @property
    def key(self) -> str:
        """Absolute and unique: what the catalogue knows it by."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def mtime_ns(self) -> int:
        """Of its last change."""

    @property
    def root(self) -> int:
        """Index of the argument it was reached from."""

    @property
    def source(self) -> str:
        """What kind of place it comes from: `file`, `archive`, …"""

    def read(self) -> bytes:
        """All bytes; raises OSError when that fails."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files of a folder are wanted.

    include, exclude: globs without regard to case; one with a `/` is held against the path below the root, one
    without against every name on that path. min_size: bytes. hidden: also names that start with a dot.
    url_column, allow_private: of a table of URLs, its column, and whether addresses of the local network are reached.
    """

    recursive: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_size: int = 0
    hidden: bool = False
    follow_links: bool = False
    url_column: str | None = None
    allow_private: bool = False
