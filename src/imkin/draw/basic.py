"""Boxes, words and files: what the collage and the painters share."""

from __future__ import annotations

import io
import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imkin.types import Pixels

Colour = tuple[int, int, int]


def canvas(width: int, height: int, colour: Colour) -> Pixels:
    """A picture of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def paste(target: Pixels, pixels: Pixels, *, left: int, top: int) -> None:
    """Put pixels onto target, in place, cut to what fits."""
    height, width = target.shape[:2]
    part = pixels[: max(0, height - top), : max(0, width - left)]
    target[top : top + part.shape[0], left : left + part.shape[1]] = part


def frame(target: Pixels, *, left: int, top: int, width: int, height: int, colour: Colour) -> None:
    """Draw the one-pixel outline of a box onto target, in place; it must lie inside."""
    right, bottom = left + width - 1, top + height - 1
    target[[top, bottom], left : right + 1] = colour
    target[top : bottom + 1, [left, right]] = colour


def resize(pixels: Pixels, *, width: int, height: int) -> Pixels:
    """Lanczos, to exactly width and height."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def write(target: Pixels, words: str, *, left: int, top: int, size: int, colour: Colour) -> None:
    """Set words onto target, in place. top: of the tallest letters. size: of the font, pixels."""
    words = _spelt(words)
    if not words:
        return
    x0, _, x1, y1 = (int(edge) for edge in font(size).getbbox(words))
    mask = Image.new("L", (max(1, x1 - x0), max(1, y1)), 0)
    ImageDraw.Draw(mask).text((-x0, 0), words, fill=255, font=font(size))
    part = np.asarray(mask)[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    part = part[: max(0, target.shape[0] - top), : max(0, target.shape[1] - left), None].astype(np.float32) / 255
    under = target[top : top + part.shape[0], left : left + part.shape[1]]
    under[:] = np.rint(under * (1 - part) + np.asarray(colour, np.float32) * part)


def text_width(words: str, *, size: int) -> int:
    """Pixels that words take at a size."""
    return int(np.ceil(font(size).getlength(_spelt(words))))


def shortened(words: str, *, size: int, width: int) -> str:
    """Words cut in their middle until they fit a width in pixels: the ends of a path tell the most."""
    if text_width(words, size=size) <= width:
        return words
    low, high = 0, len(words)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        fits = text_width(_cut(words, middle), size=size) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return _cut(words, low)


def encode(pixels: Pixels, *, form: str, quality: int = 85) -> bytes:
    """File bytes in a form that Pillow writes and `image` does not: WEBP, TIFF, BMP, GIF, …"""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, quality=quality)
    return stream.getvalue()


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, size in pixels."""
    return ImageFont.load_default(size)


def _spelt(words: str) -> str:
    """Words without the accents, which Pillow's font lacks."""
    if words.isascii():
        return words
    return "".join(each for each in unicodedata.normalize("NFKD", words) if not unicodedata.combining(each))


def _cut(words: str, keep: int) -> str:
    return words[: keep // 3] + "…" + words[len(words) - (keep - keep // 3) :]
