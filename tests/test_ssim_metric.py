"""The oracle against scikit-image, and the rules of sizes."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from imkin.join.ssim import ssim_pair
from imkin.metric_ssim import (
    ALMOST_ONE,
    SCALE_WEIGHTS,
    common_shape,
    mean_ssim,
    ms_ssim,
    reduce_to,
    similarity,
    ssim_map,
)

SHAPES = ((7, 7), (7, 8), (30, 7), (16, 16), (33, 57), (101, 64), (64, 2101))


def drawn(shape, seed):
    """Smooth areas, edges, noise: one picture of each shape and seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = 120 + 90 * np.sin(x / rng.uniform(2, 20)) * np.cos(y / rng.uniform(2, 20))
    picture[(x // 5 + y // 7) % 4 == 0] = rng.integers(0, 256)
    picture += rng.normal(0, rng.choice([0, 1, 30]), shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def pairs():
    for shape in SHAPES:
        for seed in range(4):
            a = drawn(shape, seed)
            changed = a.copy()
            changed[3:5, 1:4] ^= 37
            yield a, drawn(shape, seed + 100)
            yield a, changed
            yield a, 255 - a
            yield a, np.full(shape, 128, np.uint8)
            yield np.zeros(shape, np.uint8), np.full(shape, 255 - seed, np.uint8)
            yield np.full(shape, 9, np.uint8), np.full(shape, 10, np.uint8)


def test_the_oracle_equals_scikit_image():
    for a, b in pairs():
        assert abs(mean_ssim(a, b) - structural_similarity(a, b)) < 1e-12


def test_the_map_equals_that_of_scikit_image():
    for a, b in pairs():
        assert np.abs(ssim_map(a, b) - structural_similarity(a, b, full=True)[1]).max() < 1e-9


def test_the_fast_pair_equals_scikit_image_clipped_to_0_and_1():
    for a, b in pairs():
        assert abs(ssim_pair(a, b) - max(0, structural_similarity(a, b))) < 1e-7
        assert abs(ssim_pair(a, b) - similarity(a, b)) < 1e-12


def test_the_fast_pair_is_the_same_either_way_round():
    for a, b in pairs():
        assert ssim_pair(a, b) == ssim_pair(b, a)


def test_a_map_of_negative_similarity_is_clipped_to_0():
    a = np.indices((32, 32)).sum(axis=0) % 2 * np.uint8(200)
    b = (200 - a).astype(np.uint8)
    assert mean_ssim(a.astype(np.uint8), b) < -0.9
    assert ssim_pair(a.astype(np.uint8), b) == similarity(a.astype(np.uint8), b) == 0


def test_only_equal_pixels_are_1_even_in_float32():
    a = np.full((600, 800), 200, np.uint8)
    b = a.copy()
    b[300, 400] += 1
    assert ssim_pair(a, a.copy()) == similarity(a, a.copy()) == 1
    assert 1 - 1e-6 < ssim_pair(a, b) <= ALMOST_ONE
    assert np.float32(ssim_pair(a, b)) < 1
    assert np.float32(similarity(a, b)) < 1


def test_sizes_are_compared_at_the_smaller_height_and_width():
    assert common_shape((768, 1024), (768, 1024)) == (768, 1024)
    assert common_shape((768, 1024), (384, 512)) == (384, 512)
    assert common_shape((1000, 1000), (995, 1005)) == (995, 1000)


def test_sizes_whose_aspect_ratios_are_more_than_2_percent_apart_are_not_compared():
    assert common_shape((100, 102), (100, 100)) == (100, 100)
    assert common_shape((1000, 1021), (1000, 1000)) is None
    assert common_shape((100, 60), (60, 100)) is None
    assert similarity(np.zeros((100, 60), np.uint8), np.zeros((60, 100), np.uint8)) == 0
    assert ssim_pair(np.zeros((100, 60), np.uint8), np.zeros((60, 100), np.uint8)) == 0


def test_pictures_below_7_pixels_a_side_are_like_nothing():
    tiny = np.zeros((6, 50), np.uint8)
    assert common_shape(tiny.shape, tiny.shape) is None
    assert ssim_pair(tiny, tiny) == similarity(tiny, tiny) == 0


def test_a_larger_picture_is_reduced_by_area_before_it_is_compared():
    large = drawn((80, 120), 1)
    small = drawn((40, 60), 2)
    want = structural_similarity(reduce_to(large, (40, 60)), small)
    assert abs(ssim_pair(large, small) - want) < 1e-9
    assert abs(similarity(small, large) - want) < 1e-9


def test_a_picture_and_its_exact_enlargement_are_almost_1():
    small = drawn((40, 60), 3)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    assert ssim_pair(small, large) == similarity(small, large) == ALMOST_ONE


def test_ms_ssim_of_equal_pictures_is_1():
    a = drawn((190, 200), 4)
    assert ms_ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_ms_ssim_of_two_constants_is_the_luminance_to_the_power_of_the_last_weight():
    a, b = np.full((200, 200), 50, np.uint8), np.full((200, 200), 100, np.uint8)
    luminance = (2 * 50 * 100 + 6.5025) / (50**2 + 100**2 + 6.5025)
    assert ms_ssim(a, b) == pytest.approx(luminance ** SCALE_WEIGHTS[-1], abs=1e-9)


def test_ms_ssim_of_one_scale_is_scikit_images_gaussian_ssim():
    # scikit-image's window of σ 1.5 cut at 3.5 σ has 11 pixels too; at 11..21 pixels a side there is one scale.
    a, b = drawn((20, 21), 5), drawn((20, 21), 6)
    want = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert ms_ssim(a, b) == pytest.approx(max(0, want), abs=1e-9)


def test_ms_ssim_falls_with_noise():
    a = drawn((190, 200), 7)
    rng = np.random.default_rng(0)
    noisy = [np.clip(a + rng.normal(0, s, a.shape), 0, 255).astype(np.uint8) for s in (2, 10, 50)]
    values = [ms_ssim(a, b) for b in noisy]
    assert 1 > values[0] > values[1] > values[2] > 0


def test_ms_ssim_refuses_what_no_window_fits():
    with pytest.raises(ValueError, match="11 pixels"):
        ms_ssim(np.zeros((10, 50), np.uint8), np.zeros((10, 50), np.uint8))
