"""Facts for the keep rules `quality` and `exif`, measured from the file itself."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.policy import Facts
from imkin.types import Failure, File

# Blur is measured on pictures of one size, so that it means the same in a file and its slightly smaller copy.
BLUR_SIDE = 1024
# Width of the averaging in the paper.
TAPS = 9


def measure(file: File, *, limits: image.Limits = image.Limits()) -> Facts:
    """The facts of one file: reads it, and decodes it at 1024 pixels a side. What cannot be read is unknown."""
    try:
        with open(file.path, "rb") as opened:
            data = opened.read()
    except OSError:
        return Facts()
    origin = image.origin(data, limits=limits)
    decoded = image.decode(data, path=os.fspath(file.path), side=BLUR_SIDE, limits=limits)
    if isinstance(decoded, Failure):
        return Facts(origin.compression, None, origin.camera)
    gray = image.gray(decoded.pixels)
    height, width = gray.shape
    if min(height, width) > BLUR_SIDE:
        scale = BLUR_SIDE / min(height, width)
        gray = image.area_gray(gray, width=round(width * scale), height=round(height * scale))
    return Facts(origin.compression, blur(gray), origin.camera)


def blur(gray: NDArray[np.uint8]) -> float | None:
    """How little a picture changes when it is blurred: 0 sharp .. 1 blurred (Crété-Roffet et al. 2007, eq. 1-6).

    gray: (h, w) uint8. None for a picture too small or too flat to tell.
    """
    values = gray.astype(np.float32)
    found = [each for each in (_blur_along(values), _blur_along(values.T)) if each is not None]
    return max(found) if found else None


def _blur_along(values: NDArray[np.float32]) -> float | None:
    if values.shape[0] <= TAPS:
        return None
    padded = np.pad(values, ((TAPS // 2 + 1, TAPS // 2), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0, dtype=np.float64)
    blurred = (sums[TAPS:] - sums[:-TAPS]) / TAPS
    sharp_steps = np.abs(np.diff(values, axis=0))
    lost = np.maximum(0.0, sharp_steps - np.abs(np.diff(blurred, axis=0)))
    whole = float(sharp_steps.sum(dtype=np.float64))
    return (whole - float(lost.sum())) / whole if whole else None
