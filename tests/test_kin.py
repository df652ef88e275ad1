"""The built-in network: its file, its vectors, and the similarity of pictures by whole and regions."""

import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest

from imkin.join import cosine
from imkin.prints import embedding
from imkin.train.drawn import drawn_pictures

DIM = 256


@pytest.fixture(scope="module")
def pictures():
    drawn = drawn_pictures(16, side=200, seed=11)
    return [np.ascontiguousarray(picture[: 150 + i]) for i, picture in enumerate(drawn)][3::4]  # scenes of shapes


def unit(*numbers):
    vector = np.zeros(DIM, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def test_the_card_describes_the_file_that_is_shipped():
    folder = files("imkin") / "models"
    model, card = (folder / "kin.onnx").read_bytes(), json.loads((folder / "kin.json").read_text())
    assert hashlib.sha256(model).hexdigest() == card["sha256"]
    assert len(model) <= 6e6
    assert card["dim"] == DIM


def test_values_hold_a_unit_vector_of_every_region(pictures):
    method = embedding.fingerprinter()
    values, quality = method.embed_batch(pictures)
    assert values.shape == (len(pictures), method.spec.dim) and values.dtype == np.float32
    parts = values.reshape(len(pictures), len(embedding.REGIONS), DIM)
    assert np.linalg.norm(parts, axis=2) == pytest.approx(1, abs=1e-5)
    assert (quality > 0.2).all()
    whole, _ = embedding.fingerprinter(regions=False).embed_batch(pictures)
    assert np.array_equal(whole, parts[:, 0])


def test_a_value_is_the_same_to_the_bit_whatever_it_is_computed_with(pictures):
    method = embedding.fingerprinter()
    together, _ = method.embed_batch(pictures)
    alone = np.concatenate([method.embed_batch([picture])[0] for picture in pictures])
    assert np.array_equal(together, alone)
    squares = embedding.squares(pictures[0], embedding.REGIONS, side=embedding.card().side)
    for count in (1, 2, len(squares)):
        assert np.array_equal(embedding.embed(squares[:count]).reshape(-1), together[0, : count * DIM])


def test_no_pictures_give_no_rows():
    values, quality = embedding.fingerprinter().embed_batch([])
    assert values.shape == (0, embedding.fingerprinter().spec.dim) and quality.shape == (0,)


def test_blank_and_tiny_pictures_have_no_quality():
    blank, tiny = np.full((60, 60, 3), 200, np.uint8), drawn_pictures(4, side=160, seed=1)[3][:4, :4]
    assert embedding.fingerprinter().embed_batch([blank, tiny])[1].tolist() == [0.0, 0.0]


def test_regions_are_cut_where_they_are_said_to_be():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    left, right = embedding.squares(picture, ((0, 0, 0.5, 1), (0.5, 0, 1, 1)), side=32)
    assert (left == 0).all() and (right == 255).all()


def test_similarity_is_the_best_of_whole_and_regions_but_never_of_two_regions():
    count = len(embedding.REGIONS)
    apart = [unit(*np.eye(40)[i]) for i in range(2 * count)]
    a, b = np.stack(apart[:count]), np.stack(apart[count:])
    assert embedding.kin_similarity(a.ravel(), b.ravel()) == 0
    b[0] = 0.8 * a[0] + 0.6 * unit(*np.eye(60)[50])
    assert embedding.kin_similarity(a.ravel(), b.ravel()) == pytest.approx(0.8, abs=1e-6)
    a[2] = 0.9 * b[0] + np.sqrt(1 - 0.81) * unit(*np.eye(60)[51])
    assert embedding.kin_similarity(a.ravel(), b.ravel()) == pytest.approx(0.87, abs=1e-6)
    assert embedding.kin_similarity(b.ravel(), a.ravel()) == pytest.approx(0.87, abs=1e-6)
    b[3] = a[3]
    assert embedding.kin_similarity(a.ravel(), b.ravel()) == pytest.approx(0.87, abs=1e-6)
    assert embedding.kin_similarity(a.ravel(), a.ravel()) == 1


def similarities(a, b):
    return cosine.similarities(a, b, regions=len(embedding.REGIONS), cost=embedding.REGION_COST)


def test_the_fast_similarities_equal_the_slow_one():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(9, len(embedding.REGIONS), DIM)).astype(np.float32)
    parts[4, 2] = parts[7, 0]
    values = (parts / np.linalg.norm(parts, axis=2, keepdims=True)).reshape(9, -1)
    fast = similarities(values[:5], values[3:])
    slow = [[embedding.kin_similarity(a, b) for b in values[3:]] for a in values[:5]]
    assert fast == pytest.approx(np.array(slow), abs=1e-6)
    assert fast[4, 4] == pytest.approx(1 - embedding.REGION_COST, abs=1e-6)


def test_edited_copies_are_alike_and_other_pictures_are_not(pictures):
    method = embedding.fingerprinter()
    originals, _ = method.embed_batch(pictures)
    threshold = method.spec.default_threshold
    edits = {
        "mirrored": lambda p: p[:, ::-1],
        "darker": lambda p: (p * 0.7).astype(np.uint8),
        "half the size": lambda p: p[::2, ::2],
        "its left half": lambda p: p[:, : p.shape[1] // 2],
        "beside another": lambda p: np.concatenate([p, 255 - p[::-1]], axis=1),
    }
    for name, edit in edits.items():
        copies, _ = method.embed_batch([np.ascontiguousarray(edit(picture)) for picture in pictures])
        found = similarities(copies, originals)
        assert (found.diagonal() > threshold).all(), name
        assert (found[~np.eye(len(pictures), dtype=bool)] < threshold).all(), name
