"""collage.jpg, some pairs side by side with their scores, and the picture of where two images differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imkin import draw
from imkin.report.files import shown
from imkin.result import Pair
from imkin.types import Pixels

Load = Callable[[str], Pixels | None]

_PAPER, _WELL, _INK, _SOFT = (251, 250, 247), (240, 238, 233), (29, 32, 36), (90, 96, 105)
_MARGIN, _GAP = 24, 16
_BOX = (360, 270)
_SCORE_WIDTH = 150
_CAPTION = 62

# A panel of the difference picture is at most so wide and high, pixels.
_PANEL = 560
# Differences are shown by their square root, so that a faint edit is seen; from half of the range on all are full red.
_FULL_DIFFERENCE = 128
# JPEG at quality 85 and over moves values by less than this; what lies above is an edit.
_NOISE = 12
_HEAT = np.array([[255, 236, 150], [250, 170, 60], [225, 70, 45], [150, 15, 40]], np.float32)


def sample_pairs(pairs: Sequence[Pair], limit: int, *, seed: int) -> list[Pair]:
    """At most limit of the pairs, at random, in their order; the same seed takes the same ones."""
    if len(pairs) <= limit:
        return list(pairs)
    chosen = np.random.default_rng(seed).choice(len(pairs), size=limit, replace=False)
    return [pairs[place] for place in sorted(chosen.tolist())]


def collage(pairs: Sequence[Pair], *, load: Load) -> Pixels:
    """A row for each pair: both images, their names, and the score between them. Raises ValueError without pairs.

    load: pixels of the image at a path, of any size, or None, which leaves its place blank. 332 pixels a row.
    """
    if not pairs:
        raise ValueError("a collage needs at least one pair")
    row = _BOX[1] + _CAPTION
    width = 2 * _MARGIN + 2 * _BOX[0] + _SCORE_WIDTH
    whole = draw.canvas(width, 2 * _MARGIN + len(pairs) * row + (len(pairs) - 1) * _GAP, _PAPER)
    right = _MARGIN + _BOX[0] + _SCORE_WIDTH
    for number, pair in enumerate(pairs):
        top = _MARGIN + number * (row + _GAP)
        _picture(whole, pair.a, load(pair.a), left=_MARGIN, top=top)
        _picture(whole, pair.b, load(pair.b), left=right, top=top)
        middle = _MARGIN + _BOX[0] + _SCORE_WIDTH // 2
        _centred(whole, f"{pair.similarity:.4f}", middle=middle, top=top + _BOX[1] // 2 - 24, size=30, colour=_INK)
        _centred(whole, "similarity", middle=middle, top=top + _BOX[1] // 2 + 12, size=15, colour=_SOFT)
    return whole


def difference(
    a: Pixels,
    b: Pixels,
    *,
    names: tuple[str, str] = ("left", "right"),
    structure: NDArray[np.float64] | None = None,
) -> Pixels:
    """Both images and, third, where they differ: from yellow, a little, to dark red, over a pale image.

    Both are brought to one size, that of a reduced to 560 pixels at most; colours are compared, not only light.
    structure: the map of structural similarity, -1..1, of any size; a fourth panel, by the same colours.
    """
    sizes = [f"{shown(name)}, {each.shape[1]} x {each.shape[0]}" for name, each in zip(names, (a, b), strict=True)]
    scale = min(1.0, _PANEL / max(a.shape[:2]))
    width, height = (max(1, round(side * scale)) for side in (a.shape[1], a.shape[0]))
    left, right = (draw.resize(each, width=width, height=height) for each in (a, b))
    heat, most, share = _heat(left, right)
    words = f"differs in {share:.1%} of the area, by {most:.0%} at most" if most else "no difference"
    panels = [(left, sizes[0]), (right, sizes[1]), (heat, words)]
    if structure is not None:
        panels.append((_structure(left, structure), f"SSIM {structure.mean():.4f}, {structure.min():.2f} at least"))
    column = max(width, 220)
    whole = draw.canvas(
        2 * _MARGIN + len(panels) * column + (len(panels) - 1) * _GAP, 2 * _MARGIN + height + 34, _PAPER
    )
    for number, (panel, text) in enumerate(panels):
        x = _MARGIN + number * (column + _GAP)
        draw.paste(whole, panel, left=x, top=_MARGIN)
        label = draw.shortened(text, size=17, width=column)
        draw.write(whole, label, left=x, top=_MARGIN + height + 10, size=17, colour=_INK)
    return whole


def _structure(picture: Pixels, similar: NDArray[np.float64]) -> Pixels:
    """The picture, pale, under the colours of its lost structure: red where the similarity is 0 or below."""
    lost = np.rint(255 * np.sqrt(np.clip(1 - similar, 0, 1))).astype(np.uint8)
    height, width = picture.shape[:2]
    strength = draw.resize(np.repeat(lost[..., None], 3, axis=2), width=width, height=height)[..., :1].astype(
        np.float32
    )
    return _coloured(picture, strength / np.float32(255))


def _heat(a: Pixels, b: Pixels) -> tuple[Pixels, float, float]:
    """The map, the largest difference (0..1), and the share of pixels that differ by more than noise."""
    apart = np.abs(a.astype(np.int16) - b).max(axis=2)
    strength = np.sqrt(np.minimum(apart / np.float32(_FULL_DIFFERENCE), 1))[..., None]
    return _coloured(a, strength), float(apart.max()) / 255, float((apart > _NOISE).mean())


def _coloured(picture: Pixels, strength: NDArray[np.float32]) -> Pixels:
    """A pale picture under colours from yellow to dark red. strength: (h, w, 1) in 0..1."""
    steps = strength * np.float32(len(_HEAT) - 1)
    low = np.minimum(steps.astype(np.intp), len(_HEAT) - 2)
    colour = _HEAT[low[..., 0]] * (1 - (steps - low)) + _HEAT[low[..., 0] + 1] * (steps - low)
    pale: NDArray[np.float32] = 200 + picture.mean(axis=2, dtype=np.float32, keepdims=True) * np.float32(50 / 255)
    cover = np.minimum(strength * 1.6, 1)
    mixed: Pixels = np.rint(pale * (1 - cover) + colour * cover).astype(np.uint8)
    return mixed


def _picture(whole: Pixels, path: str, pixels: Pixels | None, *, left: int, top: int) -> None:
    width, height = _BOX
    draw.paste(whole, draw.canvas(width, height, _WELL), left=left, top=top)
    if pixels is None:
        _centred(whole, "no preview", middle=left + width // 2, top=top + height // 2 - 10, size=16, colour=_SOFT)
    else:
        scale = min(1.0, width / pixels.shape[1], height / pixels.shape[0])
        wide, high = (max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
        small = draw.resize(pixels, width=wide, height=high)
        draw.paste(whole, small, left=left + (width - wide) // 2, top=top + (height - high) // 2)
    folder, name = os.path.split(shown(path))
    name, folder = (draw.shortened(text, size=size, width=width) for text, size in ((name, 18), (folder, 14)))
    draw.write(whole, name, left=left, top=top + height + 8, size=18, colour=_INK)
    draw.write(whole, folder, left=left, top=top + height + 34, size=14, colour=_SOFT)


def _centred(whole: Pixels, words: str, *, middle: int, top: int, size: int, colour: tuple[int, int, int]) -> None:
    left = middle - draw.text_width(words, size=size) // 2
    draw.write(whole, words, left=left, top=top, size=size, colour=colour)
