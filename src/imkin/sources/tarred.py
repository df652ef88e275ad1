"""Tar archives, plain or packed, read from front to back."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from imkin.sources import Filter
from imkin.sources.archive import INSIDE, ArchiveLimits, Names, Place, wants
from imkin.sources.folder import SNIFF_BYTES
from imkin.sources.packed import open_packed, read_from
from imkin.types import Failure

SKIP_BYTES = 1 << 20
# Names and attributes of one entry; a longer header is no header that anyone writes.
HEADER_BYTES = 1 << 20
STREAMS_KEPT = 16


class Streams:
    """Readers of one archive, each at its own place; a read goes on with the nearest one before it.

    Each of several threads that read entries in their order thus unpacks the archive once, not once an entry.
    """

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self._lock = threading.Lock()
        self._idle: list[_Forward] = []
        self._end = weakref.finalize(self, _close_all, self._idle)

    def __reduce__(self) -> tuple[type[Streams], tuple[str]]:
        return Streams, (self.archive,)

    def read(self, at: int, size: int) -> bytes:
        """Size bytes from place `at` of the unpacked archive. Raises OSError."""
        stream = self._take(at)
        try:
            stream.seek(at)
            data = stream.body(size)
        except BaseException:
            stream.close()
            raise
        with self._lock:
            self._idle.append(stream)
            spare = self._idle.pop(0) if len(self._idle) > STREAMS_KEPT else None
        if spare:
            spare.close()
        if len(data) < size:
            raise OSError("the archive ends before the entry does")
        return data

    def _take(self, at: int) -> _Forward:
        with self._lock:
            before = [stream for stream in self._idle if stream.tell() <= at]
            if before:
                nearest = max(before, key=lambda stream: stream.tell())
                self._idle.remove(nearest)
                return nearest
        return _Forward(self.archive)


@dataclass(frozen=True, slots=True)
class TarItem:
    """One entry of a tar archive; see `imkin.sources.Item`. at: where its bytes begin in the unpacked archive."""

    path: str
    key: str
    size: int
    mtime_ns: int
    root: int
    at: int
    streams: Streams = field(compare=False, repr=False)

    @property
    def source(self) -> str:
        """From an archive."""
        return "archive"

    def read(self) -> bytes:
        """The entry's bytes. Raises OSError if the archive is damaged there."""
        return self.streams.read(self.at, self.size)


def entries(place: Place, wanted: Filter, limits: ArchiveLimits) -> Iterator[TarItem | Failure]:
    """See `archive.walk`."""
    streams, names = Streams(place.absolute), Names()
    try:
        stream = _Forward(place.absolute, most=limits.most_unpacked(place.size))
        with stream:
            for number, member in enumerate(_members(stream)):
                if number >= limits.entries:
                    yield Failure(
                        place.path, "open", f"it has more than {limits.entries} entries: the rest is left out"
                    )
                    return
                name = member.name.removeprefix("./")
                head_bytes = min(SNIFF_BYTES, member.size)
                if not member.isreg() or not wants(
                    name,
                    member.size,
                    wanted,
                    lambda count=head_bytes: stream.body(count),  # type: ignore[misc]
                ):
                    continue
                inside = INSIDE + names.unique(name)
                refusal = "a sparse entry" if member.sparse else limits.refusal(member.size, member.size)
                if refusal:
                    yield Failure(place.path + inside, "read", refusal)
                    continue
                yield TarItem(
                    path=place.path + inside,
                    key=place.absolute + inside,
                    size=member.size,
                    mtime_ns=place.mtime_ns,
                    root=place.root,
                    at=member.offset_data,
                    streams=streams,
                )
    except (OSError, tarfile.TarError) as error:
        yield Failure(place.path, "open", f"the archive is damaged, what came before can be read: {error}")


def _members(stream: _Forward) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            # tarfile keeps every member it has met; a million of them are 1 GB.
            tar.members.clear()
            yield member
    if stream.last != bytes(len(stream.last)) or not stream.last:
        # tarfile takes a header that is no header for the end; the end is a block of zeros.
        raise tarfile.ReadError("it ends without its end mark")


class _Forward:
    """An unpacked archive as the file that tarfile reads: seeks go forward only, header reads are bounded."""

    def __init__(self, archive: str, *, most: int | None = None) -> None:
        self._file: IO[bytes] = open_packed(archive)
        self._plain = isinstance(self._file, io.BufferedReader)
        self._at = 0
        self._most = most
        self.last = b""

    def __enter__(self) -> _Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tell(self) -> int:
        """Bytes of the unpacked archive before this place."""
        return self._at

    def read(self, count: int) -> bytes:
        """A header. Raises OSError for one that is too long."""
        if count > HEADER_BYTES:
            raise OSError(f"a header of {count} bytes")
        self.last = self.body(count)
        return self.last

    def body(self, count: int) -> bytes:
        """At most count bytes."""
        data = read_from(self._file, count)
        self._at += len(data)
        if self._most is not None and self._at > self._most:
            raise OSError("it unpacks to more than an archive of its size may")
        return data

    def seek(self, at: int, whence: int = os.SEEK_SET) -> int:
        """Go forward to place `at`; not beyond the end."""
        if whence != os.SEEK_SET or at < self._at:
            raise OSError("only forward")
        if self._plain:
            self._at = self._file.seek(at)
            return self._at
        while self._at < at and self.body(min(at - self._at, SKIP_BYTES)):
            pass
        return self._at


def _close_all(streams: list[_Forward]) -> None:
    for stream in streams:
        stream.close()
