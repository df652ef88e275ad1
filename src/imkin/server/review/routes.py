"""What the review page asks for. Files and groups are spoken of by their numbers, pictures by their content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files as package_files
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from imkin.errors import ImkinError
from imkin.library import threshold_of
from imkin.plan import VERBS, Verb
from imkin.report.files import shown as printable
from imkin.review import carrying, pictures, shown
from imkin.server import images
from imkin.server.problems import Problem
from imkin.server.review.desk import Desk, How
from imkin.server.schemas import GroupingName

TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
# A picture is named by its content, so that what a browser holds is always right.
FOR_EVER = "private, max-age=31536000, immutable"
SHOWN_FAILURES = 200
MOST_GROUPS = 1_000_000


class Root(BaseModel):
    """Which of the roots to review, from 0, and how its pictures are compared."""

    root: int
    by: str | None = Field(None, max_length=64)
    turns: bool = False
    threshold: float | None = Field(None, ge=0, le=1)
    grouping: GroupingName = "transitive"


class Threshold(BaseModel):
    """A similarity, 0..1."""

    value: float = Field(ge=0, le=1)


class Decision(BaseModel):
    """What a person says of groups. files: those to keep. file: the one that is unlike its group."""

    revision: int
    action: Literal["keep", "all", "different", "odd", "reopen"]
    groups: list[int] = Field(min_length=1, max_length=MOST_GROUPS)
    files: list[int] | None = None
    file: int | None = None


class Many(BaseModel):
    """Groups to decide as suggested."""

    revision: int
    groups: list[int] = Field(min_length=1, max_length=MOST_GROUPS)


class Order(BaseModel):
    """A plan to apply. count: how many files the person was told would go. target: the folder of `move`."""

    revision: int
    verb: Verb
    target: str = Field("", max_length=4096)
    count: int


def install(app: FastAPI, desk: Desk) -> None:
    """Add the page and what it asks for. They are the page's own, and no part of the published interface."""
    app.include_router(_page())
    api = APIRouter(prefix="/api/review", include_in_schema=False)
    _read(api, desk)
    _decide(api, desk)
    _carry_out(api, desk)
    app.include_router(api)


def _page() -> APIRouter:
    page = APIRouter(include_in_schema=False)

    @page.get("/review")
    def review() -> Response:
        return RedirectResponse("/review/", 308)

    @page.get("/review/")
    def index() -> Response:
        return _static("index.html")

    @page.get("/review/static/{name}")
    def static(name: str) -> Response:
        return _static(name)

    return page


def _static(name: str) -> Response:
    """A file of the page; its look is shared with the report."""
    kind = TYPES.get(name.rpartition(".")[2])
    package = package_files("imkin.report" if name == "look.css" else "imkin.server.review")
    place = package if name == "look.css" else package / "static"
    known = {each.name: each for each in place.iterdir()}
    if kind is None or name not in known:
        raise Problem(404, "", "there is no such file")
    return Response(known[name].read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})


@contextmanager
def _refusing() -> Iterator[None]:
    """What the core refuses is told as it says it: the page is the user's own, and so are the paths in it."""
    try:
        yield
    except ImkinError as error:
        raise Problem(422, "refused", printable(str(error))) from None


def _read(api: APIRouter, desk: Desk) -> None:
    @api.get("")
    def about() -> shown.Plain:
        choices = [printable(root) for root in desk.roots]
        methods = [each.model_dump() for each in images.methods()] if desk.roots else []
        if not desk.is_open:
            return {"open": False, "choices": choices, "methods": methods}
        session = desk.session
        wish, failures = session.about.wish, session.scanned.failures
        run = carrying.last_run(session)
        verbs = [verb for verb in VERBS if verb != "move" or not desk.roots]
        return {
            "open": True,
            "choices": choices,
            "methods": methods,
            "roots": [printable(root) for root in wish.roots],
            "images": len(session.files),
            "method": session.about.method,
            "threshold": session.about.threshold,
            "floor": session.about.floor,
            "grouping": session.about.grouping,
            "verb": wish.verb,
            "verbs": verbs,
            "target": printable(wish.target),
            "run": run.run if run else None,
            "failures": [[printable(each.path), each.reason] for each in failures[:SHOWN_FAILURES]],
            "failed": len(failures),
        }

    @api.post("/open")
    def open_root(root: Root) -> shown.Plain:
        by = images.method_of(root.by)
        with _refusing():
            threshold = threshold_of(by, turns=root.turns, threshold=root.threshold)
        return desk.open(root.root, How(by, root.turns, threshold, root.grouping)).plain()

    @api.get("/groups")
    def groups() -> shown.Plain:
        return shown.overview(desk.session)

    @api.get("/stops")
    def stops() -> shown.Plain:
        return {"stops": desk.session.stops()}

    @api.get("/relations")
    def relations(revision: int) -> Any:
        if desk.is_past(revision):
            return Response(status_code=204)
        return {"relations": shown.relations(desk.session)}

    @api.get("/groups/{number}")
    def group(number: int, revision: int) -> Any:
        if desk.is_past(revision):
            return Response(status_code=204)
        with _refusing():
            return shown.group(desk.session, number)

    @api.get("/sharpness")
    def sharpness(files: Annotated[str, Query(pattern=r"^\d{1,9}(,\d{1,9}){0,199}$")]) -> shown.Plain:
        numbers = [int(number) for number in files.split(",")]
        if max(numbers) >= len(desk.session.files):
            raise Problem(404, "", "there is no such picture")
        return {"sharpness": shown.sharpness(desk.session, numbers)}

    @api.get("/pictures/{content}/{side}.jpg")
    def picture(content: str, side: int) -> Response:
        if side not in pictures.SIDES:
            raise Problem(404, "", "there is no such picture")
        jpeg = desk.session.pictures.jpeg(desk.file(content), side)
        if jpeg is None:
            raise Problem(404, "unreadable", "the picture cannot be read, or has changed since the scan")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": FOR_EVER})


def _decide(api: APIRouter, desk: Desk) -> None:
    @api.post("/threshold")
    def threshold(wanted: Threshold) -> shown.Plain:
        desk.idle()
        with _refusing():
            desk.session.regroup(wanted.value)
        return {"revision": desk.session.revision}

    @api.post("/decisions")
    def decide(said: Decision) -> shown.Plain:
        desk.idle()
        with desk.session.lock, _refusing():
            desk.check(said.revision)
            if said.action == "keep":
                changed = desk.session.keep(said.groups[0], said.files or [])
            elif said.action == "all":
                changed = desk.session.keep_all(said.groups)
            elif said.action == "reopen":
                changed = desk.session.reopen(said.groups)
            else:
                changed = desk.session.part(said.groups, file=said.file if said.action == "odd" else None)
            return shown.changes(desk.session, sorted({*changed, *said.groups}))

    @api.post("/undo")
    def undo() -> shown.Plain:
        desk.idle()
        with desk.session.lock, _refusing():
            what, at, changed = desk.session.undo()
            return {**shown.changes(desk.session, changed), "what": what, "at": at}

    @api.post("/suggestions")
    def suggestions(many: Many) -> shown.Plain:
        desk.check(many.revision)
        with _refusing():
            for number in many.groups:
                desk.session.members(number)
        return desk.start(lambda: carrying.suggest(desk.session, many.groups)).plain()


def _carry_out(api: APIRouter, desk: Desk) -> None:
    @api.get("/plan")
    def plan(verb: Verb, target: Annotated[str, Query(max_length=4096)] = "") -> shown.Plain:
        folder = _folder(verb, target)
        with _refusing():
            made = desk.session.decided_plan(verb, folder)
            return {**shown.plan(desk.session, made), "revision": desk.session.revision}

    @api.post("/plan/apply")
    def apply(order: Order) -> shown.Plain:
        folder = _folder(order.verb, order.target)
        desk.idle()
        desk.check(order.revision)
        with _refusing():
            made = desk.session.decided_plan(order.verb, folder)
        if len(made.actions) != order.count:
            raise Problem(409, "changed", "the plan has changed meanwhile; look at it again")
        return desk.start(lambda: carrying.apply(desk.session, made)).plain()

    @api.post("/runs/{run}/undo")
    def undo_run(run: int) -> shown.Plain:
        return desk.start(lambda: carrying.undo(desk.session, run)).plain()

    @api.get("/task")
    def task() -> shown.Plain:
        return desk.task.plain()

    @api.post("/task/stop")
    def stop() -> shown.Plain:
        desk.task.stop()
        return desk.task.plain()

    def _folder(verb: Verb, target: str) -> str:
        """Where a plan moves files to, empty for other plans. A client of a service names no paths."""
        if verb != "move":
            return ""
        if desk.roots:
            raise Problem(422, "refused", "a service moves no files to other folders; choose the trash, or a link")
        folder = os.path.expanduser(target.strip() or desk.session.about.wish.target)
        if not os.path.isabs(folder):
            raise Problem(422, "refused", "name the folder to move to by its whole path")
        return os.path.normpath(folder)
