"""The collage and the picture of where two images differ."""

import numpy as np
import pytest

from imkin import draw
from imkin.report.collage import collage, difference, sample_pairs
from imkin.result import Pair

PAIRS = [Pair(f"/p/{i}.jpg", f"/p/{i} copy.jpg", 0.95) for i in range(50)]
RED, BLUE = (200, 30, 30), (30, 30, 200)


def test_a_sample_is_in_order_without_repeats_and_repeatable() -> None:
    chosen = sample_pairs(PAIRS, 20, seed=0)
    assert len(set(chosen)) == 20
    assert chosen == sorted(chosen, key=PAIRS.index)
    assert chosen == sample_pairs(PAIRS, 20, seed=0) != sample_pairs(PAIRS, 20, seed=1)
    assert sample_pairs(PAIRS, 50, seed=0) == PAIRS
    assert sample_pairs(PAIRS, 0, seed=0) == []


def colours(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, pixels.reshape(-1, 3).tolist()))


def test_a_row_shows_both_images_whole_and_never_enlarged() -> None:
    shapes = {"/p/a.jpg": draw.canvas(720, 90, RED), "/p/b.jpg": draw.canvas(36, 27, BLUE)}
    whole = collage([Pair("/p/a.jpg", "/p/b.jpg", 1.0)], load=shapes.__getitem__)
    red, blue = (np.argwhere((whole == colour).all(axis=2)) for colour in (RED, BLUE))
    assert (red.max(axis=0) - red.min(axis=0) + 1).tolist() == [45, 360]
    assert (blue.max(axis=0) - blue.min(axis=0) + 1).tolist() == [27, 36]
    assert red[:, 1].max() < blue[:, 1].min()


def test_every_pair_has_a_row_and_a_missing_image_leaves_its_place_blank() -> None:
    one, three = (collage(PAIRS[:count], load=lambda _: None) for count in (1, 3))
    assert one.shape[1] == three.shape[1]
    assert three.shape[0] - one.shape[0] == 2 * (270 + 62 + 16)
    assert colours(one) > {(240, 238, 233), (251, 250, 247)}
    with pytest.raises(ValueError, match="at least one pair"):
        collage([], load=lambda _: None)


def test_the_score_of_a_pair_is_written_between_its_images() -> None:
    low, high = (collage([Pair("/p/a", "/p/b", score)], load=lambda _: None) for score in (0.9, 0.95))
    places = np.argwhere((low != high).any(axis=2))
    assert places[:, 1].min() > 24 + 360
    assert places[:, 1].max() < 24 + 360 + 150


def test_difference_marks_what_differs_and_nothing_else() -> None:
    a = draw.canvas(300, 200, (100, 100, 100))
    b = a.copy()
    b[50:100, 100:200, 2] = 160
    whole = difference(a, b)
    heat = whole[24:224, 24 + 2 * 316 : 24 + 2 * 316 + 300]
    coloured = heat.max(axis=2) != heat.min(axis=2)
    expected = np.zeros((200, 300), bool)
    expected[50:100, 100:200] = True
    assert np.array_equal(coloured, expected)
    assert np.array_equal(whole[24:224, 24:324], a)
    assert np.array_equal(whole[24:224, 340:640], b)


def test_a_larger_difference_is_redder() -> None:
    a = np.zeros((64, 256, 3), np.uint8)
    b = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    heat = difference(a, b)[24:88, 24 + 2 * 272 : 24 + 2 * 272 + 256].astype(int)
    assert (np.diff(heat[0, :, 1]) <= 0).mean() > 0.95
    assert heat[0, 0].tolist() == [200, 200, 200]
    assert heat[0, 255].tolist() == [150, 15, 40]


def test_images_of_different_sizes_are_compared_at_one_size() -> None:
    big, small = draw.canvas(1120, 560, RED), draw.canvas(70, 20, RED)
    assert difference(big, small, names=("a" * 200, "naïve 图")).shape[1] == 2 * 24 + 3 * 560 + 2 * 16
    tall = difference(draw.canvas(3, 900, RED), draw.canvas(1, 1, BLUE))
    assert tall.shape == (2 * 24 + 560 + 34, 2 * 24 + 3 * 220 + 2 * 16, 3)
