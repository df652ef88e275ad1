"""Gray pictures on disk for the time of a run, so that a join of thousands of screens needs little memory.

A picture is kept as it is or, where a sample of it shrinks to a quarter, by zlib: drawn full-HD screens (2 MB) to
1.7 %, 5 ms to write and 3 ms to read; photos would take 30 and 12 ms for 39 %. Decoding again took 17 ms for a PNG.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

# The sample: this many rows from the middle. Screens shrink to below a tenth, photos to a half or more.
SAMPLE_ROWS = 32
COMPRESS_BELOW = 0.25
LEVEL = 1
COPIED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a picture lies in a file of pictures. digest: of its pixels, 16 bytes. shape: height and width.

    packed: shrunk by zlib.
    """

    digest: bytes
    shape: tuple[int, int]
    offset: int
    length: int
    packed: bool


def picture_of(data: bytes, shape: tuple[int, int], *, packed: bool) -> Gray:
    """The picture, read-only, whose bytes these are."""
    return np.frombuffer(zlib.decompress(data) if packed else data, np.uint8).reshape(shape)


class GrayStore:
    """Pictures in a temporary file that is gone when the store is closed; what is read is what was written.

    `load` and `shapes` are what `join.ssim` asks for. Threads may load at once; one adds. folder: where the file
    lies, the system's folder for temporary files by default. OSError: the disk is full.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by close()
        self._lock = threading.Lock()
        self._places: list[Kept] = []
        self._shapes: list[tuple[int, int]] = []
        self._classes: dict[tuple[bytes, tuple[int, int]], int] = {}
        self._same: list[int] = []
        self.bytes = 0

    def append(self, picture: Gray) -> int:
        """Keep a picture, (h, w) uint8, and return its index, 0 first. Equal pictures are written once."""
        raw = picture.tobytes()
        shape = picture.shape[0], picture.shape[1]
        key = hashlib.blake2b(raw, digest_size=16).digest(), shape
        number = self._classes.setdefault(key, len(self._classes))
        if number < len(self._places):
            self._same.append(number)
            self._shapes.append(shape)
            return len(self._same) - 1
        top = max(0, (shape[0] - SAMPLE_ROWS) // 2) * shape[1]
        sample = raw[top : top + SAMPLE_ROWS * shape[1]]
        packed = len(zlib.compress(sample, LEVEL)) < COMPRESS_BELOW * len(sample)
        data = zlib.compress(raw, LEVEL) if packed else raw
        with self._lock:
            self._file.seek(self.bytes)
            self._file.write(data)
        self._places.append(Kept(key[0], shape, self.bytes, len(data), packed))
        self.bytes += len(data)
        self._same.append(number)
        self._shapes.append(shape)
        return len(self._same) - 1

    def load(self, indices: Sequence[int]) -> list[Gray]:
        """The pictures at these indices, read-only."""
        return [self._read(i) for i in indices]

    def _read(self, i: int) -> Gray:
        kept = self.place(i)
        with self._lock:
            self._file.seek(kept.offset)
            data = self._file.read(kept.length)
        return picture_of(data, kept.shape, packed=kept.packed)

    def place(self, i: int) -> Kept:
        """Where a picture lies in what `chunks` gives."""
        return self._places[self._same[i]]

    def chunks(self) -> Iterator[bytes]:
        """All bytes of the file, to be kept elsewhere."""
        self._file.seek(0)
        while chunk := self._file.read(COPIED_BYTES):
            yield chunk

    @property
    def shapes(self) -> NDArray[np.int64]:
        """(n, 2): height and width of each picture."""
        return np.array(self._shapes, np.int64).reshape(-1, 2)

    @property
    def same(self) -> NDArray[np.int64]:
        """(n,) int64: pictures with equal pixels have equal numbers, 0.. in the order of their first ones."""
        return np.array(self._same, np.int64)

    def __len__(self) -> int:
        return len(self._same)

    def __enter__(self) -> GrayStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
