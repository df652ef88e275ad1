"""The default method: records, their similarity, and the join by it."""

import numpy as np
import pytest

import imkin
from imkin import image, metric, prints
from imkin.join import align, fused
from imkin.prints import TURNS, auto, turn
from imkin.testing import check_fingerprinter, scene
from imkin.types import Prints

PICTURES = [scene(seed, 240, 320) for seed in range(6)]


def edited():
    """Copies of the first pictures, and all pictures."""
    first, second, third = PICTURES[:3]
    bordered = np.pad(first, ((30, 30), (40, 40), (0, 0)), constant_values=255)
    copies = [first[20:200, 40:280], bordered, second[:, ::-1], np.rot90(third), first // 2 + 64]
    return [*PICTURES, *map(np.ascontiguousarray, copies)]


@pytest.fixture(scope="module")
def records():
    values, _ = prints.fingerprinter("auto").embed_batch(edited())
    return values


def test_auto_keeps_the_contract_of_a_fingerprinter():
    check_fingerprinter(prints.fingerprinter("auto"))


def test_copies_are_likely_and_others_are_not(records):
    similarity = fused.similarities(auto.unpack(records), auto.unpack(records))
    source = np.array([0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 0])
    same = source[:, None] == source[None, :]
    assert similarity[same].min() >= 0.9
    # Scenes of one generator have much in common: none may be reported, some are as likely as not.
    assert similarity[~same].max() < auto.THRESHOLD
    assert np.median(similarity[~same]) < 0.05


def test_equal_records_alone_are_one(records):
    similarity = fused.similarities(auto.unpack(records), auto.unpack(records))
    assert (similarity.diagonal() == 1).all()
    off = similarity[~np.eye(len(records), dtype=bool)]
    assert off.max() <= 0.9999


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_the_join_finds_what_comparing_all_pairs_finds(records, threshold):
    unpacked = auto.unpack(records)
    pairs = fused.self_join(unpacked, threshold)
    expected = fused.similarities(unpacked, unpacked)
    left, right = np.nonzero(np.triu(expected >= np.float32(threshold), 1))
    assert pairs.left.tolist() == left.tolist()
    assert pairs.right.tolist() == right.tolist()
    assert np.allclose(pairs.similarity, expected[left, right], atol=1e-4)


def test_the_join_is_the_same_on_one_thread_and_on_many(records):
    one, many = (fused.self_join(auto.unpack(records), 0.3, jobs=jobs) for jobs in (1, 4))
    assert one.similarity.tolist() == many.similarity.tolist()


def test_the_signals_are_those_of_a_slow_definition(records):
    unpacked = auto.unpack(records)
    for i, j in ((0, 6), (1, 8), (2, 9), (0, 3), (4, 7)):
        a, b = unpacked.vectors[i], unpacked.vectors[j]
        whole = float(a[0] @ b[0])
        region = max(*(float(r @ b[0]) for r in a[1:]), *(float(a[0] @ r) for r in b[1:]))
        bits = min(
            int(np.unpackbits(unpacked.codes[x, 0] ^ unpacked.codes[y, t]).sum())
            for x, y in ((i, j), (j, i))
            for t in range(TURNS)
        )
        near = max(0, fused.RADIUS + 1 - bits) / (fused.RADIUS + 1)
        odds = fused.WHOLE * whole + fused.REGION * region + fused.CODES * near + fused.BIAS
        at = np.array([i]), np.array([j])
        found, turned = fused.nearest_turn(unpacked, unpacked, *at)
        signals = fused.measured(unpacked, unpacked, *at, *fused._capped(found, turned))
        assert found[0] == bits
        assert signals.base[0] == pytest.approx(odds, abs=1e-3)


def test_a_turned_picture_says_which_turn_brings_it_back():
    embed = prints.fingerprinter("auto").embed_batch
    for t in range(TURNS):
        values, _ = embed([PICTURES[0], np.ascontiguousarray(turn(PICTURES[0], t))])
        unpacked = auto.unpack(values)
        bits, turned = fused.nearest_turn(unpacked, unpacked, np.array([0]), np.array([1]))
        assert bits[0] <= 8
        assert turned[0] == fused.inverse(t)
        laid = align.overlay(align.details(unpacked.thumbs[:1]), align.details(unpacked.thumbs[1:]), turned)
        assert laid[0] > 0.95


def test_details_are_less_most_of_the_mean_of_what_is_around():
    from scipy.ndimage import uniform_filter

    thumbs = np.stack([image.area_gray(image.gray(p), width=64, height=64) for p in PICTURES[:3]])
    around = uniform_filter(thumbs.astype(np.float64), (0, align.AROUND, align.AROUND), mode="reflect")
    assert np.abs(align.details(thumbs) - (thumbs - align.SHARE * around)).max() < 1e-3


def slow_place(whole, part):
    """The best place of a part in a whole by the definition: every size, turn and place, one correlation each."""
    ground = align._shrink(whole[None], align.GRID, align.GRID)[0].astype(np.float64)
    ground -= ground.mean()
    best = (-2.0,)
    for height, width in align.SHAPES:
        for t in range(TURNS):
            size = (width, height) if t % 2 else (height, width)
            template = turn(align._shrink(part[None], *size)[0].astype(np.float64), t)
            template = template - template.mean()
            for top in range(align.GRID - height + 1):
                for left in range(align.GRID - width + 1):
                    window = ground[top : top + height, left : left + width]
                    window = window - window.mean()
                    length = max(np.linalg.norm(window), align.FLAT * np.sqrt(height * width))
                    score = (window * template).sum() / length / np.linalg.norm(template)
                    if score > best[0]:
                        best = (score, t, left, top, left + width, top + height)
    return best


def test_a_part_is_found_where_the_slow_search_finds_it():
    whole = PICTURES[0]
    part = np.ascontiguousarray(turn(whole[60:210, 80:240], 5))
    thumbs = np.stack([image.area_gray(image.gray(p), width=64, height=64) for p in (whole, part)])
    details = align.details(thumbs)
    found = align.align(details[:1], details[1:])
    score, t, *box = slow_place(details[0], details[1])
    assert found.inside[0]
    assert found.score[0] == pytest.approx(score, abs=1e-4)
    assert found.turn[0] == t
    assert (found.box[0] * align.GRID).tolist() == box
    assert np.abs(found.box[0] - [80 / 320, 60 / 240, 240 / 320, 210 / 240]).max() <= 1.5 / align.GRID


def test_the_public_similarity_is_that_of_the_join(tmp_path):
    for number, picture in enumerate(edited()):
        (tmp_path / f"{number:02}.png").write_bytes(image.encode_png(picture))
    made = imkin.fingerprint(tmp_path, by="auto")
    similarity = imkin.similarity(made, made)
    pairs = imkin.pairs(tmp_path, by="auto", threshold=0.5)
    at = {path: i for i, path in enumerate(made.paths)}
    assert len(pairs) >= 5
    assert all(abs(similarity[at[p.a], at[p.b]] - p.similarity) <= 1e-4 for p in pairs)


def test_values_of_another_width_are_refused():
    made = prints.fingerprinter("auto")
    with pytest.raises(ValueError):
        metric.similarity(*[Prints(made.spec, np.zeros((1, 7), np.uint8), np.ones(1, np.float32))] * 2)
