"""What the process of a job does: scan and plan, apply, undo. It tells its progress and hears when it is to stop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from imkin import actions
from imkin.catalogue import Database
from imkin.cleaning import outcome_object, plan_scan
from imkin.errors import ImkinError, StoppedError, UsageError
from imkin.grouping import grouping_of
from imkin.library import Library
from imkin.plan import parse_action, parse_plan, plan_text
from imkin.policy import parse_rules
from imkin.server.limit import limit_memory

# What a person can follow; more would only be work.
TELL_EVERY_S = 0.05
TOO_LARGE = "it takes more memory than a job is allowed; scan fewer folders at once, or start with more --job-memory"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scan is asked for. roots: absolute folders. action: a verb of plans, without a target."""

    roots: list[str]
    by: str
    turns: bool
    threshold: float
    grouping: str
    action: str
    keep: str
    keep_per_folder: int
    bundle: bool


@dataclass(slots=True)
class Talk:
    """The pipe to the service."""

    pipe: Connection
    told_at: float = 0.0
    stage: str = ""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell how far the work is, as the command's bar shows it."""
        now = time.monotonic()
        if stage == self.stage and done != total and now - self.told_at < TELL_EVERY_S:
            return
        self.stage, self.told_at = stage, now
        self.tell({"progress": {"stage": stage, "done": done, "total": total}})

    def tell(self, what: dict[str, Any]) -> None:
        """Send one message."""
        self.pipe.send_bytes(json.dumps(what).encode())

    def stop(self) -> bool:
        """Whether the service asked for the end, or is gone."""
        return self.pipe.poll()


def main(pipe: Connection, kind: str, catalogue: str, values: dict[str, Any], memory: int) -> None:
    """Do one job and tell what came of it. memory: bytes of address space it may take."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(memory)
    talk = Talk(pipe)
    try:
        talk.tell({"result": KINDS[kind](talk, catalogue, **values)})
    except StoppedError:
        talk.tell({"stopped": True})
    except UsageError as error:
        talk.tell({"refused": str(error)})
    except ImkinError as error:
        # Of the catalogue or a full disk: for whoever runs the service, not for its clients.
        talk.tell({"broken": str(error)})
    except MemoryError:
        talk.tell({"refused": TOO_LARGE})


def scan(talk: Talk, catalogue: str, **values: Any) -> dict[str, Any]:
    """Scan folders, group, and plan."""
    wanted = Wanted(**values)
    verb, _ = parse_action(wanted.action)
    wish = actions.Wish(
        verb,
        tuple(wanted.roots),
        rules=parse_rules(wanted.keep),
        keep_per_folder=wanted.keep_per_folder,
        bundle=wanted.bundle,
    )
    with Database(catalogue, durable=True) as database, Library(catalogue) as library:
        scanned = library.scan(wanted.roots, wanted.by, turns=wanted.turns, progress=talk.progress, stop=talk.stop)
        plan, result = plan_scan(
            library,
            scanned,
            threshold=wanted.threshold,
            wish=wish,
            database=database,
            grouping=grouping_of(wanted.grouping),
        )
    return {"plan": plan_text(plan), "found": result.to_dict()}


def apply(talk: Talk, catalogue: str, *, plan: str) -> dict[str, Any]:
    """Apply a plan."""
    with Database(catalogue, durable=True) as database:
        made = parse_plan(plan, name="the plan")
        return outcome_object(actions.apply(made, database=database, progress=talk.progress, stop=talk.stop))


def undo(talk: Talk, catalogue: str, *, run: int) -> dict[str, Any]:
    """Take a run back."""
    with Database(catalogue, durable=True) as database:
        return outcome_object(actions.undo(run, database=database, progress=talk.progress, stop=talk.stop))


KINDS: dict[str, Callable[..., dict[str, Any]]] = {"scan": scan, "apply": apply, "undo": undo}
