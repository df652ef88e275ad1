"""The oracle itself, against definitions written out pair by pair."""

import numpy as np
import pytest

from imkin import metric, metric_ssim, prints
from imkin.errors import UsageError
from imkin.testing import scene
from imkin.types import Prints, Spec

RNG = np.random.default_rng(20)


def made(spec, values):
    return Prints(spec, values, np.ones(len(values), np.float32))


def codes(n, nbytes, seed=0):
    """Random codes, and beside each one copies with 1, 6 and 7 bits changed."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (n, nbytes), dtype=np.uint8)
    rows = [base]
    for bits in (1, 6, 7):
        flips = np.zeros((n, nbytes * 8), np.uint8)
        for row in flips:
            row[rng.choice(nbytes * 8, bits, replace=False)] = 1
        rows.append(base ^ np.packbits(flips, axis=1))
    return np.concatenate(rows)


def one_minus_bits(a, b):
    x, y = int.from_bytes(a.tobytes(), "big"), int.from_bytes(b.tobytes(), "big")
    return 1 - (x ^ y).bit_count() / (8 * len(a))


def by_pairs(a, b, rule):
    return np.array([[rule(x, y) for y in b] for x in a], np.float32)


@pytest.mark.parametrize("nbytes", [1, 7, 8, 24, 32])
def test_bits_count_what_differs(nbytes):
    spec = Spec("bits", 1, "bits", nbytes * 8, 0.9, 0)
    a, b = (
        codes(5, nbytes) if nbytes > 1 else RNG.integers(0, 256, (9, 1), dtype=np.uint8),
        codes(3, nbytes, seed=0)[:7],
    )
    assert np.array_equal(metric.similarity(made(spec, a), made(spec, b)), by_pairs(a, b, one_minus_bits))


def test_planted_neighbours_have_their_distance():
    spec = prints.spec("phash")
    values = codes(6, 8)
    found = metric.similarity(made(spec, values[:6]), made(spec, values)).reshape(6, 4, 6)
    for k, bits in enumerate((0, 1, 6, 7)):
        assert (found[np.arange(6), k, np.arange(6)] == np.float32(1 - bits / 64)).all()
    threshold = np.float32(spec.default_threshold)
    assert (found[:, 2].diagonal() >= threshold).all()
    assert (found[:, 3].diagonal() < threshold).all()


def test_a_vote_is_the_median_of_three():
    spec = prints.spec("vote")
    a, b = codes(6, 24), codes(4, 24, seed=9)
    b[:3, 8:] = a[:3, 8:]

    def median(x, y):
        return sorted(one_minus_bits(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16))[1]

    found = metric.similarity(made(spec, a), made(spec, b))
    assert np.array_equal(found, by_pairs(a, b, median))
    assert (found.diagonal()[:3] == 1).all()


def test_turns_take_the_best_turn_both_ways():
    spec = prints.spec("phash", turns=True)
    a, b = RNG.integers(0, 256, (5, 64), dtype=np.uint8), RNG.integers(0, 256, (4, 64), dtype=np.uint8)
    b[0, 40:48] = a[0, :8]
    a[1, 16:24] = b[1, :8]

    def best(x, y):
        x, y = x.reshape(8, 8), y.reshape(8, 8)
        return max(max(one_minus_bits(x[0], y[t]), one_minus_bits(x[t], y[0])) for t in range(8))

    found = metric.similarity(made(spec, a), made(spec, b))
    assert np.array_equal(found, by_pairs(a, b, best))
    assert found[0, 0] == found[1, 1] == 1
    assert np.array_equal(metric.similarity(made(spec, b), made(spec, a)), found.T)


def test_turns_of_a_vote_take_the_median_of_one_turn_and_not_of_several():
    spec = prints.spec("vote", turns=True)
    a, b = (RNG.integers(0, 256, (3, 192), dtype=np.uint8) for _ in range(2))
    b[0, 24:32], b[0, 56:64] = a[0, :8], a[0, 8:16]  # ahash agrees with turn 1, phash with turn 2

    def median(x, y):
        return sorted(one_minus_bits(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16))[1]

    def best(x, y):
        x, y = x.reshape(8, 24), y.reshape(8, 24)
        return max(max(median(x[0], y[t]), median(x[t], y[0])) for t in range(8))

    found = metric.similarity(made(spec, a), made(spec, b))
    assert np.array_equal(found, by_pairs(a, b, best))
    assert found[0, 0] < 1


@pytest.mark.parametrize("name", ["ahash", "dhash", "phash", "pdq", "vote"])
def test_a_turned_picture_is_the_same_with_turns(name):
    upright, turning = prints.fingerprinter(name), prints.fingerprinter(name, turns=True)
    picture = scene(3, 200, 260)
    turned = [np.ascontiguousarray(prints.turn(picture, t)) for t in range(8)]
    values = turning.embed_batch([picture])[0], turning.embed_batch(turned)[0]
    assert (metric.similarity(made(turning.spec, values[0]), made(turning.spec, values[1])) == 1).all()
    flat = made(upright.spec, upright.embed_batch(turned)[0])
    assert metric.similarity(flat, flat)[0, 1:].max() < 1


def test_equal_digests_are_1_and_others_0():
    spec = prints.spec("exact")
    a = RNG.integers(0, 256, (4, 32), dtype=np.uint8)
    b = a[[2, 0]].copy()
    b[1, 31] ^= 1
    assert metric.similarity(made(spec, a), made(spec, b)).tolist() == [[0, 0], [0, 0], [1, 0], [0, 0]]


def test_the_cosine_of_the_same_is_exactly_1_and_negative_ones_are_0():
    spec = Spec("vector", 1, "unit vector", 5, 0.8, 0)
    a = RNG.normal(size=(30, 5)).astype(np.float32)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    a = np.concatenate([a, -a[:2], np.zeros((1, 5), np.float32)])
    found = metric.similarity(made(spec, a), made(spec, a))
    assert (found.diagonal()[:-1] == 1).all()
    assert found[0, 30] == found[30, 0] == 0
    assert not found[-1].any()
    expected = [[max(0.0, float(x.astype(float) @ y.astype(float))) for y in a] for x in a]
    assert np.allclose(found, expected, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1


def test_gray_images_are_compared_by_ssim():
    spec = Spec("gray", 1, "gray image", 0, 0.95, 0)
    values = np.empty(3, object)
    for i, side in enumerate((40, 40, 60)):
        values[i] = RNG.integers(0, 256, (side, 40), dtype=np.uint8)
    found = metric.similarity(made(spec, values), made(spec, values[:2]))
    assert found.shape == (3, 2)
    assert found.tolist() == by_pairs(values, values[:2], metric_ssim.similarity).tolist()
    assert found[0, 0] == found[1, 1] == 1


def test_different_specs_are_never_compared():
    values = np.zeros((1, 8), np.uint8)
    other = Spec("phash", 2, "bits", 64, 0.9, 0)
    with pytest.raises(UsageError, match=r"^fingerprints of `phash-1-.*` and of `phash-2-.*` cannot be compared"):
        metric.similarity(made(prints.spec("phash"), values), made(other, values))


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("name", ["exact", "phash", "vote"])
def test_nothing_is_compared_with_nothing(name, turns):
    if name == "exact" and turns:
        turns = False
    spec = prints.spec(name, turns=turns)
    none, some = (made(spec, np.zeros((n, spec.dim // 8), np.uint8)) for n in (0, 3))
    assert metric.similarity(none, some).shape == (0, 3)
    assert metric.similarity(some, none).shape == (3, 0)


def test_blocks_do_not_show(monkeypatch):
    spec = prints.spec("pdq")
    values = codes(20, 32)
    whole = metric.similarity(made(spec, values), made(spec, values[:30]))
    monkeypatch.setattr(metric, "BLOCK_PAIRS", 70)
    assert np.array_equal(metric.similarity(made(spec, values), made(spec, values[:30])), whole)
