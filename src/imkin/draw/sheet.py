"""The finely drawn picture that the painters work on, their colours and their words."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imkin.draw.basic import Colour, font
from imkin.types import Pixels

# Scenes are drawn twice as large and halved, which smooths their edges.
FINE = 2

INK: tuple[Colour, ...] = (
    (38, 70, 83), (42, 157, 143), (233, 196, 106), (244, 162, 97), (231, 111, 81), (106, 76, 147), (25, 130, 196),
    (138, 201, 38), (255, 89, 94), (255, 202, 58), (94, 84, 142), (240, 128, 128), (67, 97, 120), (196, 164, 132),
)  # fmt: skip

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((96, 165, 222), (222, 238, 246)),
    ((29, 36, 78), (86, 84, 142)),
    ((250, 214, 160), (238, 120, 96)),
    ((70, 52, 108), (250, 170, 120)),
    ((168, 196, 206), (240, 232, 214)),
    ((14, 20, 40), (44, 74, 104)),
)

_STORY = """the tide went out before breakfast and left the boats lying in the harbour like sleeping dogs nobody
hurried a baker opened her shutters counted the clouds and put one more tray of rolls into the oven for the ferry"""
WORDS = tuple(_STORY.split())


class Sheet:
    """A finely drawn picture under way; lengths are shares of its width and height."""

    def __init__(self, width: int, height: int, upper: Colour, lower: Colour) -> None:
        """Begin with a ground that fades from upper to lower."""
        self.width, self.height = width * FINE, height * FINE
        share = np.linspace(0, 1, self.height)[:, None, None]
        column = np.asarray(upper) * (1 - share) + np.asarray(lower) * share
        self.image = Image.fromarray(np.repeat(column.astype(np.uint8), self.width, axis=1))
        self.draw = ImageDraw.Draw(self.image)

    def polygon(self, points: NDArray[np.float64] | list[tuple[float, float]], colour: Colour) -> None:
        """Fill the outline through points (x, y)."""
        self.draw.polygon([(float(x) * self.width, float(y) * self.height) for x, y in points], fill=colour)

    def box(self, x: float, y: float, w: float, h: float, colour: Colour, *, round_by: float = 0.0) -> None:
        """Fill the box whose upper left corner is (x, y)."""
        edges = (x * self.width, y * self.height, (x + w) * self.width, (y + h) * self.height)
        self.draw.rounded_rectangle(edges, radius=round_by * self.height, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, squash: float = 1.0) -> None:
        """Fill a disc around (x, y); radius is a share of the height, squash how much flatter it is."""
        across = radius * self.height
        cx, cy = x * self.width, y * self.height
        self.draw.ellipse((cx - across, cy - across * squash, cx + across, cy + across * squash), fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, *, thick: float) -> None:
        """Draw through points; thick is a share of the height."""
        places = [(x * self.width, y * self.height) for x, y in points]
        self.draw.line(places, fill=colour, width=max(1, round(thick * self.height)), joint="curve")

    def words(self, x: float, y: float, text: str, colour: Colour, *, size: float) -> None:
        """Set text with its upper left corner at (x, y); size is a share of the height."""
        letters = font(max(6, round(size * self.height)))
        self.draw.text((x * self.width, y * self.height), text, fill=colour, font=letters)

    def pixels(self) -> Pixels:
        """The finished picture, smoothed."""
        return np.asarray(self.image.reduce(FINE))


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """A colour between a (share 0) and b (share 1)."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def some(rng: Generator, count: int) -> list[Colour]:
    """Different colours, at random."""
    return [INK[i] for i in rng.permutation(len(INK))[:count]]
