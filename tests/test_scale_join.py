"""The joins over shards against those of one machine."""

import dataclasses

import numpy as np
import pytest

from imkin import join, prints
from imkin.engine import Blocks, open_engine
from imkin.join import hamming
from imkin.join.hamming_plan import Block, Plan, choose, measure
from imkin.scale import banding, cells, equals, pairing, tiles
from imkin.types import Prints, Spec


@pytest.fixture(scope="module")
def engine():
    made = open_engine("local", jobs=2)
    yield made
    made.close()


def flipped(rng, code, count):
    bits = np.unpackbits(code)
    bits[rng.permutation(len(bits))[:count]] ^= 1
    return np.packbits(bits)


def planted(nbytes, radius, seed, *, families=40, noise=3000):
    """Codes with neighbours at radius - 1, radius and radius + 1; and where those neighbours stand."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (noise + families * 4, nbytes), dtype=np.uint8)
    for family in range(families):
        for step, apart in enumerate((radius - 1, radius, radius + 1), start=1):
            codes[family * 4 + step] = flipped(rng, codes[family * 4], apart)
    return codes[rng.permutation(len(codes))]


def rows_of(values, first=0):
    values = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    rows = np.zeros(len(values), equals.row_type(values.shape[1]))
    rows["image"], rows["good"] = first + np.arange(len(values)), True
    rows["value"] = values.view(f"V{values.shape[1]}").reshape(-1)
    rows["key"] = equals.folded(values)
    return rows


def blocks_of(values, size=900):
    return Blocks([rows_of(values[at : at + size], at) for at in range(0, len(values), size)])


def collected(engine, near):
    return pairing.unique(np.concatenate([each.pairs for each in engine.run(near)]))


def banding_of(codes, radius, *, turns=1, pairs=1e12):
    bits = 8 * codes.shape[1] // turns
    upright = np.ascontiguousarray(codes[:, : bits // 8])
    sample = measure([hamming.to_words(upright)], bits, radius=radius)
    plan = choose(sample, radius, rows=len(codes), pairs=pairs)  # as if there were more: a plan with tables
    assert plan.blocks
    return banding.Banding(plan, radius, bits, turns, sample.order, sample.words)


@pytest.mark.parametrize(("nbytes", "radius"), [(8, 1), (8, 3), (8, 6), (32, 31), (5, 3)])
def test_bands_find_exactly_the_pairs_within_the_radius(engine, nbytes, radius):
    codes = planted(nbytes, radius, seed=nbytes * radius)
    left, right, apart = hamming.self_join(codes, radius)
    assert {radius - 1, radius} <= set(apart.tolist())
    assert radius + 1 in hamming.self_join(codes, radius + 1)[2]
    plan = banding_of(codes, radius, pairs=3e8 if nbytes == 32 else 1e12)
    found = np.concatenate([each.pairs for each in engine.run(banding.banded(engine, blocks_of(codes), plan, 5))])
    assert len(found) == len(left)  # each from one table alone
    found = pairing.unique(found)
    assert (found["left"] == left).all()
    assert (found["right"] == right).all()
    assert (found["similarity"] == (1 - apart / np.float32(8 * nbytes)).astype(np.float32)).all()


def test_bands_find_turned_copies(engine):
    rng = np.random.default_rng(4)
    upright, turns = planted(8, 4, seed=9, families=10, noise=160), 8
    values = rng.integers(0, 256, (len(upright), turns * 8), dtype=np.uint8)
    values[:, :8] = upright
    for image in range(0, 100, 2):  # the next one is this one, turned three times
        values[image + 1, :8] = flipped(rng, values[image, 24:32], 4)
        values[image, 40:48] = flipped(rng, values[image + 1, :8], 2)
    spec = Spec("t", 1, "bits", 8 * turns * 8, 1 - 4 / 64, 32, {"turns": turns})
    near = join.near(Prints(spec, values, np.ones(len(values), np.float32)), 1 - 4 / 64)[1]
    found = collected(engine, banding.banded(engine, blocks_of(values), banding_of(values, 4, turns=turns), 3))
    assert len(near) > 50
    assert (found["left"].tolist(), found["right"].tolist()) == (near.left.tolist(), near.right.tolist())
    assert (found["similarity"] == near.similarity).all()


def test_a_hot_bucket_is_joined_and_told_of(engine, monkeypatch):
    monkeypatch.setattr(banding, "HOT_CODES", 500)
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 256, (2000, 8), dtype=np.uint8)
    codes[:700, :6] = 255  # as of blank pictures: only 16 bits differ
    codes = codes[hamming.distinct(codes)[0]]
    # No order of the bits, which would spread those that differ, and a plan of short keys.
    halves = Plan((Block(0, 32, 1, 2), Block(32, 64, 1, 2)))
    plan = dataclasses.replace(banding_of(codes, 3), order=None, plan=halves)
    near = list(engine.run(banding.banded(engine, blocks_of(codes), plan, 4)))
    left, right, _ = hamming.self_join(codes, 3)
    found = pairing.unique(np.concatenate([each.pairs for each in near]))
    assert (found["left"].tolist(), found["right"].tolist()) == (left.tolist(), right.tolist())
    hot = [size for each in near for size in each.hot]
    assert min(hot) >= 500


PARTS = (range(3), range(3, 10))


@pytest.mark.parametrize("by", ["vote", "kin"])
def test_tiles_find_what_one_machine_finds(engine, by, monkeypatch):
    monkeypatch.setattr(tiles, "FEW", 50)
    rng = np.random.default_rng(1)
    spec = prints.spec(by)
    if by == "vote":
        values = planted(24, 20, seed=5, families=20, noise=300)
    else:
        parts = rng.normal(size=(300, int(str(spec.params["regions"])), spec.dim // int(str(spec.params["regions"]))))
        parts[1::3] = parts[::3] + 0.4 * rng.normal(size=parts[::3].shape)
        parts /= np.linalg.norm(parts, axis=2, keepdims=True)
        values = parts.reshape(300, -1).astype(np.float32)
    near = join.near(Prints(spec, values, np.ones(len(values), np.float32)), spec.default_threshold)[1]
    width = values.dtype.itemsize * values.shape[1]
    assert tiles.tiles_for(len(values), width) == 4
    plan = tiles.Tiling(spec, spec.default_threshold, 4)
    found = collected(engine, tiles.tiled(engine, blocks_of(values, 70), plan, 3))
    # In rounds of some pairs of tiles each.
    rounds = [collected(engine, tiles.tiled(engine, blocks_of(values, 70), plan, 3, part)) for part in PARTS]
    assert (pairing.unique(np.concatenate(rounds)) == found).all()
    assert sum(map(len, rounds)) == len(found)
    assert len(near) >= 20
    assert (found["left"].tolist(), found["right"].tolist()) == (near.left.tolist(), near.right.tolist())
    assert np.allclose(found["similarity"], near.similarity, atol=1e-6)


def test_cells_tell_the_recall_that_brute_force_measures(engine):
    rng = np.random.default_rng(2)
    spec = Spec("v", 1, "unit vector", 32, 0.8, 32)
    values = rng.normal(size=(6000, 32)).astype(np.float32)
    values[3000:] = values[:3000] + 0.25 * rng.normal(size=(3000, 32)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    rows, sample = blocks_of(values), rows_of(values)
    chosen = cells.cells_for(spec, 0.8, values, 60_000)
    assert len(chosen.centres) == 30
    found = collected(engine, cells.celled(engine, rows, chosen, 4))
    near = join.near(Prints(spec, values, np.ones(6000, np.float32)), 0.8)[1]
    whole = set(zip(near.left.tolist(), near.right.tolist(), strict=True))
    ours = set(zip(found["left"].tolist(), found["right"].tolist(), strict=True))
    assert ours <= whole
    assert len(ours) > 0.95 * len(whole)
    there, met = cells.recall(engine, rows, chosen, [found[:99], found[99:]], sample)
    assert there > 100
    assert abs(met / there - len(ours) / len(whole)) < 0.05
    assert cells.recall(engine, rows, chosen, [], sample) == (there, 0)


def test_a_hot_cell_is_compared_in_tiles_and_told_of(engine, monkeypatch):
    monkeypatch.setattr(cells, "HOT_VECTORS", 200)
    rng = np.random.default_rng(5)
    spec = Spec("v", 1, "unit vector", 16, 0.9, 32)
    values = rng.normal(size=(900, 16)).astype(np.float32)
    values[:500, 0] += 9  # as of near-blank pictures: all in one place
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    centres = np.eye(16, dtype=np.float32)[:8]
    chosen = cells.Cells(centres, spec.default_threshold, 1, 0.0)
    near = list(engine.run(cells.celled(engine, blocks_of(values), chosen, 4)))
    found = pairing.unique(np.concatenate([each.pairs for each in near]))
    sizes = np.bincount(chosen.nearest(values).ravel(), minlength=8)
    assert sorted(size for each in near for size in each.hot) == sorted(sizes[sizes >= 200].tolist())
    monkeypatch.setattr(cells, "HOT_VECTORS", 10**9)
    whole = collected(engine, cells.celled(engine, blocks_of(values), chosen, 4))
    assert len(whole) > 10_000
    assert (found["left"].tolist(), found["right"].tolist()) == (whole["left"].tolist(), whole["right"].tolist())


def test_a_forest_connects_what_the_pairs_connect_in_fewer_rows_than_images(engine):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(6)
    a, b = rng.integers(0, 800, (2, 5000))
    b = a // 40 * 40 + b % 40
    pairs = pairing.unique(pairing.pair_rows(a, b, rng.random(5000).astype(np.float32)))
    tree = engine.reduce(Blocks([pairs[at::7] for at in range(7)]).map(_forest), pairing.merged)
    assert len(tree) < 800
    labels = [
        connected_components(coo_array((np.ones(len(p)), (p["left"], p["right"])), shape=(800, 800)), directed=False)[1]
        for p in (pairs, tree)
    ]
    assert labels[0].tolist() == labels[1].tolist()
    assert (pairing.forest(pairs) == tree).all()  # the most similar ones, however they were cut


def _forest():
    return pairing.forest


def test_equals_are_one_row_and_the_first_of_them_stands_for_all(engine):
    rng = np.random.default_rng(8)
    values = rng.integers(0, 256, (50, 8), dtype=np.uint8)[rng.integers(0, 50, 400)]
    rows = rows_of(values)
    rows["sha256"] = np.frombuffer(rng.bytes(32 * 400), "V32")
    rows["sha256"][300:] = rows["sha256"][100:200]
    rows["value"][300:] = rows["value"][100:200]
    rows["key"] = equals.folded(equals.bytes_of(rows, "sha256")[:, :8])
    blocks = Blocks([rows[:150], rows[150:]])
    found = equals.merge_equals(engine, blocks, 400, 3, by_value=True)
    first, inverse = hamming.distinct(equals.bytes_of(rows, "value"))
    assert found.same.tolist() == first[inverse].tolist()
    assert found.count == len(first)
    contents = equals.merge_equals(engine, blocks, 400, 3, by_value=False)
    assert contents.same.tolist() == [*range(300), *range(100, 200)]


def test_a_plan_for_a_billion_is_told_and_what_to_use_where_it_is_too_much():
    from imkin.scale.planning import estimate

    made = estimate(images=10**9, bits=64, radius=3, cores=64)
    assert made.feasible
    assert made.tables <= 20
    assert made.rows <= 2 * 10**10
    assert made.candidates < 1000 * 10**9
    wider = estimate(images=10**9, bits=64, radius=6, cores=64)
    assert wider.feasible
    assert wider.linear
    assert wider.candidates < 3000 * 10**9
    square = estimate(images=10**9, bits=64, radius=8, cores=64)
    assert not square.linear
    assert square.instead.startswith("radius 6, or")
    worse = estimate(images=10**9, bits=64, radius=20, cores=64)
    assert not worse.feasible
    assert worse.instead.startswith("radius 6, or `--by pdq`")
    assert "--cells" in worse.instead


def test_candidates_stay_within_what_is_asked_and_no_pair_is_lost():
    rng = np.random.default_rng(0)
    sample = measure([hamming.to_words(rng.integers(0, 256, (4000, 8), dtype=np.uint8))], 64, radius=6)
    loose, tight = (choose(sample, 6, rows=10**8, pairs=5e15, row_ns=600, most=most) for most in (1e15, 1e11))
    assert loose.covers(6)
    assert tight.covers(6)
    candidates = [sum(5e15 * sample.collision(table.key_bits) for table in plan.tables()) for plan in (loose, tight)]
    assert candidates[1] < 1.2e11 < candidates[0]
    assert choose(sample, 20, rows=10**8, pairs=5e15, most=1e11) == Plan()
