"""vote: ahash, phash and dhash at once; two of the three must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.prints import TURNS, small
from imkin.prints.dct import phash, quality
from imkin.prints.gradient import dhash
from imkin.prints.mean import ahash
from imkin.types import Pixels, Spec

PARTS = 3
# «Fewer than 20 bits differ»: loose for one hash, which is why two must agree.
DEFAULT_MAX_BITS = 19


@dataclass(frozen=True, slots=True)
class Vote:
    """Fingerprinter whose rows hold ahash, phash and dhash, 8 bytes each, in this order, turn by turn.

    The similarity of two rows is the second largest of the three hashes', so that a threshold is met if two meet it.
    """

    spec: Spec
    turns: bool

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Values (n, 24), with turns (n, 192), and quality (n,), that of phash."""
        gray, n = small.grays(images), len(images)
        fine = small.shrink(gray, width=32, height=32, turns=self.turns)
        low = phash(fine)
        parts = [
            ahash(small.shrink(gray, width=8, height=8, turns=self.turns)),
            low,
            dhash(small.shrink(gray, width=9, height=8, turns=self.turns)),
        ]
        return small.pack(np.concatenate(parts, axis=1), n), quality(images, fine, low)


def fingerprinter(*, turns: bool = False) -> Vote:
    """The method `vote`."""
    dim = PARTS * small.BITS * (TURNS if turns else 1)
    params = {"parts": PARTS} | ({"turns": TURNS} if turns else {})
    return Vote(Spec("vote", small.VERSION, "bits", dim, 1 - DEFAULT_MAX_BITS / small.BITS, small.SIDE, params), turns)
