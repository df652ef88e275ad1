"""Bytes that are in memory already: an upload, or what a program made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BytesItem:
    """An image by its bytes; see `imkin.sources.Item`. path: what people are to see, not a place on the disk."""

    path: str
    data: bytes
    root: int = 0

    @property
    def key(self) -> str:
        """Of the content, so that the same bytes under another name are known."""
        return f"bytes:{hashlib.sha256(self.data).hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes there are."""
        return len(self.data)

    @property
    def mtime_ns(self) -> int:
        """Bytes in memory do not change."""
        return 0

    @property
    def source(self) -> str:
        """They come from nowhere on the disk."""
        return "bytes"

    def read(self) -> bytes:
        """The bytes."""
        return self.data
