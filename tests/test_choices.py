"""Choices of a person: remembered by file and content, and kept by a plan."""

import os

import pytest

from imkin.catalogue import Database
from imkin.catalogue.choices import Choice, ChoiceStore
from imkin.catalogue.decisions import DecisionStore
from imkin.policy import Terms, parse_rules, plan
from imkin.policy.planning import CHOSEN
from imkin.types import File

A, B, C = ("0a" * 32, "0b" * 32, "0c" * 32)


@pytest.fixture
def store(any_catalogue):
    with Database(any_catalogue) as database:
        yield ChoiceStore(database)


def test_a_choice_is_about_a_file_while_it_has_this_content(store):
    rows = [Choice("/p/a", A, "keep"), Choice("/p/b", A, "go", A), Choice("/p/c", B, "go", A)]
    store.put(rows)
    assert list(store.about([A, C])) == rows[:2]
    assert list(store.about([A, B])) == rows


def test_the_later_choice_about_a_file_holds_and_one_can_be_forgotten(store):
    store.put([Choice("/p/a", A, "keep"), Choice("/p/c", B, "go", A)])
    store.put([Choice("/p/a", A, "go", B)])
    assert list(store.about([A])) == [Choice("/p/a", A, "go", B)]
    store.forget([("/p/a", A), ("/p/c", A)])
    assert list(store.about([A, B])) == [Choice("/p/c", B, "go", A)]


def test_names_that_are_not_utf8_come_back(store):
    path = os.fsdecode(b"/p/caf\xe9.jpg")
    store.put([Choice(path, A, "keep")])
    assert next(store.about([A])).path == path


def test_choices_about_more_contents_than_a_statement_binds_are_all_found(store):
    contents = [f"{number:064x}" for number in range(1200)]
    store.put([Choice("/p/a", sha256, "keep") for sha256 in contents])
    assert [choice.sha256 for choice in store.about(contents)] == contents


def test_a_verdict_can_be_forgotten_in_either_order():
    with Database(None) as database:
        decisions = DecisionStore(database)
        decisions.mark(A, B, "different", decided_ns=5)
        decisions.mark(A, C, "same", decided_ns=5)
        decisions.forget([(B, A), (B, C)])
        assert [(each.first, each.second) for each in decisions.all()] == [(A, C)]


def made(files, chosen, similarity=lambda _a, _b: 0.95, groups=None):
    terms = Terms("trash", parse_rules("first"), ("/p",), chosen=frozenset(chosen))
    return plan(groups or [range(len(files))], files, similarity=similarity, terms=terms)


def photo(name):
    return File(f"/p/{name}", 1000, 5, name.encode().hex().ljust(64, "0"), "00" * 20, 400, 300, "JPEG")


def words(made, group=0):
    return {os.path.basename(member.file.path): (member.do, member.why) for member in made.groups[group]}


def test_a_plan_keeps_what_a_person_chose_and_not_what_the_rules_would():
    found = words(made([photo("a"), photo("b"), photo("c")], {1}))
    assert found == {
        "b": ("keep", CHOSEN),
        "a": ("trash", "0.9500 to /p/b"),
        "c": ("trash", "0.9500 to /p/b"),
    }


def test_two_chosen_files_both_stay_and_a_third_goes_for_the_nearer():
    similar = {(0, 1): 0.91, (0, 2): 0.97, (1, 2): 0.95}
    found = words(made([photo("a"), photo("b"), photo("c")], {1, 2}, lambda a, b: similar[min(a, b), max(a, b)]))
    assert found["a"] == ("trash", "0.9700 to /p/c")
    assert (found["b"], found["c"]) == (("keep", CHOSEN), ("keep", CHOSEN))


def test_what_is_near_no_chosen_file_is_left_although_the_rules_would_keep_another():
    near = {(0, 1): 0.95, (1, 2): 0.95}
    found = words(made([photo("a"), photo("b"), photo("c")], {2}, lambda a, b: near.get((min(a, b), max(a, b)))))
    assert (found["c"][0], found["b"][0], found["a"][0]) == ("keep", "trash", "leave")


def test_a_group_without_a_choice_follows_the_rules():
    whole = made([photo("a"), photo("b"), photo("c"), photo("d")], {3}, groups=[[0, 1], [2, 3]])
    assert words(whole, 0)["a"] == ("keep", "the first of 2")
    assert words(whole, 1)["d"] == ("keep", CHOSEN)
