"""Decisions in what was measured: the pairs of contents before and after, held against the plain definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imkin.grouping import Kin, expand, find_kin
from imkin.policy.deciding import decide, respect
from imkin.types import File, Pairs


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


@st.composite
def scans(draw):
    """Files with contents, fingerprint classes, near pairs and labels, as a scan has them; and verdicts."""
    n = draw(st.integers(1, 8))
    contents = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    class_of = draw(st.lists(st.integers(0, 3), min_size=6, max_size=6))
    same = np.unique([class_of[content] for content in contents], return_inverse=True)[1].astype(np.int64)
    classes = int(same.max()) + 1
    every = [(a, b) for a in range(classes) for b in range(a + 1, classes)]
    near = pairs(dict.fromkeys(draw(st.sets(st.sampled_from(every))) if every else set(), 0.5))
    labels = draw(st.none() | st.lists(st.integers(0, 2), min_size=n, max_size=n))
    pairs_of_contents = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    verdicts = draw(
        st.dictionaries(st.sampled_from(pairs_of_contents), st.sampled_from(["same", "different"]), max_size=4)
    )
    kin = find_kin(same, near, None if labels is None else np.array(labels, np.int64))
    return kin, contents, labels, verdicts


def listed(kin):
    found = expand(kin)
    rows = zip(found.left.tolist(), found.right.tolist(), found.similarity.tolist(), strict=True)
    return {(a, b): similarity for a, b, similarity in rows}


@given(scans())
def test_verdicts_count_for_every_file_of_a_content_and_for_compared_ones_only(case):
    kin, contents, labels, verdicts = case
    files = [File(f"{at}", 1, 0, f"{content}", "", 1, 1, "") for at, content in enumerate(contents)]
    expected = listed(kin)
    for a in range(len(files)):
        for b in range(a + 1, len(files)):
            verdict = verdicts.get((min(contents[a], contents[b]), max(contents[a], contents[b])))
            if verdict == "different":
                expected.pop((a, b), None)
            elif verdict == "same" and (labels is None or labels[a] != labels[b]):
                expected.setdefault((a, b), 1.0)
    respected = respect(kin, files, {(f"{a}", f"{b}"): verdict for (a, b), verdict in verdicts.items()})
    assert listed(respected) == expected
    first_of = [respected.node.tolist().index(node) for node in range(respected.count)]
    assert first_of == sorted(first_of)
    again = respect(respected, files, {(f"{a}", f"{b}"): verdict for (a, b), verdict in verdicts.items()})
    assert listed(again) == expected


def test_verdicts_on_other_contents_change_nothing():
    kin = Kin(np.array([0, 0]), None, pairs({}))
    files = [File(name, 1, 0, name, "", 1, 1, "") for name in "ab"]
    assert respect(kin, files, {("a", "z"): "different"}) is kin
