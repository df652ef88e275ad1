"""The application: its routes behind the guard, behind the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from starlette.responses import Response

from imkin.server import carrying, folders, images, libraries, problems, review
from imkin.server.access import Access
from imkin.server.guard import Guard
from imkin.server.metrics import MEDIA_TYPE, Metrics, resident_bytes
from imkin.server.service import Service, running
from imkin.server.settings import Settings

ABOUT = "Finds the kin of images: groups, comparisons, search, scans of folders, and clean-ups that can be undone."


class Health(BaseModel):
    """The service lives."""

    status: str = "ok"


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings. It holds no page of documentation: those load scripts from elsewhere."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings) as service:
            app.state.service = service
            _watch(metrics, service)
            yield
        await asyncio.to_thread(desk.close)

    app = FastAPI(title="imkin", version="1", description=ABOUT, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.settings = settings
    problems.install(app)
    desk = review.Desk(roots=settings.roots, catalogue=settings.catalogue)
    if settings.roots:
        review.install(app, desk)

    @app.get("/healthz", tags=["service"], summary="Whether the service lives")
    async def healthz() -> Health:
        return Health()

    @app.get("/metrics", tags=["service"], summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def numbers() -> Response:
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    for part in (images, libraries, folders, carrying):
        app.include_router(part.router)

    problems.tell(app)
    # The last one added is the outermost.
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Access, metrics=metrics)
    return app


def _watch(metrics: Metrics, service: Service) -> None:
    work = service.settings.work
    metrics.watch("imkin_places_used", "Requests that are received, wait or are worked on.", service.pool.used)
    metrics.watch("imkin_places", "How many may be at once.", lambda: work.processes + work.queue)
    metrics.watch("imkin_workers_lost_total", "Workers that died of a task.", service.pool.losses, kind="counter")
    metrics.watch("imkin_jobs", "Jobs that run or wait.", service.jobs.running)
    metrics.watch("imkin_resident_bytes", "Memory of the service, without its workers.", resident_bytes)
