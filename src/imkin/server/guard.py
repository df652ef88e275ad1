"""Who may speak to the service: the right name, no page of elsewhere, and the token where there is one."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imkin.server.problems import answer
from imkin.server.settings import Settings, is_loopback

# Cookies belong to a name and not to a port: each port's service has a cookie of its own.
COOKIE = "imkin_token_{port}"
# Whether the service lives is no secret, and what asks for it holds no token.
OPEN = ("/healthz",)

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
}


class Guard:
    """ASGI middleware that lets through what may come through, and sets the headers that keep browsers strict."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._cookie = COOKIE.format(port=settings.port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await (self._app(scope, receive, send) if scope["type"] == "lifespan" else _close(send))
            return

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, strict)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return answer(421, "unknown-host", "the service is not known by this name; start it with --allow-host NAME")
        if not _from_here(scope, headers, hosts[0]):
            return answer(403, "foreign-page", "a page of another site must not use this service")
        if not self._settings.token or scope["path"] in OPEN:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [*_tokens(headers, self._cookie), *(value for name, value in query if name == "token")]
        if not any(_equal(token, self._settings.token) for token in given):
            return answer(401, "token", "a token is needed", headers={"www-authenticate": 'Bearer realm="imkin"'})
        if scope["method"] == "GET" and any(name == "token" for name, _ in query):
            # Who lies about this gets a cookie that a browser sends less often.
            secure = "https" in (scope["scheme"], headers.get("x-forwarded-proto"))
            return _remember(scope, query, self._cookie, self._settings.token, secure=secure)
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this service: a name that an attacker's DNS cannot point at us."""
        name = _host_name(host)
        if not name:
            return False
        if name == "localhost" or name in self._settings.hosts or name == self._settings.host:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self._settings.host)


def _host_name(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    plain = parts.path == parts.query == parts.fragment == "" and "@" not in host and not host.endswith("?")
    return (parts.hostname or "") if plain else ""


def _from_here(scope: Scope, headers: Mapping[str, str], host: str) -> bool:
    """Whether a request comes from no page, or from one of ours (Fetch standard: Origin; Fetch Metadata)."""
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return False
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    # A link on another page may lead here; whatever else a page of elsewhere asks for is not answered.
    return scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


def _tokens(headers: Mapping[str, str], cookie: str) -> list[str]:
    """What a request shows: a bearer token, the password of http://any:TOKEN@host, or the cookie."""
    found = []
    kind, _, rest = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        found.append(rest.strip())
    elif kind.lower() == "basic":
        with contextlib.suppress(binascii.Error, ValueError):
            found.append(base64.b64decode(rest, validate=True).decode("latin-1").partition(":")[2])
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return found
    return [*found, cookies[cookie].value] if cookie in cookies else found


def _equal(given: str, token: str) -> bool:
    """Whether both are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _remember(scope: Scope, query: list[tuple[str, str]], cookie: str, token: str, *, secure: bool) -> Response:
    """Keep the token of a link in a cookie, and show the address without it."""
    rest = urlencode([(name, value) for name, value in query if name != "token"])
    # One slash: an address of two would be another host's.
    path = "/" + scope["path"].lstrip("/\\")
    response = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
    response.set_cookie(cookie, token, httponly=True, samesite="strict", secure=secure)
    return response


async def _close(send: Send) -> None:
    """There is no websocket here."""
    await send({"type": "websocket.close", "code": 1008})
