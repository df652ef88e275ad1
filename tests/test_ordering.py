import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imkin.ordering import order
from imkin.types import Pairs


def pairs_of(links: dict[tuple[int, int], float]) -> Pairs:
    ends = sorted(links)
    return Pairs(
        np.array([a for a, _ in ends], np.int64),
        np.array([b for _, b in ends], np.int64),
        np.array([links[end] for end in ends], np.float32),
    )


def slow_order(links: dict[tuple[int, int], float], n: int, absent: set[int]) -> list[int]:
    """The rule as it is said: a row, then the later rows like it, for the first row that has no place yet."""
    result: list[int] = []
    for row in range(n):
        if row not in result and row not in absent:
            result.append(row)
            result += [
                later
                for later in range(row + 1, n)
                if (row, later) in links and later not in result and later not in absent
            ]
    return result + sorted(absent)


def test_each_row_is_followed_by_the_later_rows_like_it():
    found = order(pairs_of({(0, 3): 0.75, (0, 5): 1.0, (1, 4): 0.5}), 6)
    assert found.order == (0, 3, 5, 1, 4, 2)
    assert found.group.tolist() == [0, 1, -1, 0, 1, 0]
    assert found.similarity.tolist() == [1.0, 1.0, 0.0, 0.75, 0.5, 1.0]


def test_a_chain_is_not_one_group():
    found = order(pairs_of({(0, 2): 0.9, (2, 3): 0.9}), 4)
    assert found.order == (0, 2, 1, 3)
    assert found.group.tolist() == [0, -1, 0, -1]


def test_rows_without_a_picture_come_last_and_are_like_nothing():
    found = order(pairs_of({(0, 2): 0.9, (1, 3): 0.9}), 4, absent={0})
    assert found.order == (1, 3, 2, 0)
    assert found.group.tolist() == [-1, 0, -1, 0]


def test_equal_rows_are_one_class_of_the_pairs():
    same = np.array([0, 1, 0, 2, 1, 2], np.int64)
    found = order(pairs_of({(0, 2): 0.8}), 6, same=same)
    assert found.order == (0, 2, 3, 5, 1, 4)
    assert found.group.tolist() == [0, 1, 0, 0, 1, 0]
    assert found.similarity.tolist() == pytest.approx([1, 1, 1, 0.8, 1, 0.8])


def test_no_rows_and_no_pairs_are_in_order_already():
    assert order(pairs_of({}), 0).order == ()
    assert order(pairs_of({}), 3).order == (0, 1, 2)


def test_pairs_that_do_not_fit_the_rows_are_an_error():
    with pytest.raises(ValueError, match="do not fit 2 rows"):
        order(pairs_of({(0, 2): 1.0}), 2)
    with pytest.raises(ValueError, match="do not fit 2 rows"):
        order(pairs_of({}), 2, same=np.zeros(3, np.int64))


ROWS = 9
LINKS = st.dictionaries(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)).filter(lambda ends: ends[0] < ends[1]),
    st.sampled_from([0.5, 0.75, 1.0]),
)


@settings(max_examples=300, deadline=None)
@given(LINKS, st.sets(st.integers(0, ROWS - 1)))
def test_the_order_is_that_of_the_rule_as_it_is_said(links, absent):
    found = order(pairs_of(links), ROWS, absent=absent)
    assert list(found.order) == slow_order(links, ROWS, absent)
    assert sorted(found.order) == list(range(ROWS))


@settings(max_examples=200, deadline=None)
@given(LINKS, st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=14))
def test_classes_give_the_order_that_their_rows_pairs_give(links, classes):
    # Classes are numbered by first appearance, as joins number them.
    known = list(dict.fromkeys(classes))
    same = [known.index(one) for one in classes]
    of_classes = {ends: alike for ends, alike in links.items() if ends[1] < len(known)}
    of_rows = {
        (a, b): 1.0 if same[a] == same[b] else of_classes[min(same[a], same[b]), max(same[a], same[b])]
        for a in range(len(same))
        for b in range(a + 1, len(same))
        if same[a] == same[b] or (min(same[a], same[b]), max(same[a], same[b])) in of_classes
    }
    by_class = order(pairs_of(of_classes), len(same), same=np.array(same, np.int64))
    by_row = order(pairs_of(of_rows), len(same))
    assert by_class.order == by_row.order
    assert by_class.group.tolist() == by_row.group.tolist()
    assert by_class.similarity.tolist() == by_row.similarity.tolist()
