"""From a scan to the plan of a clean-up, and a run of one as plain data: what every face needs to clean."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from imkin import facts
from imkin.actions import Outcome, Wish, make_plan
from imkin.catalogue import Database
from imkin.findings import similarities
from imkin.grouping import Grouping, group
from imkin.image import Limits
from imkin.library import Library, Scope
from imkin.plan import Plan
from imkin.report.plan import planned
from imkin.result import Result
from imkin.scan import Scan


def plan_scan(
    library: Library,
    scanned: Scan,
    *,
    threshold: float,
    wish: Wish,
    database: Database,
    grouping: Grouping = "transitive",
    scope: Scope = Scope(),
    limits: Limits = Limits(),
) -> tuple[Plan, Result]:
    """The plan for what a scan found, and the result that it rests on, with the plan's keepers and reasons.

    Changes nothing. database: holds the decisions. limits: of the pictures that are measured to choose a keeper.
    """
    kin = library.kin(scanned, threshold, scope=scope, connect_only=grouping == "transitive")
    plan = make_plan(
        [members.tolist() for members in group(kin, grouping)],
        scanned.files,
        similarity=similarities(scanned, kin, threshold),
        wish=wish,
        database=database,
        facts=partial(facts.measure, limits=limits),
        method=scanned.prints.spec.name,
        threshold=threshold,
    )
    result = library.group(scanned, kin, threshold=threshold, grouping=grouping, scope=scope, rules=wish.rules)
    return plan, planned(result, plan)


def outcome_object(outcome: Outcome) -> dict[str, object]:
    """A run as JSON types."""
    return {**asdict(outcome), "bytes_won": outcome.bytes_won}
