"""Decisions: what a person said of two contents, `same` or `different`, remembered wherever the files go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from imkin.catalogue.database import Database
from imkin.errors import UsageError

Verdict = Literal["same", "different"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Decision:
    """first, second: sha256 in hex, first < second. decided_ns: when, in nanoseconds since 1970 UTC."""

    first: str
    second: str
    verdict: Verdict
    decided_ns: int


class DecisionStore:
    """Decisions in a catalogue. Of two about the same contents the newer holds; of two as new, `different`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, a: str, b: str, verdict: Verdict, *, decided_ns: int | None = None) -> Decision:
        """Remember a verdict on two contents (sha256 in hex). Raises UsageError if they are one and the same."""
        if a == b:
            raise UsageError("both files have the same content, byte for byte: there is nothing to decide")
        first, second = sorted((a, b))
        decision = Decision(first, second, verdict, time.time_ns() if decided_ns is None else decided_ns)
        self.merge([decision])
        return decision

    def merge(self, decisions: Iterable[Decision]) -> int:
        """Take in decisions, in any order; returns how many changed what was known."""
        # «same» sorts after «different»: of two decisions of one moment the cautious one wins on every machine.
        statement = (
            "INSERT INTO decisions VALUES (?, ?, ?, ?) ON CONFLICT (first, second) DO UPDATE "
            "SET verdict = excluded.verdict, decided_ns = excluded.decided_ns "
            "WHERE excluded.decided_ns > decisions.decided_ns "
            "OR (excluded.decided_ns = decisions.decided_ns AND excluded.verdict < decisions.verdict)"
        )
        # By their contents, so that no two writers wait for each other; of equal ones the order stays.
        ordered = sorted(decisions, key=lambda d: (d.first, d.second))
        rows = [(bytes.fromhex(d.first), bytes.fromhex(d.second), d.verdict, d.decided_ns) for d in ordered]

        def write() -> int:
            with self._database.transaction():
                return self._database.execute_many(statement, rows)

        return self._database.repeated(write)

    def forget(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Forget what was decided about these pairs of contents (sha256 in hex, in any order), as one commit."""
        rows = [[bytes.fromhex(each) for each in sorted(pair)] for pair in pairs]

        def write() -> None:
            with self._database.transaction():
                self._database.execute_many("DELETE FROM decisions WHERE first = ? AND second = ?", rows)

        self._database.repeated(write)

    def all(self) -> list[Decision]:
        """Every decision, by the contents' checksums."""
        rows = self._database.execute("SELECT first, second, verdict, decided_ns FROM decisions ORDER BY first, second")
        return [Decision(first.hex(), second.hex(), verdict, when) for first, second, verdict, when in rows]


def lookup(decisions: Iterable[Decision]) -> dict[tuple[str, str], Verdict]:
    """(first, second) → verdict."""
    return {(decision.first, decision.second): decision.verdict for decision in decisions}


def decision_lines(decisions: Iterable[Decision]) -> Iterator[str]:
    """Each decision as one line of JSON."""
    for d in decisions:
        row = {"first": d.first, "second": d.second, "verdict": d.verdict, "decided_ns": d.decided_ns}
        yield json.dumps(row) + "\n"


def parse_decisions(lines: Iterable[str], *, name: str) -> list[Decision]:
    """Decisions out of `decision_lines`; blank lines are skipped. Raises UsageError naming the line."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_parse(json.loads(line)))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise UsageError(f"{name}, line {number}: no decision ({error}); nothing was imported") from None
    return found


def _parse(raw: dict[str, object]) -> Decision:
    first, second, verdict, when = raw["first"], raw["second"], raw["verdict"], raw["decided_ns"]
    if not isinstance(first, str) or not isinstance(second, str) or verdict not in VERDICTS:
        raise ValueError(f"verdict must be one of {', '.join(VERDICTS)}, between two checksums")
    if not isinstance(when, int) or isinstance(when, bool) or not 0 <= when < 2**63:
        raise ValueError("decided_ns must be a whole number of nanoseconds")
    if any(len(bytes.fromhex(each)) != 32 or each != each.lower() for each in (first, second)) or first >= second:
        raise ValueError("first and second must be two sha256 checksums in rising order")
    return Decision(first, second, verdict, when)
