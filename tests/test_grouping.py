"""Grouping, against the slow and obvious way on all pairs."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imkin.grouping import COMPACT_ABOVE, Kin, Similarities, expand, find_kin, group
from imkin.types import Pairs


def near_pairs(rows):
    rows = sorted(rows)
    return Pairs(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.float32),
    )


@st.composite
def collections(draw):
    n = draw(st.integers(1, 14))
    classes = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    same = np.unique(classes, return_inverse=True)[1].astype(np.int64)
    every = list(itertools.combinations(range(int(same.max()) + 1), 2))
    chosen = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    near = near_pairs([(a, b, 0.5 + 0.001 * (a * 7 + b * 3)) for a, b in chosen])
    label = draw(st.none() | st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return same, near, None if label is None else np.array(label, np.int64)


def all_pairs(same, near, label):
    """Every pair of images that is alike and may be compared: {(i, j): similarity}."""
    known = {(a, b): s for a, b, s in zip(near.left, near.right, near.similarity, strict=True)}
    found = {}
    for i, j in itertools.combinations(range(len(same)), 2):
        if label is not None and label[i] == label[j]:
            continue
        a, b = sorted((int(same[i]), int(same[j])))
        if a == b:
            found[i, j] = 1.0
        elif (a, b) in known:
            found[i, j] = float(known[a, b])
    return found


def as_dict(pairs):
    return dict(
        zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.similarity.tolist(), strict=True)
    )


@given(collections())
def test_expanded_pairs_are_all_pairs(collection):
    kin = find_kin(*collection)
    expected = all_pairs(*collection)
    assert as_dict(expand(kin)) == expected
    look = Similarities(kin)
    for i, j in itertools.permutations(range(len(collection[0])), 2):
        assert look(i, j) == expected.get((min(i, j), max(i, j)))


@given(collections())
def test_transitive_groups_are_the_connected_components(collection):
    expected = all_pairs(*collection)
    parent = list(range(len(collection[0])))

    def root(i):
        return i if parent[i] == i else root(parent[i])

    for i, j in expected:
        parent[root(j)] = root(i)
    components = {}
    for i in range(len(parent)):
        components.setdefault(root(i), []).append(i)
    wanted = sorted(part for part in components.values() if len(part) > 1)
    assert [part.tolist() for part in group(find_kin(*collection), "transitive")] == wanted


@given(collections())
def test_in_a_clique_all_compared_images_are_pairs_and_cliques_cannot_be_merged(collection):
    label = collection[2]
    expected = all_pairs(*collection)

    def compatible(part):
        return all(
            (i, j) in expected or (label is not None and label[i] == label[j])
            for i, j in itertools.combinations(sorted(part), 2)
        )

    groups = [part.tolist() for part in group(find_kin(*collection), "clique")]
    assert all(compatible(part) for part in groups)
    for a, b in itertools.combinations(groups, 2):
        linked = any((min(i, j), max(i, j)) in expected for i in a for j in b)
        assert not (linked and compatible(a + b))


@given(collections())
def test_a_star_has_a_member_that_is_near_all_others(collection):
    same, _, label = collection
    expected = all_pairs(*collection)

    def near(i, j):
        # Images of one node share the centre even where a label keeps them from being compared.
        one_node = same[i] == same[j] and label is not None and label[i] == label[j]
        return one_node or (min(i, j), max(i, j)) in expected

    for part in group(find_kin(*collection), "star"):
        assert any(all(near(i, j) for j in part if j != i) for i in part)


def test_a_chain_is_one_transitive_group_and_two_cliques():
    same = np.arange(3)
    kin = find_kin(same, near_pairs([(0, 1, 0.95), (1, 2, 0.94)]), None)
    assert [part.tolist() for part in group(kin, "transitive")] == [[0, 1, 2]]
    assert [part.tolist() for part in group(kin, "clique")] == [[0, 1]]
    assert [part.tolist() for part in group(kin, "star")] == [[0, 1, 2]]


def test_ten_thousand_equals_make_one_row_each():
    same = np.array([0] * 10_000 + [1] * 10_000, np.int64)
    kin = find_kin(same, near_pairs([(0, 1, 0.97)]), None)
    pairs = expand(kin)
    assert len(pairs) == 2 * 9_999 + 1
    assert as_dict(pairs)[0, 10_000] == np.float32(0.97)
    for grouping in ("transitive", "star", "clique"):
        assert [len(part) for part in group(kin, grouping)] == [20_000]
    assert Similarities(kin)(9_999, 10_001) == np.float32(0.97)


def test_the_largest_listed_set_of_equals_has_all_its_pairs():
    for size, pairs in ((COMPACT_ABOVE, COMPACT_ABOVE * (COMPACT_ABOVE - 1) // 2), (COMPACT_ABOVE + 1, COMPACT_ABOVE)):
        assert len(expand(find_kin(np.zeros(size, np.int64), near_pairs([]), None))) == pairs


def test_nothing_has_no_groups():
    kin = find_kin(np.empty(0, np.int64), near_pairs([]), None)
    assert len(expand(kin)) == 0
    assert group(kin, "transitive") == group(kin, "star") == group(kin, "clique") == []
    assert isinstance(kin, Kin)
