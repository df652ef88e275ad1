"""Work that takes a while, one at a time, with progress: suggestions for many groups, a plan applied, a run undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from imkin import actions
from imkin.actions import Outcome
from imkin.errors import ImkinError, UsageError
from imkin.plan import KEEP, Plan
from imkin.review.session import Session

# Groups that are planned together: the decisions are read once for them, and a stop waits for no more.
CHUNK = 50

Kind = Literal["scan", "suggest", "apply", "undo"]
Say = Callable[[str, int, int], None]
Stop = Callable[[], bool]


class Task:
    """One piece of work in a thread of its own. state: running, done, stopped or failed; detail: a line for a person.

    outcome: of a plan applied or a run undone. changed: the groups whose standing changed; None: all of them did.
    """

    def __init__(self, kind: Kind, work: Callable[[Task], None]) -> None:
        self.kind = kind
        self.state: Literal["running", "done", "stopped", "failed"] = "running"
        self.stage, self.done, self.total, self.detail = "", 0, 0, ""
        self.outcome: Outcome | None = None
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), name=f"review-{kind}", daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[Task], None]) -> None:
        try:
            work(self)
            self.state = "stopped" if self._halt.is_set() and self.done < self.total else "done"
        except ImkinError as error:
            self.detail = str(error)
            self.state = "stopped" if self._halt.is_set() else "failed"
        except OSError as error:
            self.detail, self.state = error.strerror or "the disk reported an error", "failed"
        except BaseException:
            self.detail, self.state = "an error of imkin's own; what was done stands in `imkin history`", "failed"
            raise

    def progress(self, stage: str, done: int, total: int) -> None:
        """Note how far it is."""
        self.stage, self.done, self.total = stage, done, total

    def stop(self) -> None:
        """Ask it to end soon."""
        self._halt.set()

    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._halt.is_set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until it has ended."""
        self._thread.join(timeout_s)

    def plain(self) -> dict[str, object]:
        """As JSON types."""
        outcome = self.outcome
        return {
            "kind": self.kind,
            "state": self.state,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "detail": self.detail,
            "run": outcome.run if outcome else None,
            "counts": {state: outcome.count(state) for state in ("done", "skipped", "failed", "undone", "not done")}
            if outcome
            else {},
            "bytes": outcome.bytes_won if outcome else 0,
            "left": [{"path": row.path, "why": row.reason} for row in outcome.rows if row.reason][:100]
            if outcome
            else [],
        }


def suggest(session: Session, numbers: Sequence[int]) -> Task:
    """Decide these groups as the keep rules suggest, in one step at the end; those decided already are passed over."""

    def work(task: Task) -> None:
        kept: dict[int, list[int]] = {}
        revision = session.revision
        task.progress("choosing", 0, len(numbers))
        for start in range(0, len(numbers), CHUNK):
            if task.stopped():
                return
            chunk = [n for n in numbers[start : start + CHUNK] if session.standings[n].state == "open"]
            for number, planned in session.outlook(chunk).items():
                chosen = [at for at, member in planned.items() if member.do == KEEP]
                if chosen:
                    kept[number] = chosen
            task.progress("choosing", start, len(numbers))
        if session.revision != revision:
            raise UsageError("the groups changed meanwhile; nothing was decided")
        session.keep_each(kept, what=f"Keep as suggested in {len(kept):,} groups")
        task.progress("choosing", len(numbers), len(numbers))

    return Task("suggest", work)


def apply(session: Session, plan: Plan) -> Task:
    """Apply a plan; what went leaves the review."""

    def work(task: Task) -> None:
        journal_before = {each.run for each in actions.history(session.database)}
        try:
            task.outcome = actions.apply(plan, database=session.database, progress=task.progress, stop=task.stopped)
        except ImkinError:
            made = [each for each in actions.history(session.database) if each.run not in journal_before]
            task.outcome = made[-1] if made else None
            raise
        finally:
            if task.outcome is not None:
                _remove(session, task.outcome)

    return Task("apply", work)


def undo(session: Session, run: int) -> Task:
    """Take a run back; what came back is in the review again."""

    def work(task: Task) -> None:
        task.outcome = actions.undo(run, database=session.database, progress=task.progress, stop=task.stopped)
        with session.lock:
            back = {row.path for row in task.outcome.rows if row.state == "undone"}
            session.gone -= session.where(back)
            session.regroup(session.threshold)

    return Task("undo", work)


def _remove(session: Session, outcome: Outcome) -> None:
    with session.lock:
        session.gone |= session.where({row.path for row in outcome.rows if row.state in ("done", "purged")})
        session.regroup(session.threshold)


def last_run(session: Session) -> Outcome | None:
    """The last run of the catalogue that changed files and was not taken back."""
    found = [each for each in actions.history(session.database) if each.count("done")]
    return found[-1] if found else None
