"""ahash, dhash, phash and vote against the imagehash library."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from imkin import image, prints
from imkin.testing import scene
from imkin.types import QUALITY_FLOOR

REFERENCE = {"ahash": imagehash.average_hash, "dhash": imagehash.dhash, "phash": imagehash.phash}
ODD_SIZES = [(1, 1), (1, 300), (300, 1), (3, 5), (2, 4000), (4000, 3), (8, 9), (32, 32)]


def reference(name, pixels):
    return bytes.fromhex(str(REFERENCE[name](Image.fromarray(np.ascontiguousarray(pixels)))))


def shape(kind, h, w, step, rng):
    """One of nine drawings, (h, w) of 0 and 1; most have a symmetry, so that rounding decides many DCT signs."""
    y, x = np.mgrid[:h, :w]
    away = abs(x - (w - 1) / 2), abs(y - (h - 1) / 2)
    return [
        x // step % 2,
        y // step % 2,
        (x // step + y // step) % 2,
        away[0] + away[1] < step,
        np.hypot(*away) < step,
        np.maximum(*away) // step % 2,
        x * 2 < w,
        x < 0,
        rng.integers(0, 2, (h, w)),
    ][kind]


def drawings(count, seed=3):
    rng = np.random.default_rng(seed)
    for i in range(count):
        h, w = ODD_SIZES[i % 8] if i % 5 == 0 else rng.integers(1, 200, 2)
        if i % 7 == 0:
            h = w
        colours = rng.integers(0, 256, (2, 3), dtype=np.uint8)
        yield colours[shape(i % 9, h, w, int(rng.integers(1, 40)), rng).astype(int)]


DRAWN = list(drawings(450))


@pytest.mark.parametrize("name", REFERENCE)
def test_bits_equal_the_imagehash_library_on_drawn_pictures(name):
    values, _ = prints.fingerprinter(name).embed_batch(DRAWN)
    assert [bytes(row) for row in values] == [reference(name, pixels) for pixels in DRAWN]


@pytest.mark.parametrize("name", REFERENCE)
def test_bits_equal_the_imagehash_library_on_photos(name, shared):
    paths = sorted((shared / "photos" / "dev").glob("*.jpg"))[:40]
    photos = [image.decode(path.read_bytes(), path=str(path), side=64).pixels for path in paths]
    values, _ = prints.fingerprinter(name).embed_batch(photos)
    assert [bytes(row) for row in values] == [reference(name, pixels) for pixels in photos]


@pytest.mark.parametrize("name", REFERENCE)
def test_each_turn_holds_the_hash_of_the_turned_picture(name):
    drawn = DRAWN[:60]
    values, _ = prints.fingerprinter(name, turns=True).embed_batch(drawn)
    assert values.shape == (60, 64)
    for pixels, row in zip(drawn, values, strict=True):
        assert [bytes(part) for part in row.reshape(8, 8)] == [
            reference(name, prints.turn(pixels, t)) for t in range(8)
        ]


@pytest.mark.parametrize("name", ["phash", "vote"])
def test_stripes_whose_low_frequencies_are_zero_have_quality_0(name):
    x = np.arange(320)[None, :, None]
    stripes = [np.broadcast_to(x // step % 2 * 255, (320, 320, 3)).astype(np.uint8) for step in (40, 80, 160)]
    values, quality = prints.fingerprinter(name).embed_batch(stripes)
    assert not quality.any()
    assert np.bitwise_count(values.reshape(3, -1, 8)[:, -2 if name == "vote" else 0]).sum(axis=1).max() <= 5


def test_a_vote_holds_ahash_phash_and_dhash_in_this_order():
    drawn = DRAWN[:20]
    for turns in (False, True):
        one = [prints.fingerprinter(name, turns=turns).embed_batch(drawn)[0] for name in ("ahash", "phash", "dhash")]
        votes, _ = prints.fingerprinter("vote", turns=turns).embed_batch(drawn)
        expected = np.concatenate([values.reshape(20, -1, 8) for values in one], axis=2)
        assert np.array_equal(votes.reshape(expected.shape), expected)


@pytest.mark.parametrize("name", [*REFERENCE, "vote"])
def test_blank_noisy_and_tiny_pictures_are_under_the_quality_floor(name):
    rng = np.random.default_rng(5)
    noise = rng.integers(126, 131, (5, 32, 32, 1)).astype(np.uint8).repeat(3, axis=-1)
    dots = np.full((2, 60, 60, 3), 255, np.uint8)
    dots[0, 20, 30] = dots[1, 5, 5:7] = 0
    tiny = rng.integers(0, 256, (7, 400, 3), dtype=np.uint8)
    poor = [np.zeros((50, 50, 3), np.uint8), np.full((9, 700, 3), 200, np.uint8), *noise, *dots, tiny]
    _, quality = prints.fingerprinter(name).embed_batch(poor)
    assert (quality < QUALITY_FLOOR).all()
    assert quality[-1] == 0
    _, good = prints.fingerprinter(name, turns=True).embed_batch([scene(0, 60, 90)])
    assert good[0] == 1
