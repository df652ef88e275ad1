"""Compare two images by every method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin import image, metric, metric_ssim, prints
from imkin.errors import UsageError
from imkin.library import Library
from imkin.types import Pixels


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
    """Two images and what every method says of them, in the order of `imkin methods`.

    ms_ssim: multi-scale structural similarity (Wang et al. 2003), 0..1; None where the two sizes do not fit, or one
    is too small.
    """

    a: Side
    b: Side
    methods: tuple[MethodSimilarity, ...]
    ms_ssim: float | None


def compare(library: Library, a: str, b: str) -> Comparison:
    """Similarity of two files by every method. Raises UsageError where one of them cannot be read as an image."""
    sides: tuple[Side, ...] = ()
    found = []
    grays: list[NDArray[np.uint8]] = []
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
        if name == "ssim":
            grays = [np.asarray(picture, np.uint8) for picture in made.values]
            sides = tuple(Side(f.path, f.format, f.width, f.height, f.size, f.sha256) for f in scanned.files)
    return Comparison(sides[0], sides[1], tuple(found), _ms_ssim(*grays))


def _ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    shape = metric_ssim.common_shape((a.shape[0], a.shape[1]), (b.shape[0], b.shape[1]))
    if shape is None or min(shape) < metric_ssim.GAUSS_WINDOW:
        return None
    return min(1.0, max(0.0, metric_ssim.ms_ssim(metric_ssim.reduce_to(a, shape), metric_ssim.reduce_to(b, shape))))


def structure(a: Pixels, b: Pixels) -> NDArray[np.float64] | None:
    """The map of structural similarity of two pictures at their common size, its mean the method's similarity.

    The border of 3 pixels is left out, where windows are not whole. None where the pictures cannot be compared.
    """
    grays = image.gray(a), image.gray(b)
    shape = metric_ssim.common_shape((a.shape[0], a.shape[1]), (b.shape[0], b.shape[1]))
    if shape is None or min(shape) < metric_ssim.WINDOW:
        return None
    whole = metric_ssim.ssim_map(metric_ssim.reduce_to(grays[0], shape), metric_ssim.reduce_to(grays[1], shape))
    edge = metric_ssim.WINDOW // 2
    return whole[edge:-edge, edge:-edge]
