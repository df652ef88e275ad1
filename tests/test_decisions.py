"""Decisions about contents: remembered, merged, exported."""

import itertools

import pytest

from imkin.catalogue import Database
from imkin.catalogue.decisions import Decision, DecisionStore, decision_lines, lookup, parse_decisions
from imkin.errors import UsageError

A, B, C = ("0a" * 32, "0b" * 32, "0c" * 32)


@pytest.fixture
def store(any_catalogue):
    with Database(any_catalogue) as database:
        yield DecisionStore(database)


def test_a_decision_is_about_two_contents_in_either_order(store):
    assert store.mark(B, A, "different", decided_ns=5) == Decision(A, B, "different", 5)
    assert store.all() == [Decision(A, B, "different", 5)]
    assert lookup(store.all()) == {(A, B): "different"}


def test_the_newer_decision_holds(store):
    store.mark(A, B, "different", decided_ns=5)
    store.mark(A, B, "same", decided_ns=6)
    assert store.merge([Decision(A, B, "different", 4)]) == 0
    assert store.all() == [Decision(A, B, "same", 6)]
    store.mark(A, B, "different")
    assert store.all()[0].verdict == "different"


def test_there_is_nothing_to_decide_about_one_content(store):
    with pytest.raises(UsageError, match="same content"):
        store.mark(A, A, "different")


def test_merging_ends_alike_in_any_order_and_counts_what_changed(store):
    rows = [
        Decision(A, B, "same", 5),
        Decision(A, B, "different", 5),
        Decision(A, C, "same", 1),
        Decision(A, B, "same", 4),
    ]
    assert store.merge(rows) == 3
    for order in itertools.permutations(rows):
        with Database(None) as database:
            other = DecisionStore(database)
            for row in order:
                other.merge([row])
            assert other.all() == store.all() == [Decision(A, B, "different", 5), Decision(A, C, "same", 1)]
            assert other.merge(rows) == 0


def test_decisions_come_back_from_their_lines(store):
    store.merge([Decision(A, B, "same", 5), Decision(B, C, "different", 2**62)])
    lines = list(decision_lines(store.all()))
    assert lines[0] == f'{{"first": "{A}", "second": "{B}", "verdict": "same", "decided_ns": 5}}\n'
    assert parse_decisions([*lines, "\n"], name="x") == store.all()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        "{}",
        f'{{"first": "{A}", "second": "{B}", "verdict": "maybe", "decided_ns": 5}}',
        f'{{"first": "{B}", "second": "{A}", "verdict": "same", "decided_ns": 5}}',
        f'{{"first": "{A}", "second": "{A}", "verdict": "same", "decided_ns": 5}}',
        f'{{"first": "{A}", "second": "{B}", "verdict": "same", "decided_ns": true}}',
        f'{{"first": "{A}", "second": "{B}", "verdict": "same", "decided_ns": {2**63}}}',
        f'{{"first": "0a", "second": "{B}", "verdict": "same", "decided_ns": 1}}',
        f'{{"first": "{A}", "second": "{B.upper()}", "verdict": "same", "decided_ns": 1}}',
        '{"first": 3, "second": 4, "verdict": "same", "decided_ns": 1}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_decision_is_named_and_nothing_is_taken(line):
    good = next(decision_lines([Decision(A, B, "same", 5)]))
    with pytest.raises(UsageError, match=r"^notes\.jsonl, line 2: no decision .*nothing was imported"):
        parse_decisions([good, line], name="notes.jsonl")
