"""Zip archives, entry by entry, from their directory or, where that is lost, from the entries themselves.

After APPNOTE.TXT 6.3.10 (4.3.6 to 4.3.16, 4.5.3). Each entry is read by itself from any thread or process: the
archive's directory is not parsed again for it, as it would be with the standard library's reader.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from imkin.sources import Filter
from imkin.sources.archive import INSIDE, ArchiveLimits, Names, Place, wants
from imkin.sources.folder import SNIFF_BYTES
from imkin.sources.packed import unzstd
from imkin.types import Failure

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")

STORED, DEFLATE, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
METHODS = (STORED, DEFLATE, BZIP2, LZMA, ZSTD)
ENCRYPTED, SIZES_AFTER, UTF8 = 0x1, 0x8, 0x800
LINK = 0o120000
# The end record stands in the last bytes: its own 22 and a comment of at most 65,535.
TAIL_BYTES = 22 + 65535


class Entry(NamedTuple):
    """What the archive says of an entry. at: where its local header begins; size: unpacked; both in bytes."""

    name: str
    at: int
    packed: int
    size: int
    crc: int
    method: int
    flags: int


class DamageError(Exception):
    """The archive's directory cannot be followed; the text says how far."""


@dataclass(frozen=True, slots=True)
class ZipItem:
    """One entry of a zip archive; see `imkin.sources.Item`."""

    path: str
    key: str
    mtime_ns: int
    root: int
    archive: str
    entry: Entry

    @property
    def size(self) -> int:
        """Unpacked."""
        return self.entry.size

    @property
    def source(self) -> str:
        """From an archive."""
        return "archive"

    def read(self) -> bytes:
        """The entry unpacked. Raises OSError if it is damaged or longer than the directory says."""
        data = _unpack(self.archive, self.entry, most=self.entry.size + 1)
        if len(data) != self.entry.size or zlib.crc32(data) != self.entry.crc:
            raise OSError("the entry is damaged: it is not what its checksum was made of")
        return data


def entries(place: Place, wanted: Filter, limits: ArchiveLimits) -> Iterator[ZipItem | Failure]:
    """See `archive.walk`."""
    found, damage = _list(place, limits)
    if damage:
        yield Failure(place.path, "open", damage)
    left = limits.most_unpacked(place.size)
    names = Names()
    for entry in sorted(found, key=lambda entry: (entry.name.split("/"), entry.at)):
        if not wants(entry.name, entry.size, wanted, lambda entry=entry: _head(place.absolute, entry)):  # type: ignore[misc]
            continue
        inside = INSIDE + names.unique(entry.name)
        refusal = _refusal(entry, limits)
        if refusal:
            yield Failure(place.path + inside, "read", refusal)
            continue
        left -= entry.size
        if left < 0:
            yield Failure(
                place.path, "open", "it unpacks to more than an archive of its size may: the rest is left out"
            )
            return
        yield ZipItem(place.path + inside, place.absolute + inside, place.mtime_ns, place.root, place.absolute, entry)


def _refusal(entry: Entry, limits: ArchiveLimits) -> str:
    if entry.flags & ENCRYPTED:
        return "the entry is encrypted"
    if entry.method not in METHODS:
        return f"the entry is packed by method {entry.method}, which cannot be read"
    return limits.refusal(entry.size, entry.packed)


def _list(place: Place, limits: ArchiveLimits) -> tuple[list[Entry], str]:
    """All entries that can be found, and what is wrong with the archive ("" if nothing is)."""
    found: list[Entry] = []
    with open(place.absolute, "rb") as file:
        try:
            for entry in _directory(file, place.size):
                if len(found) >= limits.entries:
                    return found, f"it has more than {limits.entries} entries: the rest is left out"
                found.append(entry)
            return found, ""
        except (DamageError, struct.error) as error:
            found = _salvage(file, place.size, limits)
            return found, f"the archive is damaged ({error}): {len(found)} entries could be found"


def _directory(file: BinaryIO, size: int) -> Iterator[Entry]:
    count, length, shift, at = _find_directory(file, size)
    file.seek(at)
    end = at + length
    for _ in range(count):
        fixed = file.read(CENTRAL.size)
        if file.tell() > end or fixed[:4] != b"PK\1\2":
            raise DamageError("its directory ends early")
        (_, _, _, flags, method, _, _, crc, packed, whole, named, extra, comment, _, _, mode, local) = CENTRAL.unpack(
            fixed
        )
        name = file.read(named)
        packed, whole, local = _sizes64(file.read(extra), packed, whole, local)
        file.seek(comment, 1)
        if name.endswith(b"/") or (mode >> 16) & 0o170000 == LINK:
            continue
        yield Entry(_name(name, flags), local + shift, packed, whole, crc, method, flags)


def _find_directory(file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """Entries, bytes, how far all offsets are shifted (by a program put before the archive), and where it begins."""
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    tail = file.read(TAIL_BYTES)
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise DamageError("its directory is missing")
    _, _, _, _, count, length, offset, _ = END.unpack_from(tail, at)
    end = start + at
    if at >= LOCATOR.size and tail[at - LOCATOR.size :][:4] == b"PK\6\7":
        _, _, end64, _ = LOCATOR.unpack_from(tail, at - LOCATOR.size)
        file.seek(end64)
        record = file.read(END64.size)
        if record[:4] != b"PK\6\6":
            raise DamageError("its 64-bit directory is missing")
        _, _, _, _, _, _, _, count, length, offset = END64.unpack(record)
        end = end64
    begins = end - length
    if begins < 0 or begins < offset:
        raise DamageError("its directory is not where it should be")
    return count, length, begins - offset, begins


def _sizes64(extra: bytes, packed: int, whole: int, local: int) -> tuple[int, int, int]:
    """The 64-bit values of those of the three that are all ones (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            whole = next(values, whole) if whole == 0xFFFFFFFF else whole
            packed = next(values, packed) if packed == 0xFFFFFFFF else packed
            local = next(values, local) if local == 0xFFFFFFFF else local
        at += 4 + length
    return packed, whole, local


def _name(raw: bytes, flags: int) -> str:
    """UTF-8 where it is said or where it fits, else code page 437 (4.4.4, appendix D)."""
    if flags & UTF8:
        return raw.decode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _salvage(file: BinaryIO, size: int, limits: ArchiveLimits) -> list[Entry]:
    """Entries by their local headers, from the front, as far as one leads to the next."""
    found: list[Entry] = []
    at, unpacked = 0, 0
    while len(found) < limits.entries and unpacked <= limits.most_unpacked(size):
        file.seek(at)
        fixed = file.read(LOCAL.size)
        if len(fixed) < LOCAL.size or fixed[:4] != b"PK\3\4":
            break
        _, _, flags, method, _, _, crc, packed, whole, named, extra = LOCAL.unpack(fixed)
        name = file.read(named)
        packed, whole, _ = _sizes64(file.read(extra), packed, whole, 0)
        after = file.tell()
        if flags & SIZES_AFTER:
            measured = _measure(file, method, limits.entry_bytes)
            if measured is None:
                break
            packed, whole, crc = measured
            file.seek(after + packed)
            # The descriptor (4.3.9): an optional mark, the checksum, and two sizes of 4 or 8 bytes.
            descriptor = file.read(24)
            at = after + packed + max(descriptor.find(b"PK\3\4"), 0)
            if b"PK\3\4" not in descriptor:
                at += 16 if descriptor[:4] == b"PK\7\x08" else 12
        else:
            at = after + packed
        if after + packed > size:
            break
        unpacked += whole
        if not name.endswith(b"/"):
            found.append(
                Entry(_name(name, flags), after - LOCAL.size - named - extra, packed, whole, crc, method, flags)
            )
    return found


def _measure(file: BinaryIO, method: int, most: int) -> tuple[int, int, int] | None:
    """Packed size, size and checksum of a deflated stream that begins here; None if it does not end in time."""
    if method != DEFLATE:
        return None
    stream = zlib.decompressobj(-15)
    taken, whole, crc = 0, 0, 0
    pending = b""
    while not stream.eof and whole <= most:
        fresh = b"" if pending else file.read(1 << 16)
        if not pending and not fresh:
            return None
        try:
            data = stream.decompress(pending or fresh, 1 << 20)
        except zlib.error:
            return None
        taken += len(fresh)
        pending = stream.unconsumed_tail
        whole += len(data)
        crc = zlib.crc32(data, crc)
    return (taken - len(stream.unused_data), whole, crc) if stream.eof else None


def _head(archive: str, entry: Entry) -> bytes:
    if entry.flags & ENCRYPTED or entry.method not in METHODS:
        return b""
    try:
        return _unpack(archive, entry, most=SNIFF_BYTES, packed_most=4096)
    except OSError:
        return b""


def _unpack(archive: str, entry: Entry, *, most: int, packed_most: int | None = None) -> bytes:
    """The first `most` bytes of an entry; from its first packed_most bytes if that is given."""
    with open(archive, "rb") as file:
        file.seek(entry.at)
        fixed = file.read(LOCAL.size)
        if len(fixed) < LOCAL.size or fixed[:4] != b"PK\3\4":
            raise OSError("the entry is damaged: it does not begin where the directory says")
        *_, named, extra = LOCAL.unpack(fixed)
        file.seek(named + extra, 1)
        packed = file.read(entry.packed if packed_most is None else min(entry.packed, packed_most))
    try:
        return _decompress(packed, entry.method, most)
    except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise OSError(f"the entry is damaged: {error}") from None


def _decompress(packed: bytes, method: int, most: int) -> bytes:
    if method == STORED:
        return packed[:most]
    if method == DEFLATE:
        return zlib.decompressobj(-15).decompress(packed, most)
    if method == BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, most)
    if method == ZSTD:
        return unzstd(packed, most)
    # 5.8.8: version (2 bytes), length of the properties (2), properties; the rest is as in an .lzma file, whose
    # header has the length of the data after the properties: here unknown.
    length = int.from_bytes(packed[2:4], "little")
    whole = packed[4 : 4 + length] + b"\xff" * 8 + packed[4 + length :]
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(whole, most)
