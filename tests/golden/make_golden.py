"""Write prints.json: the fingerprints of drawn pictures, which must never change without a new version.

usage: python tests/golden/make_golden.py

The pictures are made of whole numbers by numpy alone, so they are the same everywhere.
"""

import json
from pathlib import Path

import numpy as np

from imkin import prints
from imkin.types import Prints

FILE = Path(__file__).with_name("prints.json")
METHODS = ("ahash", "dhash", "phash", "pdq", "vote")


def pictures():
    """Name to (h, w, 3) uint8: wide, tall, tiny, over PDQ's side, blank, striped, symmetric, noisy."""

    def grid(height, width):
        return np.mgrid[:height, :width]

    def colours(*levels):
        return np.stack(levels, axis=-1).astype(np.uint8)

    y, x = grid(120, 160)
    slope = colours(x * 255 // 159, y * 255 // 119, (x + y) * 255 // 278)
    disc = colours(
        *(np.where((x - cx) ** 2 + (y - 60) ** 2 < 1600, ink, x) for cx, ink in ((60, 220), (80, 90), (95, 30)))
    )
    cross = colours(*[np.where((abs(x - 80) < 12) | (abs(y - 60) < 12), 230, 40)] * 3)
    board = colours(*[(x // 20 + y // 20) % 2 * 255] * 3)
    stripes = colours(*[x // 16 % 2 * 200] * 3)
    mixed = colours(x * y % 256, x * x // 37 % 256, (x * 7 + y * y // 11) % 256)
    y, x = grid(90, 401)
    wide = colours((x * x // 97 + y) % 256, (x * y // 53) % 256, abs(x - 200))
    y, x = grid(333, 77)
    tall = colours(y * 3 // 4, (x * 5 + y) % 256, (x * x + y * y) // 499 % 256)
    y, x = grid(1030, 1100)
    large = colours(x * y // 4500 % 256, ((x - 500) ** 2 + (y - 300) ** 2) // 6000 % 256, (x // 150 + y // 90) * 12)
    y, x = grid(5, 3)
    tiny = colours(x * 80, y * 50, x * y * 20)
    noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return {
        "blank": np.full((50, 60, 3), 200, np.uint8),
        "board": board,
        "cross": cross,
        "disc": disc,
        "large": large,
        "mixed": mixed,
        "noise": noise,
        "slope": slope,
        "stripes": stripes,
        "tall": tall,
        "tiny": tiny,
        "wide": wide,
    }


def golden():
    """Method to its spec's id and to the hex of each picture's turns, the upright one first, and to its quality."""
    drawn = pictures()
    table = {}
    for name in METHODS:
        made = prints.fingerprinter(name, turns=True)
        values, quality = made.embed_batch(list(drawn.values()))
        parts = prints.turn_parts(Prints(made.spec, values, quality))
        rows = {
            picture: {"quality": round(float(grade), 4), "turns": [part.tobytes().hex() for part in row]}
            for picture, row, grade in zip(drawn, parts, quality, strict=True)
        }
        table[name] = {"id": prints.spec(name).id, "id_with_turns": made.spec.id, "pictures": rows}
    return table


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), indent=1) + "\n")
