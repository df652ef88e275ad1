"""Steps of a review: what each decision replaced, so that it can be taken back, after a restart as well."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imkin.catalogue.choices import Choice
from imkin.catalogue.database import Database

# So many decisions of a review can be taken back.
MOST = 200

Word = Choice | None
Verdict = str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One decision. what: in words. path: of a file that it was about.

    choices: (path, sha256) → the choice before and after. verdicts: (first, second) → the verdict before and after.
    """

    what: str
    path: str
    choices: Mapping[tuple[str, str], tuple[Word, Word]]
    verdicts: Mapping[tuple[str, str], tuple[Verdict, Verdict]]


class StepStore:
    """The steps of one review in a catalogue, the newest on top. scope: what the review is of, such as its roots."""

    def __init__(self, database: Database, scope: str) -> None:
        self._database, self._scope = database, scope.encode("utf-8", "surrogateescape")

    def push(self, step: Step) -> None:
        """Remember a step; of more than MOST the oldest is forgotten."""
        row = zlib.compress(json.dumps(_plain(step)).encode(), 1)

        def write() -> None:
            with self._database.transaction():
                found = self._database.execute("SELECT max(number) FROM review_steps WHERE scope = ?", [self._scope])
                number = (found[0][0] or 0) + 1
                columns = ("scope", "number", "step")
                self._database.put("review_steps", columns, [(self._scope, number, row)], key=("scope", "number"))
                self._database.execute_many(
                    "DELETE FROM review_steps WHERE scope = ? AND number <= ?", [(self._scope, number - MOST)]
                )

        self._database.repeated(write)

    def top(self) -> Step | None:
        """The newest step, None if there is none."""
        rows = self._database.execute(
            "SELECT step FROM review_steps WHERE scope = ? ORDER BY number DESC LIMIT 1", [self._scope]
        )
        return _parsed(json.loads(zlib.decompress(rows[0][0]))) if rows else None

    def pop(self) -> None:
        """Forget the newest step."""

        def write() -> None:
            with self._database.transaction():
                found = self._database.execute("SELECT max(number) FROM review_steps WHERE scope = ?", [self._scope])
                self._database.execute_many(
                    "DELETE FROM review_steps WHERE scope = ? AND number = ?", [(self._scope, found[0][0] or 0)]
                )

        self._database.repeated(write)


def _plain(step: Step) -> dict[str, Any]:
    def words(choice: Word) -> list[str] | None:
        return None if choice is None else [choice.word, choice.instead]

    return {
        "what": step.what,
        "path": step.path,
        "choices": [[*key, words(before), words(after)] for key, (before, after) in step.choices.items()],
        "verdicts": [[*pair, before, after] for pair, (before, after) in step.verdicts.items()],
    }


def _parsed(raw: dict[str, Any]) -> Step:
    def choice(path: str, sha256: str, words: list[Any] | None) -> Word:
        return None if words is None else Choice(path, sha256, *words)

    return Step(
        raw["what"],
        raw["path"],
        {(p, s): (choice(p, s, before), choice(p, s, after)) for p, s, before, after in raw["choices"]},
        {(a, b): (before, after) for a, b, before, after in raw["verdicts"]},
    )
