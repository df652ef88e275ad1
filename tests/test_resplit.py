"""The repair of a split: groups stay whole, classes keep their shares where whole groups can make them up."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imkin.resplit import resplit, shares


@st.composite
def splits(draw, *, singles=0):
    """group, split, label of up to 40 images in 2 or 3 splits; singles: so many lone images of each class in each."""
    number, labels = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 12), st.integers(0, number - 1), st.integers(0, labels - 1)),
            min_size=1,
            max_size=40,
        )
    )
    rows += [(100 + at, at, 0) for at in range(number)]
    lone = product(range(singles), range(number), range(labels))
    rows += [(1000 + at, where, kind) for at, (_, where, kind) in enumerate(lone)]
    group, split, label = np.array(rows, np.int64).T
    return group, split, label


@given(splits())
def test_no_group_is_ever_split_and_no_split_is_made_up(case):
    group, split, label = case
    after = resplit(group, split, label)
    assert all(len(set(after[group == number].tolist())) == 1 for number in set(group.tolist()))
    assert set(after.tolist()) <= set(split.tolist())


@given(splits(singles=40))
def test_shares_stay_within_a_percentage_point_where_lone_images_can_make_them_up(case):
    group, split, label = case
    after = resplit(group, split, label)
    assert [share for share in shares(split, after, label) if abs(share.after - share.before) > 0.01 + 1e-9] == []


@given(splits(), st.randoms(use_true_random=False))
def test_a_split_without_leaks_stays_as_it_is(case, random):
    _, split, label = case
    group = split * 100 + np.array([random.randrange(5) for _ in split])
    assert resplit(group, split, label).tolist() == split.tolist()


@given(splits())
def test_the_same_input_gives_the_same_split_whatever_the_groups_are_called(case):
    group, split, label = case
    assert resplit(group, split, label).tolist() == resplit(group * 7 + 3, split, label).tolist()


def test_a_group_goes_where_most_of_it_is_and_no_other_image_moves_within_the_tolerance():
    split = np.array([0] * 800 + [1] * 300)
    group = np.arange(1100)
    group[[0, 1, 800]] = 0
    after = resplit(group, split, np.zeros(1100, np.int64))
    assert np.flatnonzero(after != split).tolist() == [800]


def test_a_large_group_is_made_up_by_images_that_move_the_other_way():
    split = np.array([0] * 100 + [1] * 100)
    group = np.arange(200)
    group[80:120] = 80
    label = np.array([0, 1] * 100)
    after = resplit(group, split, label)
    assert len(set(after[80:120].tolist())) == 1
    assert np.bincount(after * 2 + label).tolist() == [50, 50, 50, 50]
    assert (after != split).sum() == 40


def test_a_share_that_no_split_can_keep_is_told():
    # One group of all images of class 1: wherever it goes, both splits change.
    group, split, label = np.array([0, 1, 2, 2]), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    after = resplit(group, split, label)
    lost = [share for share in shares(split, after, label) if not share.kept]
    assert {(share.split, share.label) for share in lost} >= {(0, 1), (1, 1)}


def test_the_repair_of_small_sets_is_about_as_good_as_trying_all():
    rng = np.random.default_rng(3)
    possible = found = 0
    for _ in range(120):
        group = np.sort(rng.integers(0, 7, 14))
        split, label = rng.integers(0, 2, 14), np.zeros(14, np.int64)
        split[:2] = 0, 1
        kept = [all(s.kept for s in shares(split, np.array(way)[group], label)) for way in product((0, 1), repeat=7)]
        possible += any(kept)
        found += all(share.kept for share in shares(split, resplit(group, split, label), label))
    assert possible > 80
    assert found >= 0.9 * possible
