"""Compare two images by every method."""

from __future__ import annotations

from dataclasses import dataclass

from imkin import metric, prints
from imkin.errors import UsageError
from imkin.library import Library


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two images. width, height: pixels of the upright picture."""

    path: str
    format: str
    width: int
    height: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MethodSimilarity:
    """One method's similarity, 0..1, and the threshold from which it calls two images alike."""

    name: str
    similarity: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two images and what every method says of them, in the order of `imkin methods`."""

    a: Side
    b: Side
    methods: tuple[MethodSimilarity, ...]


def compare(library: Library, a: str, b: str) -> Comparison:
    """Similarity of two files by every method. Raises UsageError where one of them cannot be read as an image."""
    sides: tuple[Side, ...] = ()
    found = []
    for name in prints.names():
        scanned = library.fingerprint([a, b], name)
        if scanned.failures:
            failure = scanned.failures[0]
            raise UsageError(f"cannot compare {failure.path}: {failure.reason}")
        if len(scanned.files) != 2:
            raise UsageError(f"compare takes two image files, not {a} and {b}")
        made = library.prints(scanned)
        similar = metric.similarity(made, made)[0, 1]
        found.append(MethodSimilarity(name, float(similar), scanned.prints.spec.default_threshold))
        if name != "exact":
            sides = tuple(Side(f.path, f.format, f.width, f.height, f.size, f.sha256) for f in scanned.files)
    return Comparison(sides[0], sides[1], tuple(found))
