"""A line in the log and a count for each request. Queries are not logged: they may hold a token."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imkin.server.metrics import Metrics

log = logging.getLogger("imkin.access")


class Access:
    """ASGI middleware, the outermost: it sees what was refused too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and write down what came of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, size = 0, 0

        async def seen(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            client = (scope.get("client") or ("-",))[0]
            path = quote(scope["path"], safe="/-_.~:@")
            took = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "")
            # Methods and paths are what a client writes: only those of the schema are counted by name.
            method = scope["method"] if route else ""
            self._metrics.seen(method, route, status, seconds=took)
            log.info("%s %s %s %d %d %.3f", client, scope["method"], path, status, size, took)
