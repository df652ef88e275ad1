"""Painters of flat things: shapes, textures, pages and screens. (generator, width, height) to picture."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from imkin.draw.basic import Colour, resize
from imkin.draw.sheet import WORDS, Sheet, blend, some
from imkin.types import Pixels


def shapes(rng: Generator, width: int, height: int) -> Pixels:
    """Discs, triangles, bars and boxes."""
    ground, *inks = some(rng, 6)
    sheet = Sheet(width, height, blend(ground, (250, 246, 236), 0.75), blend(ground, (250, 246, 236), 0.6))
    for i in range(int(rng.integers(6, 13))):
        x, y, big, ink = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.08, 0.36), inks[i % len(inks)]
        kind = rng.integers(4)
        if kind == 0:
            sheet.disc(x, y, big * 0.8, ink)
        elif kind == 1:
            sheet.polygon(
                [(x + big * np.cos(a), y + big * np.sin(a)) for a in rng.uniform(0, 7) + np.arange(3) * 2.1], ink
            )
        elif kind == 2:
            sheet.line([(x, y), (x + rng.uniform(-0.6, 0.6), y + rng.uniform(-0.6, 0.6))], ink, thick=big * 0.18)
        else:
            sheet.box(x - big / 2, y - big / 3, big, big * rng.uniform(0.4, 1.2), ink)
    return sheet.pixels()


def stones(rng: Generator, width: int, height: int) -> Pixels:
    """Rounded stones of a wall: the cells of random points."""
    count = int(rng.integers(12, 40))
    places = rng.random((count, 2)) * (width, height)
    y, x = np.mgrid[0:height:2, 0:width:2]
    far = np.sqrt((x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2).astype(np.float32)
    nearest, edge = far.argmin(axis=2), np.partition(far, 1, axis=2)
    inks, light = np.asarray(some(rng, 5), np.float32), rng.uniform(0.35, 1.15, count).astype(np.float32)
    colour = inks[rng.integers(5, size=count)] * light[:, None]
    shade = np.clip((edge[..., 1] - edge[..., 0]) / 14, 0.25, 1)[..., None]
    return resize(np.clip(colour[nearest] * shade, 0, 255).astype(np.uint8), width=width, height=height)


def marble(rng: Generator, width: int, height: int) -> Pixels:
    """Bent veins of two colours."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    bent = sum(
        np.sin(2 * np.pi * (x * rng.uniform(-2, 2) + y * rng.uniform(-2, 2)) * k + rng.uniform(0, 7)) / k
        for k in (1, 2, 3)
    )
    angle = rng.uniform(0, np.pi)
    vein = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(4, 14) + 1.8 * bent)
    share = (0.5 + 0.5 * vein)[..., None]
    low, high = np.asarray(some(rng, 2), np.float32)
    return np.asarray(np.clip(low * 0.7 * (1 - share) + (high * 0.4 + 150) * share, 0, 255), np.uint8)


def weave(rng: Generator, width: int, height: int) -> Pixels:
    """A woven plaid."""
    inks = np.asarray(some(rng, 4), np.float32)

    def stripes(length: int) -> NDArray[np.float32]:
        edges = np.sort(rng.uniform(0, length, int(rng.integers(4, 9))))
        colours: NDArray[np.float32] = inks[rng.integers(4, size=len(edges) + 1)]
        return colours[np.searchsorted(edges, np.arange(length))]

    y, x = np.mgrid[0:height, 0:width]
    over = (((x // 4 + y // 4) % 4) < 2)[..., None]
    cloth = np.where(over, stripes(width)[None], stripes(height)[:, None])
    return np.asarray(cloth, np.uint8)


def page(rng: Generator, width: int, height: int) -> Pixels:
    """A page of a magazine."""
    paper: Colour = (252, 250, 244) if rng.random() < 0.6 else (34, 38, 46)
    ink, accent = blend(paper, (20, 22, 28) if paper[0] > 100 else (235, 235, 235), 0.88), some(rng, 1)[0]
    sheet = Sheet(width, height, paper, paper)
    columns, left = int(rng.integers(1, 4)), 0.07
    y = rng.uniform(0.05, 0.3)
    sheet.box(0, 0, 1, y * 0.7, accent)
    sheet.words(left, y, " ".join(rng.choice(WORDS, 4)).capitalize(), ink, size=0.07)
    wide = (0.9 - 0.04 * columns) / columns
    for column in range(columns):
        x, line = left + column * (wide + 0.04), y + 0.13
        if rng.random() < 0.75:
            tall = rng.uniform(0.12, 0.4)
            sheet.box(x, line, wide, tall, some(rng, 1)[0])
            sheet.disc(x + wide * 0.5, line + tall * 0.5, tall * 0.3, some(rng, 1)[0])
            line += tall + 0.04
        while line < rng.uniform(0.7, 0.95):
            words = " ".join(rng.choice(WORDS, 14))
            sheet.words(x, line, words[: int(wide * rng.uniform(52, 58))], ink, size=0.033)
            line += 0.048
    return sheet.pixels()


def screen(rng: Generator, width: int, height: int) -> Pixels:
    """A screenshot: charts and chat bubbles beside a menu."""
    dark = rng.random() < 0.5
    ground: Colour = (24, 27, 33) if dark else (244, 245, 247)
    panel, ink = blend(ground, (128, 132, 140), 0.22), blend(ground, (235, 236, 240) if dark else (30, 32, 38), 0.85)
    sheet = Sheet(width, height, ground, ground)
    inks, side, right = some(rng, 5), rng.uniform(0.12, 0.32), rng.random() < 0.4
    sheet.box(1 - side if right else 0, 0, side, 1, blend(panel, inks[0], rng.uniform(0, 0.9)))
    for i in range(int(rng.integers(4, 11))):
        place = (1 - side if right else 0) + 0.02
        sheet.words(place, 0.05 + i * 0.075, str(rng.choice(WORDS)).capitalize(), ink, size=0.034)
    left, wide = (0.03 if right else side + 0.03), 0.94 - side
    sheet.words(left, 0.03, " ".join(rng.choice(WORDS, 3)).capitalize(), ink, size=0.055)
    top = 0.13
    while top < 0.85:
        tall = min(rng.uniform(0.2, 0.45), 0.96 - top)
        if rng.random() < 0.5:
            _bars(sheet, rng, (left, top, wide, tall), inks)
        else:
            _bubbles(sheet, rng, (left, top, wide, tall), inks)
        top += tall + 0.04
    return sheet.pixels()


def _bars(sheet: Sheet, rng: Generator, area: tuple[float, float, float, float], inks: list[Colour]) -> None:
    left, top, wide, tall = area
    count = int(rng.integers(4, 12))
    for i, share in enumerate(rng.uniform(0.15, 1, count)):
        sheet.box(left + wide * i / count, top + tall * (1 - share), wide * 0.7 / count, tall * share, inks[i % 2 + 1])


def _bubbles(sheet: Sheet, rng: Generator, area: tuple[float, float, float, float], inks: list[Colour]) -> None:
    left, top, wide, tall = area
    for y in np.arange(top, top + tall - 0.06, 0.1):
        share, mine = rng.uniform(0.25, 0.75), rng.random() < 0.5
        x = left + wide * (1 - share) if mine else left
        sheet.box(x, y, wide * share, 0.08, inks[3 if mine else 4], round_by=0.03)
        words = " ".join(rng.choice(WORDS, 9))[: int(wide * share * 48)]
        sheet.words(x + 0.015, y + 0.018, words, (255, 255, 255), size=0.035)
