"""A growing set of fingerprints: which of those added before is a new one like?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.types import Prints, Spec

Place = tuple[str, int]
"""A video and the number of a frame."""


class Seen:
    """The fingerprints added so far: memory grows with what is added, not with what is compared."""

    def __init__(self, spec: Spec, threshold: float) -> None:
        self._spec, self._threshold = spec, threshold
        self._places: list[Place] = []
        self._values: list[NDArray[np.generic]] = []  # of gray images
        self._rows: NDArray[Any] | None = None  # of all others, doubled when full

    def add(self, place: Place, value: NDArray[np.generic]) -> None:
        """Remember a fingerprint."""
        count = len(self._places)
        self._places.append(place)
        if self._spec.kind == "gray image":
            self._values.append(value)
            return
        row = _words(value, self._spec) if self._spec.kind == "bits" else value
        if self._rows is None:
            self._rows = np.zeros((64, *row.shape), row.dtype)
        elif count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[count] = row

    def like(self, value: NDArray[np.generic]) -> tuple[Place, float] | None:
        """The most similar one, of equals the first, if it reaches the threshold.

        Of gray images the last added that reaches it: a comparison of two pictures is dear.
        """
        if not self._places:
            return None
        if self._spec.kind == "gray image":
            return self._like_picture(value)
        similar = self._bits(value) if self._spec.kind == "bits" else self._others(value)
        at = int(similar.argmax())
        # As in the joins: a millionth of a bit, so that 1 - 6/64 in any precision means 6 bits.
        return (self._places[at], float(similar[at])) if similar[at] >= self._threshold - 1e-8 else None

    def _like_picture(self, value: NDArray[np.generic]) -> tuple[Place, float] | None:
        from imkin.join.ssim import ssim_pair

        for place, kept in zip(reversed(self._places), reversed(self._values), strict=True):
            similar = ssim_pair(kept.astype(np.uint8, copy=False), value.astype(np.uint8, copy=False))
            if similar >= self._threshold:
                return place, similar
        return None

    def _bits(self, value: NDArray[np.generic]) -> NDArray[np.float64]:
        rows = np.asarray(self._rows)[: len(self._places)]
        apart = np.bitwise_count(rows ^ _words(value, self._spec)).sum(axis=2, dtype=np.int64)
        if apart.shape[1] > 1:
            apart = np.sort(apart, axis=1)[:, 1:2]  # of several hashes the second nearest, as `vote` says
        bits = self._spec.dim // int(str(self._spec.params.get("parts", 1)))
        similar: NDArray[np.float64] = 1 - apart[:, 0] / bits
        return similar

    def _others(self, value: NDArray[np.generic]) -> NDArray[np.float64]:
        from imkin import metric

        rows = np.asarray(self._rows)[: len(self._places)]
        one = Prints(self._spec, value[None], np.ones(1, np.float32))
        similar: NDArray[np.float64] = metric.similarity(
            one, Prints(self._spec, rows, np.ones(len(rows), np.float32))
        ).astype(np.float64)[0]
        return similar


def _words(value: NDArray[np.generic], spec: Spec) -> NDArray[np.uint64]:
    """(parts, w) words of a value of bits, each hash filled with zeros to whole words."""
    parts = value.astype(np.uint8, copy=False).reshape(int(str(spec.params.get("parts", 1))), -1)
    padded = np.zeros((len(parts), -(-parts.shape[1] // 8) * 8), np.uint8)
    padded[:, : parts.shape[1]] = parts
    return padded.view(np.uint64)
