"""Edits of pictures: what they are to a picture, and that the same seed gives the same bytes."""

import numpy as np
import pytest

from drawn import picture
from imkin import image
from imkin.edits import EDITS, LEAST_SIDE

NAMED = {edit.name: edit for edit in EDITS}


def made(name, pixels, seed=0):
    decoded = image.decode(NAMED[name](pixels, np.random.default_rng(seed)), path=name)
    return decoded.pixels


def test_names_are_different():
    assert len(NAMED) == len(EDITS)


@pytest.mark.parametrize("name", NAMED)
def test_an_edit_is_the_same_bytes_for_the_same_seed_and_leaves_its_picture_alone(name):
    pixels = picture(1)
    before = pixels.copy()
    first = NAMED[name](pixels, np.random.default_rng(7))
    assert NAMED[name](pixels, np.random.default_rng(7)) == first
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", [(1, 1), (3, 300), (17, 16)])
def test_an_edit_of_the_smallest_pictures_is_a_picture(name, size):
    pixels = np.full((*size, 3), 90, np.uint8)
    assert made(name, pixels).ndim == 3


def test_crops_keep_the_area_that_they_say():
    pixels = picture(2, width=200, height=150)
    for name, area in (("crop 90 %", 0.9), ("crop 70 %", 0.7), ("crop 50 %", 0.5)):
        for seed in range(5):
            height, width = made(name, pixels, seed).shape[:2]
            assert height * width / 30_000 == pytest.approx(area, abs=0.08)


def test_sizes_and_positions_are_what_their_names_say():
    pixels = picture(3, width=200, height=150)
    assert made("half size", pixels).shape == (75, 100, 3)
    assert made("fifth size", pixels).shape == (30, 40, 3)
    assert made("squeezed", pixels).shape == (150, 150, 3)
    assert made("turn", pixels).shape == (200, 150, 3)
    assert made("fifth size", np.zeros((20, 20, 3), np.uint8)).shape == (LEAST_SIDE, LEAST_SIDE, 3)
    assert np.abs(made("mirror", pixels).astype(int) - pixels[:, ::-1]).mean() < 4
    gray = made("gray", pixels).astype(int)
    assert np.abs(gray.max(axis=2) - gray.min(axis=2)).max() <= 3
