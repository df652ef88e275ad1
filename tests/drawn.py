"""Small drawn pictures for tests: clearly different ones, and edits of them."""

from __future__ import annotations

import numpy as np

from imkin import image
from imkin.types import Pixels


def picture(seed: int, *, width: int = 160, height: int = 120) -> Pixels:
    """A scene of soft waves and a few boxes; different seeds are far apart in every hash."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = sum(
        np.sin(2 * np.pi * (rng.uniform(-4, 4) * x + rng.uniform(-4, 4) * y) + rng.uniform(0, 6))[..., None]
        * rng.uniform(-40, 40, 3)
        for _ in range(6)
    )
    pixels = np.clip(128 + waves, 0, 255).astype(np.uint8)
    for _ in range(3):
        top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
        pixels[top : top + height // 4, left : left + width // 4] = rng.integers(0, 256, 3)
    return pixels


def write(path, pixels: Pixels, *, quality: int | None = None) -> str:
    """Write pixels to path as PNG, or as JPEG of a quality; returns the path as str."""
    data = image.encode_png(pixels) if quality is None else image.encode_jpeg(pixels, quality=quality)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)
