"""The journal of applied runs in the catalogue."""

import os

import pytest

from imkin.catalogue import Database
from imkin.catalogue.journal import Journal
from imkin.errors import UsageError


@pytest.fixture
def path(any_catalogue):
    return any_catalogue


def states(path, run=1):
    """As another process sees them."""
    with Database(path) as database:
        return [(step.number, step.action, step.state, step.note) for step in Journal(database).steps(run)]


def test_a_step_is_on_the_disk_before_it_is_taken(path):
    with Database(path, durable=True) as database:
        journal = Journal(database)
        run = journal.begin("the plan", verb="trash")
        steps = journal.intend(run.id, 0, [{"path": os.fsdecode(b"/p/\xff.jpg")}, {"path": "/p/b"}])
        assert states(path) == [(0, 0, "intended", ""), (1, 0, "intended", "")]
        assert journal.steps(run.id) == steps
        assert steps[0].entry == {"path": os.fsdecode(b"/p/\xff.jpg")}


def test_how_a_step_ended_is_written_with_the_next_one(path):
    with Database(path, durable=True) as database:
        journal = Journal(database)
        run = journal.begin("", verb="trash")
        (step,) = journal.intend(run.id, 0, [{}])
        journal.settle(step, "done", "well")
        assert states(path) == [(0, 0, "intended", "")]
        journal.intend(run.id, 1, [{}])
        assert states(path) == [(0, 0, "done", "well"), (1, 1, "intended", "")]
        journal.record(run.id, 2, {"path": "c"}, state="skipped", note="changed")
        journal.settle(step, "undone")
        journal.set_state(run.id, "applied")
        assert states(path) == [(0, 0, "undone", ""), (1, 1, "intended", ""), (2, 2, "skipped", "changed")]
        journal.mark(journal.steps(run.id)[:2], "purging")
        assert [row[2] for row in states(path)] == ["purging", "purging", "skipped"]


def test_runs_are_numbered_and_told_apart_between_catalogues(path):
    with Database(path) as database, Database(None) as other:
        journal = Journal(database)
        first, second = journal.begin("one", verb="trash"), journal.begin("two", verb="delete")
        assert (first.id, second.id) == (1, 2)
        journal.set_state(2, "applied")
        assert [(run.id, run.verb, run.state, journal.plan(run.id)) for run in journal.runs()] == [
            (1, "trash", "applying", "one"),
            (2, "delete", "applied", "two"),
        ]
        assert journal.run(1) == first
        assert Journal(other).begin("one", verb="trash").token != first.token
        with pytest.raises(UsageError, match="there is no run 3; `imkin history` lists them"):
            journal.run(3)


def test_a_run_is_open_while_it_works_or_a_step_of_it_is_not_settled(path):
    with Database(path) as database:
        journal = Journal(database)
        for state, step in (("applied", "done"), ("applied", "intended"), ("applying", "done"), ("undoing", "undoing")):
            run = journal.begin("", verb="trash")
            journal.mark(journal.intend(run.id, 0, [{}]), step)
            journal.set_state(run.id, state)
        assert [run.id for run in journal.open_runs()] == [2, 3, 4]
