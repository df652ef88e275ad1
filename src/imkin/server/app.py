"""The application: its routes behind the guard, behind the log."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from imkin.server import problems
from imkin.server.access import Access
from imkin.server.guard import Guard
from imkin.server.settings import Settings

ABOUT = "Finds the kin of images: groups, comparisons, search, scans of folders, and clean-ups that can be undone."


class Health(BaseModel):
    """The service lives."""

    status: str = "ok"


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings. It holds no page of documentation: those load scripts from elsewhere."""
    app = FastAPI(title="imkin", version="1", description=ABOUT, docs_url=None, redoc_url=None)
    app.state.settings = settings
    problems.install(app)

    @app.get("/healthz", tags=["service"], summary="Whether the service lives")
    async def healthz() -> Health:
        return Health()

    # The last one added is the outermost.
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Access)
    return app
