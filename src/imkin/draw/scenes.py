"""The drawn collection: painters in turn, and pictures that differ clearly from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from imkin.draw import flat, things
from imkin.types import Pixels

_PAINTERS: tuple[tuple[str, Callable[[Generator, int, int], Pixels]], ...] = (
    ("hills", things.hills),
    ("still-life", things.still_life),
    ("page", flat.page),
    ("sea", things.sea),
    ("stones", flat.stones),
    ("city", things.city),
    ("shapes", flat.shapes),
    ("screen", flat.screen),
    ("balloons", things.balloons),
    ("marble", flat.marble),
    ("flower", things.flower),
    ("weave", flat.weave),
)

# Two scenes differ in so many of 64 bits of coarse light, of coarse slopes, and of one of the two: beyond the
# limits of ahash and dhash (6 bits) and of vote (20 bits for two hashes of three).
_LIGHT_BITS, _SLOPE_BITS, _EITHER_BITS = 9, 15, 24
_ATTEMPTS = 20


def scenes(count: int, *, seed: int, width: int = 640, height: int = 480) -> Iterator[tuple[str, Pixels]]:
    """Names and pictures: landscapes, cities, still lifes, textures, pages and screens, in turn.

    The same seed gives the same pictures. One that comes close to an earlier one in its coarse light and shade is
    drawn anew, and the best of 20 sketches is taken; the first 40 or so thus differ clearly under every fingerprint.
    """
    seen = np.zeros((0, 128), bool)
    for index in range(count):
        name, painter = _PAINTERS[index % len(_PAINTERS)]
        best, bits, chosen = -1.0, seen, 0
        for attempt in range(_ATTEMPTS):
            coarse = _coarse(painter(np.random.default_rng((seed, index, attempt)), width // 4, height // 4))
            apart = _apart(seen, coarse)
            if apart > best:
                best, bits, chosen = apart, coarse, attempt
            if apart >= 1.0:
                break
        seen = np.concatenate([seen, bits[None]])
        yield (
            f"{name}-{index // len(_PAINTERS) + 1}",
            painter(np.random.default_rng((seed, index, chosen)), width, height),
        )


def _apart(seen: NDArray[np.bool_], coarse: NDArray[np.bool_]) -> float:
    """How far a picture is from the nearest one seen; 1 is far enough."""
    light, slope = (seen ^ coarse).reshape(-1, 2, 64).sum(axis=2).T
    shares = (light / _LIGHT_BITS, slope / _SLOPE_BITS, np.maximum(light, slope) / _EITHER_BITS)
    return float(np.min(shares, initial=2.0))


def _coarse(pixels: Pixels) -> NDArray[np.bool_]:
    """(128,) bits: of 8 by 8 areas, which are lighter than their mean, and which are lighter than their left one."""
    rows, columns = (
        np.linspace(0, side, parts + 1)[:-1].astype(int) for side, parts in ((len(pixels), 8), (pixels.shape[1], 9))
    )
    areas = np.add.reduceat(np.add.reduceat(pixels.sum(axis=2, dtype=np.int64), rows, axis=0), columns, axis=1)
    light = areas[:, :8] > areas[:, :8].mean()
    return np.concatenate([light.ravel(), (np.diff(areas, axis=1) > 0).ravel()])
