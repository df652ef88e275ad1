"""PDQ against the pdqhash binding of Meta's reference, and its operators against the filter written out."""

import numpy as np
import pdqhash
import pytest

from imkin import image, prints
from imkin.prints import pdq
from imkin.testing import scene
from imkin.types import QUALITY_FLOOR

SIZES = [(64, 64), (127, 300), (128, 129), (240, 320), (375, 500), (500, 333), (600, 801), (1023, 700), (97, 2100)]
MOST_BITS, MEAN_BITS, GOOD = 10, 2, 50


def reference(pixels):
    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
    return np.packbits(bits), quality


def boxed(values, window):
    """One pass of the box filter along the rows, as the paper writes it: a window cut off at the ends."""
    ahead = window // 2 + 1
    return np.array([values[max(0, i + ahead - window) : i + ahead].mean(axis=0) for i in range(len(values))])


@pytest.mark.parametrize("length", [1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 300, 512, 513, 1000])
def test_the_operator_is_two_box_passes_and_a_sampling(length):
    window = -(-length // 128)
    filtered = boxed(boxed(np.eye(length), window), window)
    expected = filtered[[int((j + 0.5) * length / 64) for j in range(64)]] * pdq.UNIT
    for parts in (1, 16):
        bands = pdq.operator(length, reduced=False, flipped=False, parts=parts)
        dense = np.concatenate([np.pad(w.toarray(), ((0, 0), (low, length - high))) for low, high, w in bands])
        assert np.array_equal(dense.sum(axis=1), np.full(64, pdq.UNIT))
        assert abs(dense - expected).max() <= window * 2


@pytest.mark.parametrize("length", [1024, 1500, 4001])
def test_the_operator_of_a_large_length_is_near_the_reference(length):
    for reduced in (True, False):
        ((low, high, weights),) = pdq.operator(length, reduced=reduced, flipped=False)
        assert np.array_equal(weights.sum(axis=1), np.full(64, pdq.UNIT))
        centre = weights @ (np.arange(low, high) + 0.5) / pdq.UNIT
        assert abs(centre - (np.arange(64) + 0.5) * length / 64)[2:-2].max() <= (1e-2 if reduced else 1.5)


def test_bits_and_quality_equal_the_reference_on_drawn_pictures_under_1024_pixels():
    drawn = [scene(seed, *SIZES[seed % len(SIZES)]) for seed in range(45)]
    values, quality = prints.fingerprinter("pdq").embed_batch(drawn)
    bits, grades = zip(*map(reference, drawn), strict=True)
    different = np.bitwise_count(values ^ np.array(bits)).sum(axis=1)
    good = np.array(grades) >= GOOD
    assert good.sum() >= 20
    assert different[good].max() <= 2
    assert different[good].mean() <= 0.2
    assert abs(quality * 100 - grades).max() <= 1


def test_bits_of_a_picture_from_1024_pixels_on_are_within_ten_of_the_reference():
    drawn = [scene(seed, 520 + 40 * seed, 640).repeat(2, axis=0).repeat(2, axis=1) for seed in range(3)]
    values, quality = prints.fingerprinter("pdq").embed_batch(drawn)
    bits, grades = zip(*map(reference, drawn), strict=True)
    assert np.bitwise_count(values ^ np.array(bits)).sum(axis=1).max() <= MOST_BITS
    assert abs(quality * 100 - grades).max() <= 2


def test_bits_of_a_picture_decoded_at_half_size_are_within_ten_of_the_reference_at_full_size():
    small = [scene(seed, 520 + 40 * seed, 640) for seed in range(3)]
    files = [image.encode_jpeg(pixels.repeat(4, axis=0).repeat(4, axis=1), quality=90) for pixels in small]
    full = [image.decode(data, path="drawn").pixels for data in files]
    half = [image.decode(data, path="drawn", side=pdq.SIDE).pixels for data in files]
    assert [pixels.shape for pixels in (full[0], half[0])] == [(2080, 2560, 3), (1040, 1280, 3)]
    values, quality = prints.fingerprinter("pdq").embed_batch(half)
    bits, grades = zip(*map(reference, full), strict=True)
    different = np.bitwise_count(values ^ np.array(bits)).sum(axis=1)
    assert different.max() <= MOST_BITS
    assert abs(quality * 100 - grades).max() <= 2


def test_bits_equal_the_reference_on_photos(shared):
    paths = sorted((shared / "photos" / "dev").glob("*.jpg"))[::8]
    made = prints.fingerprinter("pdq")
    full = [image.decode(path.read_bytes(), path=str(path)).pixels for path in paths]
    reduced = [image.decode(path.read_bytes(), path=str(path), side=made.spec.side).pixels for path in paths]
    values, _ = made.embed_batch(reduced)
    bits, grades = zip(*map(reference, full), strict=True)
    different = np.bitwise_count(values ^ np.array(bits)).sum(axis=1)
    good = np.array(grades) >= GOOD
    assert good.sum() >= 60
    assert different[good].max() <= MOST_BITS
    assert different[good].mean() <= MEAN_BITS


@pytest.mark.parametrize("size", [(375, 500), (500, 131), (1024, 1030), (3, 5), (1, 40)])
def test_each_turn_holds_the_hash_of_the_turned_picture(size):
    pixels = scene(11, *size)
    upright = prints.fingerprinter("pdq")
    values, _ = prints.fingerprinter("pdq", turns=True).embed_batch([pixels])
    turned, _ = upright.embed_batch([prints.turn(pixels, t) for t in range(8)])
    assert np.array_equal(values.reshape(8, 32), turned)


def test_the_reference_agrees_that_these_are_the_eight_turns():
    pixels = scene(4, 512, 512)
    theirs = np.packbits(np.array(pdqhash.compute_dihedral(pixels)[0]), axis=1)
    ours = prints.fingerprinter("pdq", turns=True).embed_batch([pixels])[0].reshape(8, 32)
    bits = np.bitwise_count(ours[:, None] ^ theirs[None]).sum(axis=2)
    assert sorted(bits.argmin(axis=1)) == list(range(8))
    assert bits.min(axis=1).max() <= 31


def test_pictures_that_vary_one_way_only_and_tiny_ones_have_quality_0():
    x = np.arange(400)[None, :, None]
    stripes = [np.broadcast_to(x // step % 2 * 255, (300, 400, 3)).astype(np.uint8) for step in (3, 20, 50)]
    lying = [np.ascontiguousarray(picture.transpose(1, 0, 2)) for picture in stripes]
    _, quality = prints.fingerprinter("pdq").embed_batch([*stripes, *lying, scene(1, 7, 900), scene(2, 5, 3)])
    assert not quality.any()
    assert reference(stripes[1])[1] >= GOOD


def test_blank_and_noisy_blank_pictures_are_under_the_quality_floor():
    noise = np.random.default_rng(5).integers(126, 131, (4, 200, 300, 3)).astype(np.uint8)
    _, quality = prints.fingerprinter("pdq").embed_batch([*noise, np.zeros((90, 70, 3), np.uint8)])
    assert (quality < QUALITY_FLOOR).all()
