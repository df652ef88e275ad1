"""Listen and serve until told to end."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from imkin.errors import UsageError
from imkin.server.app import create_app
from imkin.server.settings import Settings

# What is under way when the service is told to end may go on so long.
GRACE_S = 10


def serve(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve; returns after an interruption. say: told the address. Raises UsageError where it cannot listen."""
    with _listen(settings) as listening:
        port = listening.getsockname()[1]
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        config = uvicorn.Config(
            create_app(settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            ws="none",
        )
        say(f"serving on http://{shown}:{port}")
        uvicorn.Server(config).run(sockets=[listening])


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from None
