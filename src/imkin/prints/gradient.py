"""dhash: where it grows brighter from left to right (Krawetz, «Kind of Like That», 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.prints import small
from imkin.types import Pixels, Spec

# The same share of bits as phash's.
DEFAULT_MAX_BITS = 6


def dhash(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each pixel is darker than its right neighbour.

    gray: (n, 8, 9) uint8. Returns (n, 8, 8). Bits agree with imagehash.dhash on the same pixels.
    """
    return gray[:, :, 1:] > gray[:, :, :-1]


@dataclass(frozen=True, slots=True)
class DHash:
    """Fingerprinter of `dhash`."""

    spec: Spec
    turns: bool

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Values (n, 8), with turns (n, 64), and quality (n,)."""
        gray = small.reduced(images, width=9, height=8, turns=self.turns)
        return small.pack(dhash(gray), len(images)), small.quality(images, gray)


def fingerprinter(*, turns: bool = False) -> DHash:
    """The method `dhash`."""
    return DHash(small.spec("dhash", DEFAULT_MAX_BITS, turns=turns), turns)
