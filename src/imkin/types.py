"""The nouns. Frozen, self-checking, without behaviour beyond what follows from their own fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(h, w, 3) uint8: sRGB, upright, opaque."""

Kind = Literal["bytes", "bits", "unit vector", "gray image", "record"]
"""What a row of `Prints.values` holds. `bytes`: equal or not (sha256). `bits`: packed, most significant first.
`record`: several fingerprints of one picture side by side (`prints.auto.RECORD`)."""

Stage = Literal["open", "read", "decode", "fingerprint"]

# DESIGN, «Quality is a number»: below this a picture is too blank or too small to be told from others.
QUALITY_FLOOR = 0.2


@dataclass(frozen=True, slots=True)
class File:
    """One image file as it was read. width and height are those of the upright picture, in pixels."""

    path: str
    size: int
    mtime_ns: int
    sha256: str
    sha1: str
    width: int
    height: int
    format: str
    source: str = "file"


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that gave no fingerprint, and why. It never matches anything."""

    path: str
    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class Spec:
    """What a fingerprint is: two values may be compared only if their specs' `id`s are equal.

    dim: of bits the number of bits, of vectors the number of floats, of gray images 0 (they differ in size).
    side: pixels are decoded so that the shorter side is at least this long (see `image.decode`); 0: full size.
    default_threshold: a similarity in 0..1. params: whatever else changes the values; JSON types only.
    """

    name: str
    version: int
    kind: Kind
    dim: int
    default_threshold: float
    side: int
    params: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.default_threshold <= 1.0:
            raise ValueError(f"default_threshold of {self.name} is outside 0..1: {self.default_threshold}")
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    def __reduce__(self) -> tuple[type[Spec], tuple[object, ...]]:
        # Workers of other processes get specs; a read-only view does not pickle.
        values = self.name, self.version, self.kind, self.dim, self.default_threshold, self.side, dict(self.params)
        return Spec, values

    @property
    def id(self) -> str:
        """Name, version and a digest of all that changes the values; the key of the catalogue."""
        facts = [self.kind, self.dim, self.side, sorted(self.params.items())]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.name}-{self.version}-{digest}"


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of n images, in input order.

    values: (n, dim // 8) uint8 for bits and records, (n, 32) uint8 for bytes, (n, dim) float32 for unit vectors,
    (n,) object array of (h, w) uint8 for gray images.
    quality: (n,) float32 in 0..1; below QUALITY_FLOOR a picture is left out of joins.
    paths: the n inputs that have a row. failures: the inputs that have none.
    """

    spec: Spec
    values: NDArray[np.generic]
    quality: NDArray[np.float32]
    paths: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.values)
        if len(self.quality) != n or (self.paths and len(self.paths) != n):
            raise ValueError(f"{n} values, {len(self.quality)} qualities and {len(self.paths)} paths do not agree")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Pairs:
    """m pairs of indices with their similarity: left < right, sorted by (left, right), unique.

    left, right: (m,) int64. similarity: (m,) float32 in 0..1.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not len(self.left) == len(self.right) == len(self.similarity):
            raise ValueError("left, right and similarity differ in length")
        if (self.left >= self.right).any():
            raise ValueError("a pair has left >= right")

    def __len__(self) -> int:
        return len(self.left)


class Fingerprinter(Protocol):
    """Turns pictures into fingerprints; a plugin of the entry-point group `imkin.fingerprinters` is one."""

    @property
    def spec(self) -> Spec:
        """What the values are."""

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        """Values (n, …) as in `Prints.values`, and quality (n,) in 0..1, of n pictures in their order."""


T = TypeVar("T")
R = TypeVar("R")


class Map(Protocol):
    """An engine: applies fn to items, anywhere, and yields the results in input order."""

    def __call__(self, fn: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Apply fn to every item; at most a bounded number of items is taken ahead."""
