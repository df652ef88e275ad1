"""Gray, resizing and encoding of decoded pixels."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from imkin import image


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_gray_is_pillows_luma_and_the_formula_for_every_kind_of_colour():
    pixels = np.concatenate(
        [noise(200, 300), np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 300, 1).repeat(3, 2)]
    )
    got = image.gray(pixels)
    np.testing.assert_array_equal(got, np.asarray(Pillow.fromarray(pixels).convert("L")))
    red, green, blue = pixels.astype(np.uint32).transpose(2, 0, 1)
    np.testing.assert_array_equal(got, (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)
    np.testing.assert_array_equal(image.gray(pixels[::2, ::-1]), got[::2, ::-1])


@pytest.mark.parametrize(("width", "height"), [(32, 32), (9, 8), (1, 1), (200, 150)])
def test_resize_gray_is_pillows_lanczos(width, height):
    gray = noise(61, 97, 1)
    expected = Pillow.fromarray(gray).resize((width, height), Pillow.Resampling.LANCZOS)
    np.testing.assert_array_equal(image.resize_gray(gray, width=width, height=height), np.asarray(expected))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(1, 50), st.integers(0, 9))
def test_area_gray_is_the_mean_of_the_area_under_each_value(height, width, rows, columns, seed):
    gray = noise(height, width, 1, seed)
    # Oracle: every pixel repeated so often that the areas fall on whole numbers of copies.
    copies = np.repeat(np.repeat(gray.astype(np.int64), rows, 0), columns, 1)
    sums = copies.reshape(rows, height, columns, width).sum((1, 3))
    expected = (2 * sums + height * width) // (2 * height * width)
    np.testing.assert_array_equal(image.area_gray(gray, width=columns, height=rows), expected)


def test_area_gray_by_whole_factors_is_pillows_reduce():
    gray = noise(64, 96, 1)
    np.testing.assert_array_equal(
        image.area_gray(gray, width=24, height=16), np.asarray(Pillow.fromarray(gray).reduce(4))
    )


def test_a_thumbnail_keeps_the_shape_and_is_never_enlarged():
    pixels = noise(300, 400)
    assert image.thumbnail(pixels, side=100).shape == (75, 100, 3)
    assert image.thumbnail(pixels.swapaxes(0, 1), side=100).shape == (100, 75, 3)
    assert image.thumbnail(noise(2, 900), side=90).shape == (1, 90, 3)
    np.testing.assert_array_equal(image.thumbnail(pixels, side=400), pixels)


def test_png_and_jpeg_files_are_decoded_to_what_was_encoded():
    pixels = np.asarray(Pillow.fromarray(noise(6, 8)).resize((80, 60), Pillow.Resampling.BICUBIC))
    again = image.decode(image.encode_png(pixels), path="p")
    assert isinstance(again, image.Image)
    np.testing.assert_array_equal(again.pixels, pixels)
    rough, fine = (image.encode_jpeg(pixels, quality=quality) for quality in (30, 95))
    assert len(rough) < len(fine) and Pillow.open(io.BytesIO(fine)).format == "JPEG"
    again = image.decode(fine, path="p")
    assert isinstance(again, image.Image) and np.abs(again.pixels.astype(int) - pixels).mean() < 3
