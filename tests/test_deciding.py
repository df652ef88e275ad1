"""Decisions in what was measured: the pairs of contents before and after, held against the plain definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imkin.policy.deciding import decide
from imkin.types import Pairs


def pairs(table):
    rows = sorted(table)
    return Pairs(
        np.array([a for a, _ in rows], np.int64),
        np.array([b for _, b in rows], np.int64),
        np.array([table[row] for row in rows], np.float32),
    )


def of_contents(same, near):
    """Every pair of contents with its similarity."""
    found = {}
    table = {
        (a, b): s for a, b, s in zip(near.left.tolist(), near.right.tolist(), near.similarity.tolist(), strict=True)
    }
    for a in range(len(same)):
        for b in range(a + 1, len(same)):
            key = (min(same[a], same[b]), max(same[a], same[b]))
            if same[a] == same[b]:
                found[a, b] = 1.0
            elif key in table:
                found[a, b] = table[key]
    return found


@st.composite
def cases(draw):
    n = draw(st.integers(1, 8))
    same = np.unique(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), return_inverse=True)[1].astype(np.int64)
    classes = int(same.max()) + 1
    every = [(a, b) for a in range(classes) for b in range(a + 1, classes)]
    chosen = draw(st.sets(st.sampled_from(every))) if every else set()
    contents = [(a, b) for a in range(n) for b in range(a + 1, n)]
    verdicts = st.dictionaries(st.sampled_from(contents), st.sampled_from(["same", "different"]), max_size=5)
    return same, pairs(dict.fromkeys(chosen, 0.5)), draw(verdicts) if contents else {}


@given(cases())
def test_only_the_decided_pairs_change(case):
    same, near, decided = case
    expected = of_contents(same, near)
    for pair, verdict in decided.items():
        if verdict == "same":
            expected.setdefault(pair, 1.0)
        else:
            expected.pop(pair, None)
    new_same, new_near = decide(same, near, decided)
    assert sorted(zip(new_near.left.tolist(), new_near.right.tolist(), strict=True)) == list(
        zip(new_near.left.tolist(), new_near.right.tolist(), strict=True)
    )
    assert of_contents(new_same, new_near) == expected
    assert sorted(set(new_same.tolist())) == list(range(int(new_same.max()) + 1))


def test_without_decisions_nothing_changes():
    same, near = np.array([0, 0, 1]), pairs({(0, 1): 0.9})
    found = decide(same, near, {})
    assert found[0] is same
    assert found[1] is near


def test_two_equal_fingerprints_can_be_told_apart():
    same, near = decide(np.array([0, 0]), pairs({}), {(0, 1): "different"})
    assert len(set(same.tolist())) == 2
    assert len(near) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_far_apart_can_be_joined_in_either_order(order):
    _, near = decide(np.array([0, 1]), pairs({}), {order: "same"})
    assert (near.left.tolist(), near.right.tolist(), near.similarity.tolist()) == ([0], [1], [1.0])
