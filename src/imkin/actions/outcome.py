"""What became of a run, read from its journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from imkin.catalogue.journal import Run, Step

# Of an action with several steps the one in the first of these states tells.
_TELLING = ("intended", "undoing", "failed", "skipped", "not done", "done", "purging", "purged", "undone")


@dataclass(frozen=True, slots=True)
class Row:
    """One action of a run.

    state: done, skipped, failed, not done (stopped before it, or put back because its bundle could not go along),
    undone or purged; intended or undoing while nobody can tell. reason: why, if not simply done. dest: where the
    file's content is, if it was done; empty if only the system's trash knows. bytes: with the bundle.
    """

    path: str
    state: str
    reason: str
    dest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and its actions, in order. run: its number, for `imkin undo`."""

    run: int
    verb: str
    state: str
    started_ns: int
    rows: tuple[Row, ...]

    def count(self, state: str) -> int:
        """How many actions are in a state."""
        return sum(row.state == state for row in self.rows)

    @property
    def bytes_won(self) -> int:
        """Of the actions that are done."""
        return sum(row.bytes for row in self.rows if row.state in ("done", "purged"))


def outcome_of(run: Run, steps: Iterable[Step]) -> Outcome:
    """The outcome that a journal tells. An action that was taken anew counts as it went the last time."""
    by_action = sorted(steps, key=lambda step: (step.action, step.number))
    rows = [_row(list(group)) for _, group in groupby(by_action, key=lambda step: step.action)]
    return Outcome(run.id, run.verb, run.state, run.started_ns, tuple(rows))


def _row(steps: list[Step]) -> Row:
    """steps: of one action, those of all attempts at it."""
    tries = [step for step in steps if step.state != "not done"] or steps
    telling = min(tries, key=lambda step: _TELLING.index(step.state))
    main = telling.entry["main"]
    changes = [step.entry["change"] for step in tries]
    at = next((change for change in changes if change["file"]["path"] == main), changes[0])
    reason = telling.note
    if reason and telling.entry["change"]["file"]["path"] != main:
        reason = f"{telling.entry['change']['file']['path']} of its bundle: {reason}"
    there = telling.state in ("done", "purging", "undoing")
    size = sum(change["file"]["size"] for change in changes)
    return Row(main, telling.state, reason, at.get("dest", "") if there else "", size)
