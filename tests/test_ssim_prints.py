"""The fingerprinter `ssim` and the store of its values."""

import numpy as np
import pytest

from imkin.errors import UsageError
from imkin.image import area_gray, gray
from imkin.join.ssim_store import GrayStore
from imkin.prints.ssim import fingerprinter


def colours(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_values_are_the_gray_pictures_at_full_size():
    images = [colours(30, 40), colours(50, 20, 1)]
    values, quality = fingerprinter().embed_batch(images)
    assert values.dtype == object
    assert quality.dtype == np.float32
    for value, pixels in zip(values, images, strict=True):
        assert np.array_equal(value, gray(pixels))
    assert quality.tolist() == [1, 1]


def test_pictures_of_one_size_stay_an_array_of_pictures():
    values, _ = fingerprinter().embed_batch([colours(30, 40), colours(30, 40, 1)])
    assert values.shape == (2,)


def test_pictures_below_7_pixels_a_side_have_quality_0():
    images = [colours(6, 40), colours(40, 6), colours(7, 7)]
    assert fingerprinter().embed_batch(images)[1].tolist() == [0, 0, 1]


def test_a_size_reduces_the_longer_side_by_area_and_never_enlarges():
    images = [colours(60, 100), colours(20, 10)]
    values, quality = fingerprinter(size=50).embed_batch(images)
    assert np.array_equal(values[0], area_gray(gray(images[0]), width=50, height=30))
    assert np.array_equal(values[1], gray(images[1]))
    assert quality.tolist() == [1, 1]
    assert fingerprinter(size=50).embed_batch([colours(8, 100)])[1].tolist() == [0]


def test_the_size_is_part_of_the_specs_id():
    full, half = fingerprinter().spec, fingerprinter(size=512).spec
    assert full.id != half.id
    assert (full.name, full.kind, full.dim, full.side, full.default_threshold) == ("ssim", "gray image", 0, 0, 0.95)
    assert half.params["size"] == 512


def test_a_size_at_which_no_window_fits_is_refused():
    for size in (-1, 1, 6):
        with pytest.raises(UsageError, match="at least 7"):
            fingerprinter(size=size)


def test_no_pictures_give_no_values():
    values, quality = fingerprinter().embed_batch([])
    assert values.shape == quality.shape == (0,)


def test_a_store_gives_back_what_it_was_given():
    noise = np.random.default_rng(0).integers(0, 256, (90, 33)).astype(np.uint8)
    flat = np.full((200, 300), 7, np.uint8)
    pictures = [noise, flat, noise.T, np.zeros((0, 5), np.uint8), flat[:50].copy()]
    with GrayStore() as store:
        assert [store.append(p) for p in pictures] == [0, 1, 2, 3, 4]
        for order in ([0, 1, 2, 3, 4], [4, 4, 0], []):
            for i, got in zip(order, store.load(order), strict=True):
                assert np.array_equal(got, pictures[i])
        assert store.shapes.tolist() == [list(p.shape) for p in pictures]
        assert len(store) == 5
        assert store.bytes < 2 * noise.size + 1000


def test_a_store_writes_equal_pictures_once_and_numbers_them_alike():
    a, b = np.zeros((20, 30), np.uint8), np.ones((20, 30), np.uint8)
    with GrayStore() as store:
        for picture in (a, b, a.copy(), a.reshape(30, 20), b):
            store.append(picture)
        assert store.same.tolist() == [0, 1, 0, 2, 1]
        before = store.bytes
        store.append(a)
        assert store.bytes == before
        assert store.load([2])[0].shape == (20, 30)
        assert store.load([3])[0].shape == (30, 20)


def test_an_empty_store_has_shapes_of_no_rows():
    with GrayStore() as store:
        assert store.shapes.shape == (0, 2)
        assert store.same.shape == (0,)
