"""The pruned join against brute force: the same pairs at every threshold, and each step's bound against the truth."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from imkin.errors import UsageError
from imkin.join import ssim, ssim_bounds, ssim_kernel, ssim_search
from imkin.metric_ssim import C1, C2, common_shape, mean_ssim, similarity

THRESHOLDS = (0, 0.3, 0.5, 0.9, 0.95, 0.99, 1)


def screen(seed, shape=(72, 96)):
    """A drawn screen: windows with lines of random glyphs."""
    rng = np.random.default_rng(seed)
    picture = np.full(shape, rng.integers(20, 240), np.uint8)
    for _ in range(3):
        top, left = rng.integers(0, shape[0] // 2), rng.integers(0, shape[1] // 2)
        paper = rng.choice([30, 250])
        picture[top : top + shape[0] // 2, left : left + shape[1] // 2] = paper
        for line in range(top + 3, min(top + shape[0] // 2, shape[0]) - 5, 7):
            width = int(rng.integers(4, shape[1] // 2))
            ink = rng.random((5, width)) < 0.4
            area = picture[line : line + 5, left + 2 : left + 2 + width]
            area[ink[: area.shape[0], : area.shape[1]]] = 255 - paper
    return picture


def edit(picture, seed):
    """One small rectangle of other pixels."""
    rng = np.random.default_rng(seed)
    out = picture.copy()
    y, x = rng.integers(0, picture.shape[0] - 3), rng.integers(0, picture.shape[1] - 3)
    out[y : y + rng.integers(1, 12), x : x + rng.integers(1, 40)] ^= rng.integers(1, 255, dtype=np.uint8)
    return out


def families(count=8, size=6, shape=(72, 96)):
    return [edit(screen(f, shape), 100 * f + k) for f in range(count) for k in range(size)]


def mixed():
    """Families, copies, reductions, sizes that are compared with others, and sizes that are not."""
    pictures = families()
    pictures += [pictures[3].copy(), pictures[3].copy(), pictures[20].copy()]
    pictures += [pictures[k][::2, ::2].copy() for k in (0, 1, 7)]
    pictures += [pictures[5][:, :95].copy(), pictures[6][:71].copy(), pictures[0].T.copy(), pictures[1][:5].copy()]
    pictures += [np.full((72, 96), v, np.uint8) for v in (0, 100, 101, 255)]
    pictures += [np.full((36, 48), 100, np.uint8), np.zeros((7, 7), np.uint8), np.full((7, 7), 3, np.uint8)]
    return pictures


def run(join, pictures, *args, **kwargs):
    shapes = np.array([p.shape for p in pictures]).reshape(-1, 2)
    return join(lambda indices: [pictures[i] for i in indices], shapes, *args, **kwargs)


def truth(pictures):
    """(n, n): similarity by the oracle, NaN where pictures are not comparable."""
    n = len(pictures)
    table = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1, n):
            if common_shape(pictures[i].shape, pictures[j].shape):
                table[i, j] = similarity(pictures[i], pictures[j])
    return table


@pytest.fixture(scope="module")
def pictures():
    return mixed()


@pytest.fixture(scope="module")
def table(pictures):
    return truth(pictures)


def groups_of(n, left, right):
    links = np.zeros((n, n))
    links[left, right] = 1
    return connected_components(links, directed=False)[1]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_pairs_are_those_of_brute_force(pictures, table, threshold):
    left, right, value = run(ssim.self_join, pictures, threshold)
    assert np.array_equal(np.stack([left, right], axis=1), np.argwhere(table >= threshold))
    assert np.abs(value - table[left, right]).max() < 1e-12
    assert left.dtype == right.dtype == np.int64


def test_the_result_does_not_depend_on_the_number_of_threads(pictures):
    one, three = (run(ssim.self_join, pictures, 0.6, jobs=jobs) for jobs in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


def test_connected_pairs_do_not_depend_on_the_number_of_threads(pictures):
    one, three = (run(ssim.self_join, pictures, 0.6, jobs=jobs, connect_only=True) for jobs in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_connect_only_gives_the_same_groups_with_pairs_that_hold(pictures, table, threshold):
    left, right, value = run(ssim.self_join, pictures, threshold, connect_only=True)
    assert np.array_equal(groups_of(len(pictures), left, right), groups_of(len(table), *np.nonzero(table >= threshold)))
    assert np.abs(value - table[left, right]).max() < 1e-12
    assert (value >= threshold).all()
    assert len(left) < len(pictures)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_components_name_each_picture_by_the_first_of_its_group(pictures, table, threshold):
    roots = run(ssim.components, pictures, threshold)
    groups = groups_of(len(table), *np.nonzero(table >= threshold))
    first = np.array([np.flatnonzero(groups == g)[0] for g in groups])
    assert np.array_equal(roots, first)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_cross_join_gives_the_pairs_between_both_sides(pictures, table, threshold):
    order = np.random.default_rng(5).permutation(len(pictures))
    full = np.fmax(table, table.T)[np.ix_(order, order)]
    shuffled = [pictures[i] for i in order]
    cut = 25
    a, b = shuffled[:cut], shuffled[cut:]
    shapes_a, shapes_b = (np.array([p.shape for p in side]) for side in (a, b))
    i, j, value = ssim.cross_join(
        lambda at: [a[k] for k in at], shapes_a, lambda at: [b[k] for k in at], shapes_b, threshold
    )
    assert np.array_equal(np.stack([i, j], axis=1), np.argwhere(full[:cut, cut:] >= threshold))
    assert np.abs(value - full[:cut, cut:][i, j]).max() < 1e-12


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_cross_join_that_connects_gives_the_groups_of_all_cross_pairs(pictures, table, threshold):
    label = np.random.default_rng(6).integers(0, 2, len(pictures))
    at = [np.flatnonzero(label == side) for side in (0, 1)]
    sides = [[pictures[i] for i in part] for part in at]
    shapes = [np.array([p.shape for p in side]) for side in sides]

    def load(k):
        return lambda indices: [sides[k][i] for i in indices]

    i, j, _ = ssim.cross_join(load(0), shapes[0], load(1), shapes[1], threshold, connect_only=True)
    full = np.fmax(table, table.T) >= threshold
    full &= label[:, None] != label
    want = groups_of(len(pictures), *np.nonzero(full))
    assert np.array_equal(groups_of(len(pictures), at[0][i], at[1][j]), want)


def test_a_threshold_at_a_pairs_own_value_keeps_it_and_the_next_float_does_not():
    pictures = families(count=4, size=5)
    left, right, value = run(ssim.self_join, pictures, 0)
    near = np.flatnonzero((value > 0.2) & (value < 1))[::17]
    assert len(near) >= 5
    assert (value[near] > 0.9).any()
    for k in near:
        for threshold, inside in ((value[k], True), (np.nextafter(value[k], 1), False)):
            a, b, _ = run(ssim.self_join, pictures, float(threshold))
            assert ((left[k], right[k]) in set(zip(a.tolist(), b.tolist(), strict=True))) == inside
            assert len(a) == (value >= threshold).sum()


def test_at_threshold_0_all_pictures_of_one_size_are_one_group():
    pictures = [*families(count=3, size=2), 255 - screen(0)]
    assert len(run(ssim.self_join, pictures, 0)[0]) == 7 * 6 // 2
    assert not run(ssim.components, pictures, 0).any()


def test_at_threshold_1_only_equal_pixels_are_alike():
    base = np.full((300, 400), 200, np.uint8)
    other = base.copy()
    other[100, 100] = 201
    pictures = [base, other, base.copy(), base.repeat(2, axis=0).repeat(2, axis=1)]
    left, right, value = run(ssim.self_join, pictures, 1)
    assert (left.tolist(), right.tolist(), value.tolist()) == ([0], [2], [1.0])
    assert np.float32(run(ssim.self_join, pictures, 0.999)[2]).tolist().count(1.0) == 1


def test_equal_bytes_in_other_sizes_are_not_equal_pictures():
    pictures = [np.full((200, 201), 9, np.uint8), np.full((201, 200), 9, np.uint8)]
    assert len(run(ssim.self_join, pictures, 1)[0]) == 0
    assert run(ssim.self_join, pictures, 0.9)[2].tolist() == [similarity(*pictures)]
    assert similarity(*pictures) < 1


def test_nothing_and_one_picture_have_no_pairs():
    for pictures in ([], [screen(0)]):
        for threshold in (0, 0.9, 1):
            assert [len(part) for part in run(ssim.self_join, pictures, threshold)] == [0, 0, 0]
            assert run(ssim.components, pictures, threshold).tolist() == list(range(len(pictures)))


def test_a_threshold_outside_0_to_1_is_refused():
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match=r"0\.\.1"):
            run(ssim.self_join, [], threshold)


def test_a_picture_that_no_other_can_be_compared_with_is_not_loaded():
    asked = []
    shapes = np.array([(70, 70), (70, 90), (70, 70), (6, 6), (6, 6)])

    def load(indices):
        asked.extend(indices)
        return [np.zeros(shapes[i], np.uint8) for i in indices]

    ssim.self_join(load, shapes, 0.9)
    assert set(asked) == {0, 2}


def test_small_batches_and_blocks_give_the_same_pairs(pictures, table, monkeypatch):
    monkeypatch.setattr(ssim_search, "BATCH_BYTES", 9 * 72 * 96)
    monkeypatch.setattr(ssim_search, "BLOCK_BOUNDS", 400)
    monkeypatch.setattr(ssim_search, "GATHERED_PAIRS", 100)
    left, right, _ = run(ssim.self_join, pictures, 0.6)
    assert np.array_equal(np.stack([left, right], axis=1), np.argwhere(table >= 0.6))
    left, right, _ = run(ssim.self_join, pictures, 0.6, connect_only=True)
    assert np.array_equal(groups_of(len(pictures), left, right), groups_of(len(table), *np.nonzero(table >= 0.6)))


def test_vectors_of_a_coarser_grid_give_the_same_pairs(pictures, table, monkeypatch):
    monkeypatch.setattr(ssim_search, "VECTOR_BYTES", 200_000)
    left, right, _ = run(ssim.self_join, pictures, 0.9)
    assert np.array_equal(np.stack([left, right], axis=1), np.argwhere(table >= 0.9))


def test_no_more_pictures_are_held_than_two_sides_of_a_batch(monkeypatch):
    pictures = families(count=12, size=5)
    monkeypatch.setattr(ssim_search, "BATCH_BYTES", 6 * 72 * 96)
    held = []
    hold = ssim_search._SizeSearch._hold

    def watch(self, needed):
        hold(self, needed)
        held.append(len(self.pictures))

    monkeypatch.setattr(ssim_search._SizeSearch, "_hold", watch)
    run(ssim.self_join, pictures, 0.3)
    assert 6 < max(held) <= 12


@st.composite
def two_pictures(draw):
    shape = draw(st.tuples(st.integers(7, 40), st.integers(7, 60)))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["noise", "screen", "edit", "flat", "scaled", "dark"]))
    a = (
        rng.integers(0, 256, shape).astype(np.uint8)
        if kind == "noise"
        else screen(seed, (40, 60))[: shape[0], : shape[1]]
    )
    b = {
        "noise": lambda: rng.integers(0, 256, shape).astype(np.uint8),
        "screen": lambda: screen(seed + 1, (40, 60))[: shape[0], : shape[1]],
        "edit": lambda: edit(a, seed),
        "flat": lambda: np.full(shape, rng.integers(0, 256), np.uint8),
        "scaled": lambda: (a * rng.uniform(0.2, 1)).astype(np.uint8),
        "dark": lambda: a // 60,
    }[kind]()
    return a, b


def upper_bound(a, b):
    """Mean of l · (2 σx σy + C2) / (σx² + σy² + C2): Cauchy-Schwarz in every window, in float64."""

    def statistics(x):
        windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (7, 7))
        return windows.mean(axis=(2, 3)), windows.std(axis=(2, 3), ddof=0) * np.sqrt(49 / 48)

    (mean_a, dev_a), (mean_b, dev_b) = statistics(a), statistics(b)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return float((luminance * (2 * dev_a * dev_b + C2) / (dev_a**2 + dev_b**2 + C2)).mean())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(two_pictures())
def test_the_vectors_bound_the_cauchy_schwarz_bound_and_that_bounds_ssim(pair):
    a, b = pair
    stripes = ssim_kernel.stripes_of(a.shape)
    bound = upper_bound(a, b)
    assert mean_ssim(a, b) <= bound + 1e-12
    for merged in (1, 2, 64):
        u, v = (ssim_bounds.vector(p, stripes, merged=merged) for p in (a, b))
        assert len(u) == ssim_bounds.size_of(stripes, merged=merged)
        # Far inside the error that the search allows for.
        assert float(u @ v) >= bound - ssim_bounds.PRODUCT_ERROR / 20


@settings(max_examples=100, deadline=None, derandomize=True)
@given(two_pictures())
def test_each_stripes_floor_lies_below_its_deficit(pair):
    a, b = pair
    stripes = ssim_kernel.stripes_of(a.shape)
    floors = ssim_bounds.floors(*(ssim_bounds.vector(p, stripes) for p in (a, b)), stripes)
    for k, (top, bottom) in enumerate(zip(stripes.edges[:-1], stripes.edges[1:], strict=True)):
        deficit = (1 - mean_ssim(a[top : bottom + 6], b[top : bottom + 6])) * (bottom - top) * (a.shape[1] - 6)
        assert floors[k] <= deficit + 1e-9


@settings(max_examples=150, deadline=None, derandomize=True)
@given(two_pictures(), st.floats(-0.01, 0.01))
def test_an_early_end_never_changes_the_answer(pair, distance):
    a, b = pair
    stripes = ssim_kernel.stripes_of(a.shape)
    floor = ssim_bounds.floors(*(ssim_bounds.vector(p, stripes) for p in (a, b)), stripes)
    value = ssim_kernel.score(a, b, stripes, least=0)
    assert abs(value - similarity(a, b)) < 1e-12
    for least in (value, np.nextafter(value, 2), min(1, max(0, value + distance)), 0.95, 0.5, 1e-9):
        for floors in (None, floor):
            got = ssim_kernel.score(a, b, stripes, least=least, floor=floors)
            assert got == (value if value >= least else None)
            proof = ssim_kernel.score(a, b, stripes, least=least, floor=floors, settle=True)
            assert (proof is not None) == (value >= least)
            assert proof is None or least <= proof <= value + 1e-9


def test_the_bound_refuses_most_pairs_of_unlike_screens():
    pictures = families(count=20, size=1, shape=(300, 400))
    stripes = ssim_kernel.stripes_of((300, 400))
    vectors = np.array([ssim_bounds.vector(p, stripes) for p in pictures])
    bounds = (vectors @ vectors.T)[np.triu_indices(20, 1)]
    assert (bounds < 0.95).mean() > 0.95


def test_pictures_with_equal_pixels_are_found_by_digest_and_compared_with_others_once():
    base = families(count=2, size=1)
    pictures = [base[0]] * 30 + [base[1]]
    scored = []
    score = ssim_search._SizeSearch._score_pair

    class Watch(ssim_search._SizeSearch):
        def _score_pair(self, i, j):
            scored.append((i, j))
            return score(self, i, j)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssim_search, "_SizeSearch", Watch)
        left, _, value = run(ssim.self_join, pictures, 0.001)
    assert len(scored) == 1
    assert len(left) == 31 * 30 // 2
    assert (value == 1).sum() == 30 * 29 // 2
    assert len({hashlib.sha256(p.tobytes()).digest() for p in pictures}) == 2
