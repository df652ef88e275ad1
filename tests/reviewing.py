"""What the tests of the review share: a folder of drawn copies, a session on it, one of ten thousand groups."""

import os
from contextlib import contextmanager

import numpy as np

from drawn import picture, write
from imkin import image
from imkin.actions import Wish
from imkin.catalogue import Database
from imkin.grouping import Kin
from imkin.library import Library
from imkin.review import Pictures, Session, open_session
from imkin.review.about import About
from imkin.scan import Scan
from imkin.types import File, Pairs, Prints, Spec

VERB = "delete"


def lay_photos(folder, count=3):
    """In each of `count` folders: a picture, a smaller copy of it, and one saved smaller with low quality."""
    for seed in range(count):
        pixels = picture(seed, width=320, height=240)
        below = folder / f"album-{seed}"
        write(below / "photo.png", pixels)
        write(below / "photo small.jpg", image.thumbnail(pixels, side=200), quality=85)
        write(below / "photo low.jpg", image.thumbnail(pixels, side=280), quality=50)
    for at, (where, _, names) in enumerate(sorted(os.walk(folder))):
        for name in names:
            os.utime(os.path.join(where, name), ns=(10**18 + at, 10**18 + at))
    return folder


@contextmanager
def session_on(folder, catalogue, *, by="phash", threshold=0.9, verb=VERB, **more):
    """A session on a folder, its catalogue a file."""
    catalogue = str(catalogue)
    with Library(catalogue) as library, Database(catalogue, durable=True) as database:
        scanned = library.scan([str(folder)], by)
        wish = Wish(verb, (os.path.abspath(folder),))
        yield open_session(library, scanned, wish=wish, threshold=threshold, database=database, **more)


def made_session(database, count, *, size=2, folder="/made", similarity=0.95):
    """A session of `count` groups of `size` files that are on no disk; each is less alike than the one before."""
    total = count * size
    files = tuple(
        File(
            f"{folder}/album {at // size // 100:03}/IMG_{at:06}.jpg",
            2_000_000 + at,
            10**18 + at * 10**12,
            f"{at:064x}",
            "00" * 20,
            4000 - 8 * (at % size),
            3000 - 6 * (at % size),
            "JPEG",
        )
        for at in range(total)
    )
    spec = Spec("phash", 1, "bits", 64, 0.9, 32)
    prints = Prints(spec, np.zeros((total, 8), np.uint8), np.ones(total, np.float32))
    scanned = Scan(files, np.zeros(total, np.int64), prints, (), total, total, 0, 0)
    first = np.repeat(np.arange(0, total, size), size - 1)
    right = np.array([at for at in range(total) if at % size], np.int64)
    alike = (similarity - 0.1 * (first / max(1, total))).astype(np.float32)
    kin = Kin(np.arange(total), None, Pairs(first, right, alike))
    about = About(Wish(VERB, (folder,)), "phash", 0.8, 0.7)
    return Session(
        scanned, kin, about=about, database=database, pictures=Pictures(_drawn, unchanged=lambda _file: True)
    )


def _drawn(path, side):
    """A small picture of its own colour for each file; the two of a group are near."""
    number = int(os.path.basename(path)[4:10])
    rng = np.random.default_rng(number // 2)
    pixels = np.empty((90, 120, 3), np.uint8)
    pixels[:] = rng.integers(60, 220, 3)
    top, left = rng.integers(0, 45, 2)
    pixels[top : top + 40, left : left + 60] = rng.integers(60, 220, 3)
    return pixels
