"""Drawn pictures and lettering, made with numpy alone: what photos lack (pages, screens, charts, flat shapes)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GLYPH_ROWS, GLYPH_COLUMNS = 5, 3


def lettering(rng: np.random.Generator, *, side: int, lines: int, scale: int) -> NDArray[np.bool_]:
    """A (side, side) mask of text-like marks: `lines` lines of words of random 5×3 glyphs, `scale` pixels a dot."""
    mask = np.zeros((side, side), dtype=bool)
    step = scale * (GLYPH_ROWS + 2)
    top = int(rng.integers(0, max(1, side - lines * step)))
    for line in range(lines):
        y = top + line * step
        if y + GLYPH_ROWS * scale > side:
            break
        x = int(rng.integers(0, side // 4))
        end = int(rng.integers(side // 2, side))
        while x + GLYPH_COLUMNS * scale < end:
            if rng.random() > 0.18:  # else a space between two words
                glyph = rng.random((GLYPH_ROWS, GLYPH_COLUMNS)) < 0.6
                block = glyph.repeat(scale, axis=0).repeat(scale, axis=1)
                mask[y : y + block.shape[0], x : x + block.shape[1]] = block
            x += scale * (GLYPH_COLUMNS + 1)
    return mask


def letterings(count: int, *, side: int, seed: int) -> NDArray[np.uint8]:
    """(count, side, side) uint8, 0 or 1: captions of one to four lines."""
    rng = np.random.default_rng(seed)
    sheets = [
        lettering(rng, side=side, lines=int(rng.integers(1, 5)), scale=int(rng.integers(1, 6))) for _ in range(count)
    ]
    return np.stack(sheets).astype(np.uint8)


def drawn_pictures(count: int, *, side: int, seed: int) -> NDArray[np.uint8]:
    """(count, side, side, 3) uint8: pages of text, screens, charts and scenes of flat shapes, in turn."""
    rng = np.random.default_rng(seed)
    makers = (_page, _screen, _chart, _scene)
    made = [makers[i % len(makers)](rng, side) for i in range(count)]
    return np.stack(made) if made else np.zeros((0, side, side, 3), dtype=np.uint8)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.integers(0, 256, 3).astype(np.float32)


def _ground(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    ramp = ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    return np.broadcast_to(_colour(rng) * ramp + _colour(rng) * (1 - ramp), (side, side, 3)).copy()


def _box(rng: np.random.Generator, side: int, *, least: float = 0.05, most: float = 0.6) -> tuple[slice, slice]:
    height, width = (rng.uniform(least, most, 2) * side).astype(int) + 1
    y, x = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    return slice(y, y + height), slice(x, x + width)


def _page(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    paper, ink = (np.float32(rng.integers(215, 256)), np.float32(rng.integers(0, 90)))
    if rng.random() < 0.3:
        paper, ink = ink, paper
    picture = np.full((side, side, 3), paper, dtype=np.float32)
    picture[lettering(rng, side=side, lines=int(rng.integers(4, 22)), scale=int(rng.integers(1, 4)))] = ink
    for _ in range(int(rng.integers(0, 3))):
        picture[_box(rng, side)] = _colour(rng)
    return picture.astype(np.uint8)


def _screen(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    picture = np.full((side, side, 3), _colour(rng) if rng.random() < 0.4 else 250.0, dtype=np.float32)
    bar = int(rng.integers(6, side // 5))
    picture[:bar] = _colour(rng)
    if rng.random() < 0.6:
        picture[bar:, : int(rng.integers(8, side // 3))] = _colour(rng)
    for _ in range(int(rng.integers(2, 9))):
        picture[_box(rng, side, most=0.35)] = _colour(rng)
    picture[lettering(rng, side=side, lines=int(rng.integers(2, 12)), scale=int(rng.integers(1, 4)))] = _colour(rng)
    return picture.astype(np.uint8)


def _chart(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    picture = np.full((side, side, 3), rng.integers(225, 256), dtype=np.float32)
    bars = int(rng.integers(3, 14))
    width = side // bars
    ink = _colour(rng)
    for i in range(bars):
        height = int(rng.integers(4, side - 10))
        picture[side - height :, i * width + 2 : (i + 1) * width - 1] = ink if rng.random() < 0.7 else _colour(rng)
    picture[:: int(rng.integers(16, 40))] = 120
    picture[lettering(rng, side=side, lines=2, scale=int(rng.integers(1, 4)))] = 20
    return picture.astype(np.uint8)


def _scene(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    picture = _ground(rng, side)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    for _ in range(int(rng.integers(3, 14))):
        cy, cx = rng.uniform(0, side, 2)
        ry, rx = rng.uniform(0.04, 0.35, 2) * side
        turn = rng.uniform(0, np.pi)
        u = ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)) / rx
        v = ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / ry
        inside = (u * u + v * v < 1) if rng.random() < 0.5 else (np.maximum(abs(u), abs(v)) < 1)
        picture[inside] = _colour(rng)
    picture += rng.normal(0, rng.uniform(0, 12), picture.shape)
    return picture.clip(0, 255).astype(np.uint8)
