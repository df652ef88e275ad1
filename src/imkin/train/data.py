"""Photos as one array on disk: decoded once, so that the training loop never opens an image."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.errors import MissingPathError, OutputError, UsageError
from imkin.types import Failure

SIDE = 160
# With fewer pictures the negatives in a batch are the same few again and again.
FEWEST = 32


@dataclass(frozen=True, slots=True)
class Photos:
    """n photos squeezed into squares: row i is `pixels[rows[i]]`.

    pixels: (m, 3, SIDE, SIDE) uint8, a read-only memory map. aspect: (m,) float32, width / height before squeezing.
    rows: (n,) int64. label: (m,) int64, equal where the same is shown; None: each shows something of its own.
    paths: of the m photos, where they are files.
    """

    pixels: NDArray[np.uint8]
    aspect: NDArray[np.float32]
    rows: NDArray[np.int64]
    label: NDArray[np.int64] | None = None
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> Photos:
        """Some of the photos; the pixels stay on disk."""
        return replace(self, rows=self.rows[rows])

    def squares(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(len(rows), 3, SIDE, SIDE) uint8."""
        return self.pixels[self.rows[rows]]

    def aspects(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(rows),) float32, width / height."""
        return self.aspect[self.rows[rows]]

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(len(rows),) int64, equal where the same is shown."""
        return self.rows[rows] if self.label is None else self.label[self.rows[rows]]


def listing(folder: str) -> list[str]:
    """All files under a folder, sorted. MissingPathError: there is no such folder."""
    if not os.path.isdir(folder):
        raise MissingPathError(f"no folder of photos at {folder}")
    return sorted(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)


def gather(
    folder: str, cache: str, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Photos, tuple[Failure, ...]]:
    """Decode the photos under `folder` into files beside each other in the folder `cache`, or find them there.

    What is found is used if the photos' paths, sizes and times and the decoder are the same as when it was made.
    Files that are no pictures come back as failures. Raises MissingPathError, UsageError (fewer than FEWEST pictures)
    and OutputError (the cache cannot be written; nothing half-written is left).
    """
    paths = listing(folder)
    key = _key(paths)
    try:
        os.makedirs(cache, exist_ok=True)
        facts = _facts(cache)
        if facts is None or facts.key != key:
            facts = _decode_all(paths, cache, key, progress)
    except OSError as error:
        raise OutputError(f"cannot write the decoded photos into {cache}: {error.strerror or error}") from error
    failures = tuple(Failure(path, "decode", reason) for path, reason in facts.failures)
    if len(facts.aspect) < FEWEST:
        raise UsageError(f"{folder} holds {len(facts.aspect)} pictures; training needs at least {FEWEST}")
    aspect = np.array(facts.aspect, dtype=np.float32)
    pixels = np.load(os.path.join(cache, "photos.npy"), mmap_mode="r")
    failed = {failure.path for failure in failures}
    good = tuple(path for path in paths if path not in failed)
    return Photos(pixels, aspect, np.arange(len(aspect)), paths=good), failures


def _key(paths: list[str]) -> str:
    facts = [[path, *os.stat(path)[6:9:2]] for path in paths]  # size and time of change
    return hashlib.sha256(json.dumps([image.VERSION, SIDE, facts]).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known about decoded photos. aspect: width / height of each; failures: path and reason of the others."""

    key: str
    aspect: list[float]
    failures: list[tuple[str, str]]


def _facts(cache: str) -> _Facts | None:
    try:
        with open(os.path.join(cache, "photos.json"), encoding="utf-8") as file:
            return _Facts(**json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _decode_all(paths: list[str], cache: str, key: str, progress: Callable[[int, int], None] | None) -> _Facts:
    partial = os.path.join(cache, "photos.partial.npy")
    failures: list[tuple[str, str]] = []
    aspect: list[float] = []
    try:
        pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), 3, SIDE, SIDE))
        for i, path in enumerate(paths):
            square = _square(path)
            if isinstance(square, Failure):
                failures.append((path, square.reason))
            else:
                pixels[len(aspect)] = square[0].transpose(2, 0, 1)
                aspect.append(square[1])
            if progress and i % 100 == 0:
                progress(i, len(paths))
        pixels.flush()
        facts = _Facts(key, aspect, failures)
        os.replace(partial, os.path.join(cache, "photos.npy"))
        text = os.path.join(cache, "photos.json")
        with open(text + ".partial", "w", encoding="utf-8") as file:
            json.dump(asdict(facts), file)
        os.replace(text + ".partial", text)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    return facts


def _square(path: str) -> tuple[NDArray[np.uint8], float] | Failure:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return Failure(path, "read", error.strerror or str(error))
    decoded = image.decode(data, path=path, side=SIDE)
    if isinstance(decoded, Failure):
        return decoded
    return image.area_rgb(decoded.pixels, width=SIDE, height=SIDE), decoded.width / decoded.height
