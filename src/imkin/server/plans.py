"""The plans of finished scans, by id: shown, edited and handed to the jobs that carry them out."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imkin.errors import UsageError
from imkin.plan import Plan, edited
from imkin.server.names import told
from imkin.server.problems import Problem

MOST_KEPT = 32


@dataclass(frozen=True, slots=True)
class Planned:
    """What a scan found and what is to be done. paths: of its files; a file's id is its place there.

    run: the number of the run that carried it out, or None; busy: a job does that now.
    """

    plan: Plan
    found: dict[str, Any]
    paths: tuple[str, ...]
    roots: tuple[str, ...]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    run: int | None = None
    busy: bool = False

    def ids(self) -> dict[str, int]:
        """Path → id."""
        return {path: at for at, path in enumerate(self.paths)}

    def names(self) -> list[str]:
        """What clients see of each path."""
        return [told(path, self.roots) for path in self.paths]


def planned(plan: Plan, found: dict[str, Any], roots: Sequence[str]) -> Planned:
    """A plan as its scan's job told it."""
    named = [member["path"] for group in found["groups"] for member in group["members"]]
    named += [member.file.path for group in plan.groups for member in group]
    named += [failure["path"] for failure in found["failures"]] + found["low_quality"]
    return Planned(plan, found, tuple(dict.fromkeys(named)), tuple(roots))


class Plans:
    """The newest plans, in memory: a plan rests on files as they were, and is soon out of date."""

    def __init__(self) -> None:
        self._plans: dict[str, Planned] = {}
        self._lock = threading.Lock()

    def add(self, one: Planned) -> None:
        """Keep a plan; of many the oldest goes."""
        with self._lock:
            self._plans[one.id] = one
            while len(self._plans) > MOST_KEPT:
                del self._plans[next(iter(self._plans))]

    def all(self) -> list[Planned]:
        """Every plan that is kept, oldest first."""
        with self._lock:
            return list(self._plans.values())

    def find(self, id_: str) -> Planned:
        """One plan. Raises Problem 404."""
        with self._lock:
            if id_ not in self._plans:
                raise Problem(404, "unknown-plan", "there is no such plan")
            return self._plans[id_]

    def edit(self, id_: str, words: dict[int, str]) -> Planned:
        """Change what is done with files, by their id. Raises Problem for what the plan's rules forbid."""
        with self._lock:
            one = self._open(id_)
            if unknown := [at for at in words if not 0 <= at < len(one.paths)]:
                raise Problem(422, "unknown-file", f"the plan has no file {unknown[0]}")
            try:
                plan = edited(one.plan, {one.paths[at]: word for at, word in words.items()})
            except KeyError as error:
                raise Problem(422, "unknown-file", f"the plan has no file {one.ids()[error.args[0]]}") from None
            except UsageError as error:
                raise Problem(422, "against-the-rules", told(str(error), one.roots)) from None
            self._plans[id_] = replace(one, plan=plan)
            return self._plans[id_]

    def begin(self, id_: str) -> Planned:
        """Mark a plan as being carried out. Raises Problem 409 if it was or is."""
        with self._lock:
            self._plans[id_] = replace(self._open(id_), busy=True)
            return self._plans[id_]

    def end(self, id_: str, *, run: int | None) -> None:
        """Mark it as carried out by a run, or as not."""
        with self._lock:
            if id_ in self._plans:
                self._plans[id_] = replace(self._plans[id_], busy=False, run=run)

    def _open(self, id_: str) -> Planned:
        if id_ not in self._plans:
            raise Problem(404, "unknown-plan", "there is no such plan")
        one = self._plans[id_]
        if one.busy or one.run is not None:
            raise Problem(409, "applied", "the plan was applied, or is; scan again for another")
        return one
