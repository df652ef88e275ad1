"""The review page alone, as `imkin review` serves it: on loopback, behind a token that its address carries."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from imkin.errors import UsageError
from imkin.review import Session
from imkin.server import problems
from imkin.server.guard import Guard
from imkin.server.review.desk import Desk
from imkin.server.review.routes import install
from imkin.server.settings import Settings

HOST = "127.0.0.1"
# What is under way when the page is told to end may go on so long.
GRACE_S = 3
TOKEN_BYTES = 24


def create_app(settings: Settings, session: Session) -> FastAPI:
    """The page of one session, behind the guard."""
    app = FastAPI(title="imkin review", docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    install(app, Desk(session))
    app.add_middleware(Guard, settings=settings)
    return app


def serve(session: Session, *, port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted. say: told the address of the page. Raises UsageError where it cannot listen."""
    with _listen(port) as listening:
        server, address = _server(session, listening)
        say(address)
        server.run(sockets=[listening])


@contextmanager
def serving(session: Session, *, port: int = 0) -> Iterator[str]:
    """Serve from a thread while the block runs; gives the address of the page."""
    with _listen(port) as listening:
        server, address = _server(session, listening)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        raise UsageError(f"cannot listen on {HOST} port {port}: {error.strerror}; name another with --port") from None


def _server(session: Session, listening: socket.socket) -> tuple[uvicorn.Server, str]:
    """The server, and the address that opens its page: the token in it is of this start alone."""
    port, token = listening.getsockname()[1], secrets.token_urlsafe(TOKEN_BYTES)
    settings = Settings(host=HOST, port=port, token=token)
    config = uvicorn.Config(
        create_app(settings, session),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    return uvicorn.Server(config), f"http://{HOST}:{port}/review/?token={token}"
