"""auto: one record a picture of all that the default method compares by, and that tells how two pictures are related.

A record holds the vectors of `kin` in bytes, the codes of PDQ's terms for all eight turns, the picture as 64×64 gray
values and as 8×8 colours, and a digest of its pixels. `join.fused` makes one similarity of two records, `relation`
says what was done to a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.prints import TURNS, embedding, pdq, small, turn
from imkin.types import Pixels, Spec

VERSION = 1
# Regions of 0.5 and 0.7 of a picture are given to a network of 112 pixels: at 256 they are not enlarged. A JPEG of 12
# megapixels is still decoded at an eighth.
SIDE = 256
THUMB, COLOURS = pdq.SAMPLES, 8
# Calibrated (see `join.fused`): of pairs of 0.9 about nine in ten are copies.
THRESHOLD = 0.9

RECORD = np.dtype(
    [
        ("vectors", np.int8, (len(embedding.REGIONS), embedding.card().dim)),
        ("codes", np.uint8, (TURNS, pdq.BITS // 8)),
        ("thumb", np.uint8, (THUMB, THUMB)),
        ("colours", np.uint8, (COLOURS, COLOURS, 3)),
        ("digest", np.uint8, 16),
    ]
)


@dataclass(frozen=True, slots=True)
class Records:
    """What n records hold. See `RECORD`.

    vectors: (n, regions, dim) float32 of length 1, the whole picture first. codes: (n, 8, 32) uint8, upright first.
    thumbs: (n, 64, 64) uint8. colours: (n, 8, 8, 3) uint8. digests: (n, 16) uint8, of the pixels as decoded.
    """

    vectors: NDArray[np.float32]
    codes: NDArray[np.uint8]
    thumbs: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    digests: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.int64]) -> Records:
        """Some of the records."""
        return Records(self.vectors[rows], self.codes[rows], self.thumbs[rows], self.colours[rows], self.digests[rows])


def unpack(values: NDArray[np.generic]) -> Records:
    """Records of values (n, RECORD.itemsize) uint8."""
    rows = np.ascontiguousarray(values, np.uint8).view(RECORD).reshape(len(values))
    vectors = rows["vectors"].astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1)
    return Records(vectors, rows["codes"], rows["thumb"], rows["colours"], rows["digest"])


@dataclass(frozen=True, slots=True)
class Auto:
    """Fingerprinter of `auto`: a record a picture."""

    spec: Spec

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Values (n, RECORD.itemsize) uint8 and quality (n,) as that of the 64-bit hashes."""
        rows = np.zeros(len(images), RECORD)
        grays = small.grays(images)
        for row, picture, gray in zip(rows, images, grays, strict=True):
            squares = embedding.squares(picture, embedding.REGIONS, side=embedding.card().side)
            row["vectors"] = _bytes(embedding.embed(squares))
            row["thumb"] = image.area_gray(gray, width=THUMB, height=THUMB)
            row["colours"] = image.area_rgb(picture, width=COLOURS, height=COLOURS)
            row["digest"] = _digest(picture)
        rows["codes"] = _codes(rows["thumb"])
        tiny = small.shrink(grays, width=9, height=8, turns=False)
        return rows.view(np.uint8).reshape(len(images), RECORD.itemsize), small.quality(images, tiny)


def _bytes(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors in whole numbers -127..127: their cosines stay within 0.01, and scores of copies as they were."""
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.float32(1e-9))
    return np.asarray(np.rint(vectors * (np.float32(127) / largest)), np.int8)


def _codes(thumbs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """PDQ's bits (n, 8, 32) of the turns of gray pictures (n, 64, 64).

    PDQ filters with a tent what is averaged over areas here; the terms are its own.
    """
    turned = np.array([[turn(thumb, t) for t in range(TURNS)] for thumb in thumbs], np.float64)
    bits = pdq.bits(pdq.terms(turned.reshape(-1, THUMB, THUMB)))
    return np.packbits(bits, axis=1).reshape(len(thumbs), TURNS, pdq.BITS // 8)


def _digest(picture: Pixels) -> NDArray[np.uint8]:
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    return np.frombuffer(digest.digest(), np.uint8)


def fingerprinter(*, turns: bool = False) -> Auto:  # noqa: ARG001
    """The method `auto`. turns: it looks at all turns in any case."""
    params = {"model": embedding.card().sha256[:16], "boxes": [list(box) for box in embedding.REGIONS]}
    return Auto(Spec("auto", VERSION, "record", RECORD.itemsize * 8, THRESHOLD, SIDE, params))
