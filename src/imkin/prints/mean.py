"""ahash: which parts are brighter than the whole (Krawetz, «Looks Like It», 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.prints import small
from imkin.types import Pixels, Spec

# The same share of bits as phash's.
DEFAULT_MAX_BITS = 6


def ahash(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each pixel is brighter than the picture's mean.

    gray: (n, 8, 8) uint8. Returns (n, 8, 8). Bits agree with imagehash.average_hash on the same pixels.
    """
    above: NDArray[np.bool_] = gray > gray.mean(axis=(1, 2), keepdims=True)
    return above


@dataclass(frozen=True, slots=True)
class AHash:
    """Fingerprinter of `ahash`."""

    spec: Spec
    turns: bool

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Values (n, 8), with turns (n, 64), and quality (n,)."""
        gray = small.reduced(images, width=8, height=8, turns=self.turns)
        return small.pack(ahash(gray), len(images)), small.quality(images, gray)


def fingerprinter(*, turns: bool = False) -> AHash:
    """The method `ahash`."""
    return AHash(small.spec("ahash", DEFAULT_MAX_BITS, turns=turns), turns)
