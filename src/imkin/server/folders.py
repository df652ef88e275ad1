"""Routes over the roots: scans as jobs, how far they are, what they found. Files are known by id, never by a path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from imkin.library import threshold_of
from imkin.plan import parse_plan
from imkin.policy import parse_rules
from imkin.server.folder_schemas import JobOf, Progress, RootOf, RunOf, ScanAsked
from imkin.server.images import method_of
from imkin.server.jobs import ENDED, Job
from imkin.server.names import root_names, told
from imkin.server.plans import Planned, planned
from imkin.server.problems import Problem, refusing, responses
from imkin.server.schemas import Groups
from imkin.server.service import OfService, Service

# How often a stream of events looks for news, and how long it may be silent before it says that it lives.
LOOK_S, ALIVE_S = 0.1, 15.0

router = APIRouter(prefix="/api/v1", tags=["folders"])


@router.get("/roots", summary="The folders that may be scanned")
def roots(service: OfService) -> list[RootOf]:
    """The folders that the service was started with."""
    return [RootOf(id=at, name=name) for at, name in enumerate(root_names(service.settings.roots))]


@router.post("/jobs", status_code=202, summary="Scan folders", responses=responses(409, 422, 429))
def scan(asked: ScanAsked, service: OfService, response: Response) -> JobOf:
    """Scan roots, group what is alike, and plan what to do with the copies. Changes nothing."""
    every = service.settings.roots
    if not every:
        raise Problem(409, "no-roots", "the service was started without --root: there is nothing to scan")
    if unknown := [at for at in asked.roots if not 0 <= at < len(every)]:
        raise Problem(422, "unknown-root", f"there is no root {unknown[0]}; see /api/v1/roots")
    chosen = [every[at] for at in dict.fromkeys(asked.roots)] or list(every)
    by = method_of(asked.by)
    with refusing():
        threshold = threshold_of(by, turns=asked.turns, threshold=asked.threshold)
        parse_rules(asked.keep)
    values = asked.model_dump() | {"roots": chosen, "by": by, "threshold": threshold}

    def keep(job: Job) -> None:
        if job.result is not None:
            made = planned(parse_plan(job.result["plan"], name="the plan"), job.result["found"], every)
            service.plans.add(made)
            job.plan, job.result = made.id, None

    return accepted(service.jobs.start("scan", values, then=keep), service, response)


def accepted(job: Job, service: Service, response: Response) -> JobOf:
    """The answer to a job that was taken on."""
    response.headers["location"] = f"/api/v1/jobs/{job.id}"
    return job_of(job, service)


def job_of(job: Job, service: Service) -> JobOf:
    """A job as clients see it."""
    roots = service.settings.roots
    return JobOf(
        id=job.id,
        kind=job.kind,  # type: ignore[arg-type]
        state=job.state,
        progress=Progress(stage=job.stage, done=job.done, total=job.total),
        plan=job.plan,
        run=None if job.result is None else run_of(job.result, service),
        error=told(job.error, roots),
    )


def run_of(outcome: dict[str, Any], service: Service) -> RunOf:
    """A run as clients see it."""
    roots = service.settings.roots
    rows = [{**row, "name": told(row["path"], roots), "reason": told(row["reason"], roots)} for row in outcome["rows"]]
    return RunOf.model_validate({**outcome, "rows": rows})


@router.get("/jobs", summary="All jobs")
def jobs(service: OfService) -> list[JobOf]:
    """The jobs that run or wait, and those that ended lately."""
    return [job_of(job, service) for job in service.jobs.all()]


@router.get("/jobs/{job_id}", summary="One job", responses=responses(404))
def job(job_id: str, service: OfService) -> JobOf:
    """How far a job is, or what came of it."""
    return job_of(service.jobs.find(job_id), service)


@router.post("/jobs/{job_id}/cancel", status_code=202, summary="Stop a job", responses=responses(404, 409))
def cancel(job_id: str, service: OfService) -> JobOf:
    """Ask a job to stop. What it read is kept; of an apply, what was done can be undone."""
    found = service.jobs.find(job_id)
    if found.state in ENDED:
        raise Problem(409, "ended", f"the job is {found.state}")
    found.stop.set()
    return job_of(found, service)


@router.get(
    "/jobs/{job_id}/events",
    summary="Progress, as server-sent events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events."},
        **responses(404),
    },
)
async def events(job_id: str, service: OfService) -> StreamingResponse:
    """`progress` with a job's stage, done and total whenever they change, at last `end` with the whole job."""
    found = service.jobs.find(job_id)
    return StreamingResponse(
        _events(found, service), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _events(job: Job, service: Service) -> AsyncIterator[str]:
    seen, silent = -1, 0.0
    while True:
        ended, now = job.state in ENDED, job.seen
        if now != seen and not ended:
            seen, silent = now, 0.0
            progress = {"state": job.state, "stage": job.stage, "done": job.done, "total": job.total}
            yield f"event: progress\ndata: {json.dumps(progress)}\n\n"
        if ended:
            yield f"event: end\ndata: {job_of(job, service).model_dump_json()}\n\n"
            return
        if silent >= ALIVE_S:
            silent = 0.0
            yield ": alive\n\n"
        await asyncio.sleep(LOOK_S)
        silent += LOOK_S


@router.get("/jobs/{job_id}/groups", summary="What a scan found", responses=responses(404, 409))
def groups(job_id: str, service: OfService) -> Groups:
    """The groups of a scan that is done; ids are those of its plan."""
    found = service.jobs.find(job_id)
    if found.plan is None:
        raise Problem(409, "no-plan", "the job is no scan, or is not done")
    return _groups(service.plans.find(found.plan))


def _groups(made: Planned) -> Groups:
    ids, names = made.ids(), made.names()

    def row(one: dict[str, Any]) -> dict[str, Any]:
        at = ids[one["path"]]
        return {**one, "id": at, "name": names[at]}

    found = made.found
    shown = [
        {
            "keeper": ids[group["keeper"]],
            "reason": told(group["reason"], made.roots),
            "members": [row(member) for member in group["members"]],
            "pairs": [{**pair, "a": ids[pair["a"]], "b": ids[pair["b"]]} for pair in group["pairs"]],
        }
        for group in found["groups"]
    ]
    failures = [row({**failure, "reason": told(failure["reason"], made.roots)}) for failure in found["failures"]]
    low = [ids[path] for path in found["low_quality"]]
    return Groups.model_validate({**found, "groups": shown, "failures": failures, "low_quality": low})
