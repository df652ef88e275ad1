"""Painters of things: (generator, width, height) to picture."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from imkin.draw.basic import Colour
from imkin.draw.sheet import SKIES, Sheet, blend, some
from imkin.types import Pixels


def _ridge(rng: Generator, base: float, swing: float) -> NDArray[np.float64]:
    """A wavy line from left to right and down around the lower corners."""
    x = np.linspace(0, 1, 80)
    waves = sum(np.sin(x * rng.uniform(2, 9) * k + rng.uniform(0, 7)) / k for k in (1, 2, 4))
    slope = rng.uniform(-1.6, 1.6) * (x - 0.5)
    line = np.stack([x, base + swing * (waves + slope)], axis=1)
    return np.concatenate([line, [[1, 1.02], [0, 1.02]]])


def hills(rng: Generator, width: int, height: int) -> Pixels:
    """Hills under a sun or moon, with trees and sometimes a house."""
    upper, lower = SKIES[rng.integers(len(SKIES))]
    sheet = Sheet(width, height, upper, lower)
    sun = blend((255, 244, 214), lower, rng.uniform(0, 0.3))
    sheet.disc(rng.uniform(0.1, 0.9), rng.uniform(0.12, 0.4), rng.uniform(0.05, 0.14), sun)
    hill, count = some(rng, 1)[0], int(rng.integers(3, 6))
    horizon = rng.uniform(0.3, 0.62)
    for i in range(count):
        near = (i + 1) / count
        line = _ridge(rng, horizon + (0.98 - horizon) * i / count, rng.uniform(0.05, 0.13))
        sheet.polygon(line, blend(lower, blend(hill, (18, 26, 30), 0.55 * near), 0.25 + 0.75 * near))
        for x, y in line[rng.permutation(76)[: int(rng.integers(0, 7))]]:
            if near > 0.4:
                _tree(sheet, x, y, 0.05 + 0.14 * near * rng.uniform(0.6, 1), blend(hill, (10, 24, 20), 0.7))
    if rng.random() < 0.7:
        _house(sheet, rng, rng.uniform(0.1, 0.75), rng.uniform(0.68, 0.85), rng.uniform(0.1, 0.2))
    return sheet.pixels()


def _tree(sheet: Sheet, x: float, y: float, tall: float, colour: Colour) -> None:
    slim = tall * 0.3 * sheet.height / sheet.width
    for low, wide in ((0.0, 1.0), (0.3, 0.75), (0.6, 0.5)):
        foot = y + 0.02 - tall * low
        sheet.polygon([(x - slim * wide, foot), (x + slim * wide, foot), (x, foot - tall * 0.55)], colour)


def _house(sheet: Sheet, rng: Generator, x: float, y: float, wide: float) -> None:
    wall, roof = (242, 234, 220), some(rng, 1)[0]
    tall = wide * 0.8
    sheet.box(x, y - tall, wide, tall, wall)
    sheet.polygon([(x - 0.02, y - tall), (x + wide + 0.02, y - tall), (x + wide / 2, y - tall * 1.75)], roof)
    sheet.box(x + wide * 0.4, y - tall * 0.55, wide * 0.2, tall * 0.55, blend(roof, (20, 20, 20), 0.4))
    for at in (0.12, 0.7):
        sheet.box(x + wide * at, y - tall * 0.75, wide * 0.18, tall * 0.28, (255, 221, 140))


def sea(rng: Generator, width: int, height: int) -> Pixels:
    """Sailing boats on the sea."""
    upper, lower = SKIES[rng.integers(len(SKIES))]
    sheet = Sheet(width, height, upper, lower)
    sheet.disc(rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.5), rng.uniform(0.06, 0.16), (255, 240, 205))
    horizon = rng.uniform(0.4, 0.75)
    water = blend(blend(upper, (16, 70, 100), 0.6), (230, 240, 240), rng.uniform(0, 0.5))
    for i in range(7):
        share = i / 7
        line = _ridge(rng, horizon + (1 - horizon) * share, 0.004 + 0.012 * share)
        sheet.polygon(line, blend(blend(water, lower, 0.35), blend(water, (6, 24, 44), 0.5), share))
    for _ in range(int(rng.integers(1, 4))):
        x, y, tall = rng.uniform(0.12, 0.85), horizon + rng.uniform(0.02, 0.18), rng.uniform(0.18, 0.5)
        sail, jib, hull = some(rng, 3)
        wide = tall * 0.32
        sheet.polygon([(x, y - tall), (x, y - 0.03), (x + wide, y - 0.03)], blend(sail, (255, 255, 255), 0.55))
        sheet.polygon([(x - 0.01, y - tall * 0.9), (x - 0.01, y - 0.03), (x - wide * 0.6, y - 0.03)], jib)
        sheet.polygon(
            [(x - wide * 0.8, y), (x + wide, y), (x + wide * 0.7, y + 0.05), (x - wide * 0.5, y + 0.05)], hull
        )
    return sheet.pixels()


def city(rng: Generator, width: int, height: int) -> Pixels:
    """A skyline with lit windows."""
    upper, lower = SKIES[rng.integers(len(SKIES))]
    sheet = Sheet(width, height, upper, lower)
    sheet.disc(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.3), 0.06, (250, 240, 220))
    tone, peak = some(rng, 1)[0], rng.uniform(0.1, 0.9)
    for near in (0.35, 0.7, 1.0):
        x = -0.03
        while x < 1:
            wide = rng.uniform(0.05, 0.14)
            top = 0.35 + 0.3 * near - rng.uniform(0.1, 0.45) * (1.15 - abs(x - peak)) * (1.3 - near)
            wall = blend(lower, blend(tone, (16, 20, 34), 0.65), near)
            sheet.box(x, top, wide, 1.02 - top, wall)
            lit = rng.random((40, 8)) < 0.3
            for row, column in np.argwhere(lit[: int((1 - top) / 0.045), : int(wide / 0.022)]):
                spot = (x + 0.007 + column * 0.022, top + 0.02 + row * 0.045, 0.011, 0.02)
                sheet.box(*spot, blend(wall, (255, 219, 130), 0.3 + 0.5 * near))
            x += wide + rng.uniform(0, 0.05)
    return sheet.pixels()


def still_life(rng: Generator, width: int, height: int) -> Pixels:
    """A vase, flowers and balls on a table."""
    wall, table, cloth, vase = some(rng, 4)
    sheet = Sheet(width, height, blend(wall, (255, 255, 255), rng.uniform(0, 0.6)), wall)
    edge = rng.uniform(0.5, 0.75)
    sheet.box(0, edge, 1, 1, blend(table, (60, 40, 30), 0.4))
    sheet.polygon([(0.2, edge), (0.9, edge), (1.05, 1.02), (rng.uniform(-0.1, 0.5), 1.02)], cloth)
    at, tall = rng.uniform(0.15, 0.85), rng.uniform(0.25, 0.45)
    for _ in range(5):
        tip = (at + rng.uniform(-0.14, 0.14), edge - tall - rng.uniform(0.02, 0.25))
        sheet.line([(at, edge - tall * 0.8), tip], (58, 94, 62), thick=0.012)
        sheet.disc(*tip, rng.uniform(0.03, 0.07), some(rng, 1)[0])
    sheet.disc(at, edge - tall * 0.3, tall * 0.42, vase, squash=1.1)
    sheet.box(at - tall * 0.13, edge - tall, tall * 0.26, tall * 0.6, vase)
    for _ in range(int(rng.integers(3, 8))):
        x, y, radius, skin = rng.uniform(0.1, 0.9), rng.uniform(edge, 0.9), rng.uniform(0.06, 0.15), some(rng, 1)[0]
        sheet.disc(x + radius * 0.2, y + radius * 0.85, radius, blend(table, (20, 16, 16), 0.7), squash=0.25)
        for glow in np.linspace(0, 1, 20):
            tint = blend(skin, (255, 250, 235), 0.7 * float(glow) ** 1.5)
            sheet.disc(x - radius * 0.35 * glow, y - radius * 0.4 * glow, radius * (1 - 0.85 * glow), tint)
    return sheet.pixels()


def balloons(rng: Generator, width: int, height: int) -> Pixels:
    """Hot-air balloons."""
    upper, lower = SKIES[rng.integers(len(SKIES))]
    if rng.random() < 0.5:
        upper, lower = lower, upper
    sheet = Sheet(width, height, upper, lower)
    for _ in range(int(rng.integers(2, 6))):
        x, y, radius = rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.7), rng.uniform(0.08, 0.26)
        one, two = some(rng, 2)
        slim = sheet.height / sheet.width
        sheet.polygon([(x - radius * 0.8 * slim, y + radius * 0.6), (x + radius * 0.8 * slim, y + radius * 0.6),
                       (x, y + radius * 1.5)], one)  # fmt: skip
        for i in range(5):
            across = radius * (1 - i * 0.22) * slim
            edges = (
                (x - across) * sheet.width,
                (y - radius) * sheet.height,
                (x + across) * sheet.width,
                (y + radius) * sheet.height,
            )
            sheet.draw.ellipse(edges, fill=one if i % 2 == 0 else two)
        sheet.box(x - radius * 0.14 * slim, y + radius * 1.5, radius * 0.28 * slim, radius * 0.25, (110, 78, 52))
    return sheet.pixels()


def flower(rng: Generator, width: int, height: int) -> Pixels:
    """One large flower."""
    leaf, petal, inner, heart = some(rng, 4)
    sheet = Sheet(width, height, blend(leaf, (14, 22, 20), 0.6), blend(leaf, (245, 245, 235), rng.uniform(0, 0.8)))
    cx, cy, reach, petals = (
        rng.uniform(0.25, 0.75),
        rng.uniform(0.3, 0.65),
        rng.uniform(0.28, 0.5),
        int(rng.integers(5, 14)),
    )
    sheet.line([(cx, cy), (cx + rng.uniform(-0.2, 0.2), 1.05)], (70, 110, 66), thick=0.03)
    slim, start = sheet.height / sheet.width, rng.uniform(0, 6)
    for share, colour in ((1.0, petal), (0.62, inner)):
        turn = start + 2 * np.pi * np.arange(petals) / petals + (1 - share)
        for angle in turn:
            around = np.linspace(0, 2 * np.pi, 40)
            along, across = reach * share * (0.5 + 0.5 * np.cos(around)), reach * share * np.sin(around) * 2.1 / petals
            x = cx + (along * np.cos(angle) - across * np.sin(angle)) * slim
            y = cy + along * np.sin(angle) + across * np.cos(angle)
            sheet.polygon(np.stack([x, y], axis=1), blend(colour, (255, 255, 255), 0.25 * float(np.sin(angle) ** 2)))
    sheet.disc(cx, cy, reach * 0.25, heart)
    return sheet.pixels()
