"""ssim: the gray picture itself, for its structural similarity to others (Wang et al. 2004; see `metric_ssim`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.image import area_gray, gray
from imkin.metric_ssim import WINDOW
from imkin.types import Pixels, Spec

VERSION = 1

# Screens that differ in one line of text are 0.98 alike, different windows on one desktop below 0.9.
DEFAULT_THRESHOLD = 0.95


@dataclass(frozen=True, slots=True)
class Ssim:
    """Fingerprinter of gray pictures. size: the longer side is reduced to it, by area; 0: full size."""

    size: int
    spec: Spec

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Values (n,), (h, w) uint8 each, and quality (n,): 0 below 7 pixels a side, else 1."""
        values = np.empty(len(images), object)
        for k, pixels in enumerate(images):
            values[k] = reduced(gray(pixels), self.size)
        quality = np.array([min(value.shape) >= WINDOW for value in values], np.float32)
        return values, quality


def reduced(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The gray picture with its longer side reduced to `size` by area; never enlarged. size 0: as it is."""
    height, width = picture.shape
    longer = max(height, width)
    if not 0 < size < longer:
        return picture
    return area_gray(picture, width=max(1, round(width * size / longer)), height=max(1, round(height * size / longer)))


def fingerprinter(*, size: int = 0) -> Ssim:
    """The method `ssim`. UsageError: a size of 1 to 6, at which no window fits."""
    if size < 0 or 0 < size < WINDOW:
        raise UsageError(f"the size for ssim must be 0 (full) or at least {WINDOW} pixels, not {size}")
    return Ssim(size, Spec("ssim", VERSION, "gray image", 0, DEFAULT_THRESHOLD, 0, {"size": size}))
