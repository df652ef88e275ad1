"""What people do to pictures: edits to try a method on, each a function of pixels and a random generator.

They follow the kinds of the copy-detection literature (Copydays: Jégou et al. 2008; DISC21: Douze et al. 2021):
compression, size, colour, degradation, crops, frames, things on top, mirror and turns. No edit brings a second
photo in, so that an edited picture shows one photo only and is false beside every other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from imkin import draw
from imkin.image import encode_jpeg
from imkin.types import Pixels

Change = Callable[[Pixels, Generator], Pixels]

# As a phone or a photo program saves.
USUAL_QUALITY = 85
LUMA = (0.299, 0.587, 0.114)
# Sides of edited pictures: smaller ones have nothing left to be told by.
LEAST_SIDE = 16


@dataclass(frozen=True, slots=True)
class Edit:
    """One kind of edit. form, quality: of the file that the edited picture is saved as."""

    name: str
    about: str
    change: Change
    form: str = "JPEG"
    quality: int = USUAL_QUALITY

    def __call__(self, pixels: Pixels, rng: Generator) -> bytes:
        """File bytes of the edited picture. The same picture and state of the generator, the same bytes."""
        changed = np.ascontiguousarray(self.change(pixels, rng))
        if self.form == "JPEG":
            return encode_jpeg(changed, quality=self.quality)
        return draw.encode(changed, form=self.form, quality=self.quality)


def _same(pixels: Pixels, _: Generator) -> Pixels:
    return pixels


def _bytes(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _light(pixels: Pixels) -> NDArray[np.float64]:
    """(h, w, 1) luma."""
    return np.asarray(pixels @ np.array(LUMA), np.float64)[..., None]


def _scaled(across: float, down: float) -> Change:
    def change(pixels: Pixels, _: Generator) -> Pixels:
        height, width = pixels.shape[:2]
        return draw.resize(
            pixels, width=max(LEAST_SIDE, round(width * across)), height=max(LEAST_SIDE, round(height * down))
        )

    return change


def _gain(low: float, high: float) -> Change:
    return lambda pixels, rng: _bytes(pixels * rng.uniform(low, high))


def _contrast(low: float, high: float) -> Change:
    def change(pixels: Pixels, rng: Generator) -> Pixels:
        mean = _light(pixels).mean()
        return _bytes(mean + (pixels - mean) * rng.uniform(low, high))

    return change


def _saturation(low: float, high: float) -> Change:
    def change(pixels: Pixels, rng: Generator) -> Pixels:
        light = _light(pixels)
        return _bytes(light + (pixels - light) * rng.uniform(low, high))

    return change


def _sepia(pixels: Pixels, _: Generator) -> Pixels:
    return _bytes(_light(pixels) * (1.07, 0.95, 0.75))


def _tinted(pixels: Pixels, rng: Generator) -> Pixels:
    return _bytes(pixels * rng.uniform(0.75, 1.25, 3))


def _blurred(pixels: Pixels, rng: Generator) -> Pixels:
    from scipy.ndimage import gaussian_filter

    sigma = min(pixels.shape[:2]) * rng.uniform(0.006, 0.012)
    return np.asarray(gaussian_filter(pixels, (sigma, sigma, 0)), np.uint8)


def _noisy(pixels: Pixels, rng: Generator) -> Pixels:
    return _bytes(pixels + rng.normal(0, rng.uniform(10, 25), pixels.shape))


def _blocky(pixels: Pixels, rng: Generator) -> Pixels:
    height, width = pixels.shape[:2]
    block = max(2, round(min(height, width) * rng.uniform(0.015, 0.03)))
    small = draw.resize(pixels, width=max(1, width // block), height=max(1, height // block))
    return small.repeat(block, axis=0).repeat(block, axis=1)


def _cut(area: float) -> Change:
    """A part of so much of the area, anywhere, its shape up to a quarter wider or higher."""

    def change(pixels: Pixels, rng: Generator) -> Pixels:
        height, width = pixels.shape[:2]
        bend = rng.uniform(max(area, 0.8), min(1 / area, 1.25)) ** 0.5
        high = min(height, max(LEAST_SIDE, round(height * area**0.5 / bend)))
        wide = min(width, max(LEAST_SIDE, round(width * area**0.5 * bend)))
        top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
        return pixels[top : top + high, left : left + wide]

    return change


def _bordered(pixels: Pixels, rng: Generator) -> Pixels:
    edge = max(1, round(min(pixels.shape[:2]) * rng.uniform(0.04, 0.12)))
    ink = rng.choice([0, 255, int(rng.integers(256))])
    return np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), constant_values=ink)


def _letterboxed(pixels: Pixels, rng: Generator) -> Pixels:
    """Black bars on two sides, as a video player makes them."""
    bar = round(min(pixels.shape[:2]) * rng.uniform(0.08, 0.2))
    wide = ((bar, bar), (0, 0), (0, 0)) if rng.random() < 0.5 else ((0, 0), (bar, bar), (0, 0))
    return np.pad(pixels, wide)


def _captioned(pixels: Pixels, rng: Generator) -> Pixels:
    """Two lines of words, and a bar with words along the lower edge."""
    out = pixels.copy()
    height, width = out.shape[:2]
    size = max(10, height // 11)
    for words in ("WHEN YOU SEE IT", "just in: the evening news"):
        ink = tuple(int(each) for each in rng.integers(0, 256, 3))
        at = int(rng.integers(0, max(1, height * 3 // 4))), int(rng.integers(0, max(1, width // 3)))
        draw.write(out, words, left=at[1], top=at[0], size=size, colour=(ink[0], ink[1], ink[2]))
    out[height - height // 9 :] = 16
    draw.write(
        out, "www.example.org", left=size // 2, top=height - height // 10, size=size // 2, colour=(240, 240, 240)
    )
    return out


def _covered(pixels: Pixels, rng: Generator) -> Pixels:
    """Three boxes of one colour each, together over about a tenth of the picture."""
    out = pixels.copy()
    height, width = out.shape[:2]
    for share in rng.uniform(0.1, 0.24, (3, 2)):
        high, wide = max(1, round(height * share[0])), max(1, round(width * share[1]))
        top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
        out[top : top + high, left : left + wide] = rng.integers(0, 256, 3)
    return out


def _screenshot(pixels: Pixels, rng: Generator) -> Pixels:
    """The picture as a telephone shows it in an app: bars and words above, buttons and words below."""
    height, width = pixels.shape[:2]
    dark = bool(rng.random() < 0.5)
    paper, ink = ((18, 18, 20), (235, 235, 238)) if dark else ((250, 250, 252), (28, 28, 32))
    above, below = round(width * rng.uniform(0.15, 0.35)), round(width * rng.uniform(0.25, 0.6))
    screen = draw.canvas(width, above + height + below, paper)
    draw.paste(screen, pixels, left=0, top=above)
    size = max(10, width // 18)
    draw.write(screen, "9:41", left=size, top=size // 2, size=size, colour=ink)
    draw.write(screen, "somebody.someone", left=size, top=above - size * 3 // 2, size=size, colour=ink)
    for line, words in enumerate(("Liked by many others", "A fine day out, and home by six")):
        draw.write(screen, words, left=size, top=above + height + size + line * size * 2, size=size, colour=ink)
    return screen


def _mirrored(pixels: Pixels, _: Generator) -> Pixels:
    return pixels[:, ::-1]


def _quarter(pixels: Pixels, rng: Generator) -> Pixels:
    return np.rot90(pixels, int(rng.choice([1, 3])))


def _tilted(pixels: Pixels, rng: Generator) -> Pixels:
    from scipy.ndimage import rotate

    angle = float(rng.choice([-1, 1]) * rng.uniform(3, 8))
    return np.asarray(rotate(pixels, angle, reshape=False, order=1, mode="constant", cval=128), np.uint8)


EDITS = (
    Edit("jpeg 40", "saved again at quality 40", _same, quality=40),
    Edit("jpeg 12", "saved again at quality 12", _same, quality=12),
    Edit("webp", "saved as WebP", _same, "WEBP", 60),
    Edit("half size", "half as wide and high", _scaled(0.5, 0.5)),
    Edit("fifth size", "a fifth as wide and high", _scaled(0.2, 0.2)),
    Edit("squeezed", "a quarter narrower", _scaled(0.75, 1.0)),
    Edit("brighter", "lighter by 20 to 50 %", _gain(1.2, 1.5)),
    Edit("darker", "darker by 30 to 50 %", _gain(0.5, 0.7)),
    Edit("contrast", "contrast times 1.4 to 1.8", _contrast(1.4, 1.8)),
    Edit("faded", "contrast times 0.4 to 0.6", _contrast(0.4, 0.6)),
    Edit("vivid", "colours 1.6 to 2.4 times as strong", _saturation(1.6, 2.4)),
    Edit("tint", "each channel by -25 to 25 %", _tinted),
    Edit("gray", "without colour", _saturation(0.0, 0.0)),
    Edit("sepia", "brown, as an old print", _sepia),
    Edit("blur", "out of focus by 1 % of a side", _blurred),
    Edit("noise", "grain of 10 to 25 of 255", _noisy),
    Edit("pixels", "blocks of 2 % of a side", _blocky),
    Edit("crop 90 %", "a tenth cut away", _cut(0.9)),
    Edit("crop 70 %", "three tenths cut away", _cut(0.7)),
    Edit("crop 50 %", "half cut away", _cut(0.5)),
    Edit("border", "an even border of 4 to 12 %", _bordered),
    Edit("letterbox", "black bars on two sides", _letterboxed),
    Edit("caption", "words on it, a bar below", _captioned),
    Edit("boxes", "three boxes on it", _covered),
    Edit("screenshot", "shown in an app, with its bars", _screenshot),
    Edit("mirror", "left and right swapped", _mirrored),
    Edit("turn", "a quarter turn", _quarter),
    Edit("tilt", "3 to 8 degrees, corners gray", _tilted),
)
"""In the order of tables and charts."""
