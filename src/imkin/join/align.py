"""Lay one small gray picture onto another: is one of them a part of the other, turned or mirrored perhaps?

Template matching by normalised cross-correlation (Lewis 1995) over sizes, places and the 8 turns, on pictures whose
slow changes of brightness are taken out: two unlike photos share bright skies and dark edges, but few details.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imkin.prints import TURNS

THUMB = 64
"""Pixels a side of the gray pictures that are compared, squeezed into squares."""

# The grid on which pictures are laid onto each other. Of 3,400 edited copies of 100 photos and 1.36 million other
# pairs, 16 tells them apart as well as 24 does, at a third of the time.
GRID = 16
# Sides of the part, in cells of the grid: each about a tenth less than the one before, down to a fifth of the area.
SIDES = (16, 14, 13, 12, 11, 10, 9, 8, 7)
# A part twice as high as wide in a square is the half of a collage; beyond that parts are too narrow to tell.
NARROWEST = 2.2
# How much of the mean of a picture's surroundings is taken out, and how far they reach, in pixels of THUMB.
AROUND, SHARE = 17, 0.8
# Gray levels: patches that vary by less are flat, and what correlates there is noise.
FLAT = 3.0
# Pairs laid together: their windows are some 30 MB.
BATCH = 64

Grays = NDArray[np.float32]
SHAPES = tuple((k, m) for k in SIDES for m in SIDES if 1 / NARROWEST <= k / m <= NARROWEST)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where b lies on a, or a on b, of n pairs of pictures.

    score: (n,) float32, the correlation, -1..1. turn: (n,) int64, the turn (see `prints.turn`) of the part that makes
    it fit. inside: (n,) bool, True where b is the part and a the whole. box: (n, 4) float32, left, top, right and
    bottom of the part in the whole, 0..1.
    """

    score: NDArray[np.float32]
    turn: NDArray[np.int64]
    inside: NDArray[np.bool_]
    box: NDArray[np.float32]


def details(thumbs: NDArray[np.uint8]) -> Grays:
    """(n, 64, 64) float32: gray pictures less most of the mean of their surroundings."""
    gray = thumbs.astype(np.float32)
    return np.asarray(gray - np.float32(SHARE) * (_around() @ gray @ _around().T))


def align(a: Grays, b: Grays) -> Alignment:
    """The best place of b in a or of a in b, of n pairs of `details` (n, 64, 64). Cost: 3 ms a pair."""
    parts = [_aligned(a[at : at + BATCH], b[at : at + BATCH]) for at in range(0, len(a), BATCH)]
    if not parts:
        return Alignment(
            np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, bool), np.empty((0, 4), np.float32)
        )
    return Alignment(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.turn for part in parts]),
        np.concatenate([part.inside for part in parts]),
        np.concatenate([part.box for part in parts]),
    )


def overlay(a: Grays, b: Grays, turns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Correlation (n,) of whole a with whole b turned, of n pairs of `details`; turns: (n,)."""
    turned = np.empty_like(b)
    for t in range(TURNS):
        turned[turns == t] = turn_all(b[turns == t], t)
    x, y = _shrink(a, GRID, GRID), _shrink(turned, GRID, GRID)
    x, y = (part - part.mean(axis=(1, 2), keepdims=True) for part in (x, y))
    lengths = [np.sqrt(np.einsum("nij,nij->n", part, part)) for part in (x, y)]
    floor = np.float32(FLAT * GRID)
    return np.asarray(np.einsum("nij,nij->n", x, y) / np.maximum(lengths[0], floor) / np.maximum(lengths[1], floor))


def turn_all(pictures: NDArray[np.generic], t: int) -> NDArray[np.generic]:
    """Turn t of `prints.turn` of each of (n, h, w) pictures, a view."""
    return np.rot90(pictures[:, :, ::-1] if t >= TURNS // 2 else pictures, t % 4, axes=(1, 2))


def _aligned(a: Grays, b: Grays) -> Alignment:
    forth, back = _contained(a, b), _contained(b, a)
    inside = forth[0] >= back[0]
    score = np.where(inside, forth[0], back[0]).astype(np.float32)
    found = np.where(inside[:, None], forth[1], back[1])
    height, width, turned, top, left = found.T
    box = np.asarray(np.stack([left, top, left + width, top + height], axis=1) / GRID, np.float32)
    return Alignment(score, turned, inside, box)


def _contained(whole: Grays, part: Grays) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best correlation (n,) of each part in its whole, and (n, 5): its height, width, turn, top and left."""
    n = len(whole)
    ground = _shrink(whole, GRID, GRID)
    ground = ground - ground.mean(axis=(1, 2), keepdims=True)
    templates = {shape: _template(part, *shape) for shape in SHAPES}
    best, where = np.full(n, -2, np.float32), np.zeros((n, 5), np.int64)
    rows = np.arange(n)
    for height, width in SHAPES:
        windows, lengths, across = _windows(ground, height, width)
        stack = np.stack(
            [
                turn_all(templates[(width, height) if t % 2 else (height, width)], t).reshape(n, height * width)
                for t in range(TURNS)
            ],
            axis=2,
        )
        scores = (windows @ stack / lengths[:, :, None]).reshape(n, -1)
        at = scores.argmax(axis=1)
        score = scores[rows, at]
        better = score > best
        best[better] = score[better]
        place, turned_by = at // TURNS, at % TURNS
        found = np.stack([np.full(n, height), np.full(n, width), turned_by, place // across, place % across], axis=1)
        where[better] = found[better]
    return best, where


def _windows(ground: Grays, height: int, width: int) -> tuple[Grays, NDArray[np.float32], int]:
    """All windows of pictures (n, GRID, GRID) as (n, places, height * width), their lengths about their means (n,
    places), at least that of a flat one, and how many places there are across.
    """
    n, cells = len(ground), height * width
    views = np.lib.stride_tricks.sliding_window_view(ground, (height, width), axis=(1, 2))
    across = views.shape[2]
    windows = np.ascontiguousarray(views).reshape(n, -1, cells)
    variation = np.einsum("npc,npc->np", windows, windows) - windows.sum(axis=2) ** 2 / cells
    floor = np.float32(FLAT * np.sqrt(cells))
    return windows, np.maximum(np.sqrt(np.maximum(variation, 0)), floor), across


def _template(part: Grays, height: int, width: int) -> Grays:
    """Pictures shrunk to (n, height, width), of mean 0 and length 1."""
    small = _shrink(part, height, width)
    small = small - small.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt(np.einsum("nij,nij->n", small, small))[:, None, None]
    return np.asarray(small / np.maximum(lengths, np.float32(1e-3)))


def _shrink(pictures: Grays, height: int, width: int) -> Grays:
    return np.asarray(_areas(height) @ pictures @ _areas(width).T)


@lru_cache(maxsize=64)
def _areas(parts: int) -> Grays:
    """(parts, THUMB): the means of equal stretches of THUMB values."""
    cuts = np.arange(parts + 1) * (THUMB / parts)
    at = np.arange(THUMB)
    covered = np.minimum(cuts[1:, None], at + 1) - np.maximum(cuts[:-1, None], at)
    return np.asarray(np.maximum(covered, 0) / (THUMB / parts), np.float32)


@lru_cache(maxsize=1)
def _around() -> Grays:
    """(THUMB, THUMB): the mean of AROUND values about each, those beyond the ends mirrored."""
    at = np.arange(THUMB)[:, None] + np.arange(AROUND) - AROUND // 2
    mirrored = np.where(at < 0, -1 - at, np.where(at >= THUMB, 2 * THUMB - 1 - at, at))
    weights = np.zeros((THUMB, THUMB), np.float32)
    np.add.at(weights, (np.arange(THUMB)[:, None], mirrored), np.float32(1 / AROUND))
    return weights
