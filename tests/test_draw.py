"""Drawn scenes differ clearly, and words land where they are put."""

from itertools import combinations

import imagehash
import numpy as np
import pytest
from PIL import Image

from imkin import draw

WHITE = (255, 255, 255)


def test_the_same_seed_draws_the_same_scenes_and_another_seed_others() -> None:
    first, again, other = (list(draw.scenes(13, seed=seed, width=96, height=64)) for seed in (3, 3, 4))
    assert [name for name, _ in first[:3]] == ["hills-1", "still-life-1", "page-1"]
    assert first[12][0] == "hills-2"
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in zip(first, other, strict=True))
    assert {(pixels.shape, pixels.dtype) for _, pixels in first} == {((64, 96, 3), np.dtype(np.uint8))}


def test_no_fingerprint_takes_one_of_forty_scenes_for_another() -> None:
    pictures = [Image.fromarray(pixels) for _, pixels in draw.scenes(40, seed=0, width=320, height=240)]
    hashes = [(imagehash.phash(p), imagehash.dhash(p), imagehash.average_hash(p)) for p in pictures]
    bits = np.array([[x - y for x, y in zip(a, b, strict=True)] for a, b in combinations(hashes, 2)])
    assert (bits.min(axis=0) > 6).all()
    assert ((bits < 20).sum(axis=1) < 2).all()


def test_words_stand_where_they_are_put_in_their_colour() -> None:
    page = draw.canvas(200, 60, WHITE)
    draw.write(page, "Harbour", left=20, top=10, size=20, colour=(200, 0, 0))
    rows, columns = np.nonzero((page != 255).any(axis=2))
    assert 20 <= columns.min() <= 22
    assert (rows.min() >= 10, rows.max() < 35) == (True, True)
    assert abs(columns.max() - 20 - draw.text_width("Harbour", size=20)) <= 2
    assert [200, 0, 0] in page.reshape(-1, 3).tolist()


@pytest.mark.parametrize(("left", "top"), [(-15, -5), (190, 50), (500, 5), (5, 500)])
def test_words_and_pictures_beyond_the_edge_are_cut(left: int, top: int) -> None:
    page, whole = draw.canvas(200, 60, WHITE), draw.canvas(900, 700, WHITE)
    draw.write(page, "Harbour", left=left, top=top, size=20, colour=(0, 0, 0))
    draw.write(whole, "Harbour", left=left + 100, top=top + 100, size=20, colour=(0, 0, 0))
    assert np.array_equal(page, whole[100:160, 100:300])
    draw.paste(page, draw.canvas(50, 50, (1, 2, 3)), left=max(left, 0), top=max(top, 0))
    assert page.shape == (60, 200, 3)


def test_long_words_are_shortened_in_their_middle_until_they_fit() -> None:
    path = "/home/ada/Pictures/2023/holiday in Brittany/IMG_2101.jpg"
    short = draw.shortened(path, size=14, width=150)
    assert draw.text_width(short, size=14) <= 150
    start, end = short.split("…")
    assert path.startswith(start)
    assert path.endswith(end)
    assert len(end) > len(start) > 0
    assert draw.shortened("IMG.jpg", size=14, width=150) == "IMG.jpg"


def test_a_frame_is_one_pixel_wide() -> None:
    page = draw.canvas(6, 5, WHITE)
    draw.frame(page, left=1, top=1, width=4, height=3, colour=(0, 0, 0))
    assert (page[..., 0] == 0).astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_resize_and_encode_keep_the_picture() -> None:
    picture = draw.canvas(40, 30, (10, 200, 90))
    assert np.array_equal(draw.resize(picture, width=80, height=20), draw.canvas(80, 20, (10, 200, 90)))
    assert draw.encode(picture, form="BMP")[:2] == b"BM"
    assert draw.encode(picture, form="WEBP", quality=80)[8:12] == b"WEBP"
