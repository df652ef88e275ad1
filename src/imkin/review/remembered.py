"""What a person decided about the files of a scan: in the catalogue first, and the steps by which it is taken back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from imkin.catalogue import Database
from imkin.catalogue.choices import Choice, ChoiceStore
from imkin.catalogue.decisions import Decision, DecisionStore, Verdict
from imkin.catalogue.steps import Step, StepStore
from imkin.errors import UsageError
from imkin.types import File

Pair = tuple[str, str]
Choices = Mapping[int, Choice | None]
Verdicts = Mapping[Pair, Verdict | None]


class Remembered:
    """Choices by file, verdicts by pair of contents, and the stack of undo. scope: what the review is of.

    files: of the scan, paths: theirs, absolute. parted: contents of which a person told some pair apart.
    """

    def __init__(self, database: Database, files: Sequence[File], paths: Sequence[str], *, scope: str) -> None:
        self._database, self._files, self._paths = database, files, paths
        self._at = {path: at for at, path in reversed(list(enumerate(paths)))}
        self.of_content: dict[str, list[int]] = {}
        for at, file in enumerate(files):
            self.of_content.setdefault(file.sha256, []).append(at)
        self.choices: dict[int, Choice] = {}
        self.decisions: dict[Pair, Decision] = {}
        self.parted: set[str] = set()
        self._recall()
        self._steps = StepStore(database, scope)
        self._top = self._next()

    def _recall(self) -> None:
        for decision in DecisionStore(self._database).all():
            if decision.first in self.of_content and decision.second in self.of_content:
                self.decisions[decision.first, decision.second] = decision
        remembered: dict[str, list[Choice]] = {}
        for choice in ChoiceStore(self._database).about(self.of_content):
            remembered.setdefault(choice.sha256, []).append(choice)
        for sha256, choices in remembered.items():
            places = self.of_content[sha256]
            for choice in choices:
                at = self.where(choice.path, sha256)
                if at is not None:
                    self.choices[at] = choice
            # A file that was moved or renamed: which one it is leaves no doubt. A copy elsewhere is another file.
            if len(places) == len(choices) == 1 and not os.path.lexists(choices[0].path):
                self.choices.setdefault(places[0], choices[0])
        self._note_parted()

    def where(self, path: str, sha256: str | None = None) -> int | None:
        """The file of the scan at an absolute path, with a content; None if there is none."""
        at = self._at.get(path)
        return at if at is None or sha256 in (None, self._files[at].sha256) else None

    def verdict(self, a: int, b: int) -> Verdict | None:
        """What a person said of two files, None where nobody did."""
        if not self.decisions:
            return None
        found = self.decisions.get(pair_of(self._files[a].sha256, self._files[b].sha256))
        return found.verdict if found else None

    @property
    def undoable(self) -> str:
        """What would be undone, or empty."""
        return self._top.what if self._top else ""

    def take(self, what: str, at: int, choices: Choices, verdicts: Verdicts) -> set[int]:
        """Write a decision down, and what it replaced; returns the files that it may touch. at: one that it is about.

        None forgets.
        """
        keys = {at: (self._paths[at], self._files[at].sha256) for at in choices}
        step = Step(
            what,
            self._paths[at],
            {keys[at]: (self.choices.get(at), choice) for at, choice in choices.items()},
            {pair: (self._said(pair), verdict) for pair, verdict in verdicts.items()},
        )
        self._write(choices, verdicts)
        self._steps.push(step)
        self._top = step
        return self._touched(choices, verdicts)

    def undo(self) -> tuple[str, int, set[int]]:
        """Take the newest decision back: what it was, a file that it was about, the files that this may touch.

        Raises UsageError where there is none, or where what was decided is no longer so.
        """
        step = self._top
        if step is None:
            raise UsageError("there is nothing to undo")
        self._steps.pop()
        self._top = self._next()
        files = {key: at for key in step.choices if (at := self.where(*key)) is not None}
        since = any(self.choices.get(at) != step.choices[key][1] for key, at in files.items())
        if since or any(self._said(pair) != after for pair, (_, after) in step.verdicts.items()):
            raise UsageError(f"«{step.what}» was decided otherwise meanwhile, and stays as it is now")
        choices = {at: step.choices[key][0] for key, at in files.items()}
        verdicts: Verdicts = {pair: before for pair, (before, _) in step.verdicts.items()}  # type: ignore[misc]
        self._write(choices, verdicts)
        at = self.where(step.path)
        return step.what, 0 if at is None else at, self._touched(choices, verdicts)

    def _next(self) -> Step | None:
        """The newest step whose files are those of the scan; others are forgotten."""
        while (step := self._steps.top()) is not None:
            contents = {content for pair in step.verdicts for content in pair}
            there = all(self.where(*key) is not None for key in step.choices)
            if there and contents <= self.of_content.keys() and self.where(step.path) is not None:
                return step
            self._steps.pop()
        return None

    def _said(self, pair: Pair) -> Verdict | None:
        return self.decisions[pair].verdict if pair in self.decisions else None

    def _write(self, choices: Choices, verdicts: Verdicts) -> None:
        """To the catalogue first: what is shown as decided has been saved."""
        decisions, store = DecisionStore(self._database), ChoiceStore(self._database)
        decisions.forget(verdicts)
        for pair, verdict in verdicts.items():
            if verdict is not None:
                self.decisions[pair] = decisions.mark(*pair, verdict)
            else:
                self.decisions.pop(pair, None)
        store.forget((self._paths[at], self._files[at].sha256) for at in choices)
        store.put(choice for choice in choices.values() if choice is not None)
        for at, choice in choices.items():
            if choice is None:
                self.choices.pop(at, None)
            else:
                self.choices[at] = choice
        self._note_parted()

    def _touched(self, files: Iterable[int], pairs: Iterable[Pair]) -> set[int]:
        contents = {content for pair in pairs for content in pair}
        return {*files, *(at for content in contents for at in self.of_content[content])}

    def _note_parted(self) -> None:
        self.parted = {c for pair, one in self.decisions.items() if one.verdict == "different" for c in pair}


def pair_of(a: str, b: str) -> Pair:
    """Two contents in the order by which a catalogue knows them."""
    return (a, b) if a < b else (b, a)
