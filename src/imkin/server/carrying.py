"""Routes that show and edit plans, carry them out, and take runs back."""

from __future__ import annotations

from fastapi import APIRouter, Response

from imkin import actions
from imkin.catalogue import Database
from imkin.cleaning import outcome_object
from imkin.plan import plan_text
from imkin.server.folder_schemas import JobOf, PlanAbout, PlanEdit, PlanOf, RunOf
from imkin.server.folders import accepted, run_of
from imkin.server.jobs import Job
from imkin.server.names import reachable, told
from imkin.server.plans import Planned
from imkin.server.problems import Problem, responses
from imkin.server.service import OfService, Service

router = APIRouter(prefix="/api/v1", tags=["plans"])

# SQLite's largest whole number.
MOST = 2**63 - 1


@router.get("/plans", summary="All plans")
def plans(service: OfService) -> list[PlanAbout]:
    """The plans of the last scans."""
    return [PlanAbout.model_validate(_about(one)) for one in service.plans.all()]


@router.get("/plans/{plan_id}", summary="One plan", responses=responses(404))
def plan(plan_id: str, service: OfService) -> PlanOf:
    """What would be done with each file, because of which kept one."""
    return _shown(service.plans.find(plan_id))


@router.patch("/plans/{plan_id}", summary="Edit a plan", responses=responses(404, 409, 422))
def edit(plan_id: str, asked: PlanEdit, service: OfService) -> PlanOf:
    """Change what is done with files. Refused whole if a file would go that is near no kept one."""
    return _shown(service.plans.edit(plan_id, dict(asked.do)))


@router.post("/plans/{plan_id}/apply", status_code=202, summary="Carry a plan out", responses=responses(404, 409, 429))
def apply(plan_id: str, service: OfService, response: Response) -> JobOf:
    """Do what a plan says, each file looked at again before. Journalled: it can be undone."""
    one = service.plans.begin(plan_id)

    def end(job: Job) -> None:
        service.plans.end(plan_id, run=None if job.result is None else job.result["run"])

    try:
        job = service.jobs.start("apply", {"plan": plan_text(one.plan)}, then=end)
    except BaseException:
        service.plans.end(plan_id, run=None)
        raise
    return accepted(job, service, response)


@router.post("/plans/{plan_id}/undo", status_code=202, summary="Take a plan back", responses=responses(404, 409, 429))
def undo_plan(plan_id: str, service: OfService, response: Response) -> JobOf:
    """Take back the run that carried a plan out."""
    run = service.plans.find(plan_id).run
    if run is None:
        raise Problem(409, "not-applied", "the plan was not applied: there is nothing to take back")
    return accepted(service.jobs.start("undo", {"run": run}, then=_nothing), service, response)


@router.get("/runs", summary="All runs that changed files of the roots")
def runs(service: OfService) -> list[RunOf]:
    """What became of each file, oldest run first."""
    return [run_of(outcome_object(one), service) for one in _history(service)]


@router.post("/runs/{run}/undo", status_code=202, summary="Take a run back", responses=responses(404, 409, 422, 429))
def undo(run: int, service: OfService, response: Response) -> JobOf:
    """Put back what a run took away. Never overwrites what is there now."""
    if run not in [one.run for one in _history(service)]:
        raise Problem(404, "unknown-run", "there is no such run, or it changed files outside the roots")
    return accepted(service.jobs.start("undo", {"run": run}, then=_nothing), service, response)


def _nothing(_: Job) -> None:
    """A job after which nothing is to be done."""


def _history(service: Service) -> list[actions.Outcome]:
    """The runs of the catalogue whose files all lie in the roots."""
    catalogue = service.settings.catalogue
    if catalogue is None:
        return []
    with Database(catalogue) as database:
        every = actions.history(database)
    return [one for one in every if all(reachable(row.path, service.settings.roots) for row in one.rows)]


def _about(one: Planned) -> dict[str, object]:
    actions_ = one.plan.actions
    return {
        "id": one.id,
        "verb": one.plan.verb,
        "run": one.run,
        "actions": len(actions_),
        "bytes_won": sum(action.bytes_won for action in actions_),
    }


def _shown(one: Planned) -> PlanOf:
    ids, names = one.ids(), one.names()
    groups = [
        [
            {
                "id": ids[member.file.path],
                "name": names[ids[member.file.path]],
                "do": member.do,
                "why": told(member.why, one.roots),
                "fixed": told(member.fixed, one.roots),
                "bytes": member.file.size,
                "sha256": member.file.sha256,
                "near": [{"id": ids[group[at].file.path], "similarity": near} for at, near in member.near],
                "bundle": [told(each.path, one.roots) for each in member.bundle],
            }
            for member in group
        ]
        for group in one.plan.groups
    ]
    about = {**_about(one), "method": one.plan.method, "threshold": one.plan.threshold, "groups": groups}
    return PlanOf.model_validate(about)
