"""One GET at a time over HTTP/1.1 and HTTP/2: bounded in time, size and redirects, to public addresses only."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.util import find_spec
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from imkin import __version__
from imkin.errors import MissingExtraError, UsageError

try:
    import httpcore2
    import httpx2
except ModuleNotFoundError:
    raise MissingExtraError("reading tables of URLs", "tables") from None

from imkin.sources.address import CheckedBackend, RefusedError, Resolve, UnresolvedError, check_name, resolve

REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebLimits:
    """What one request may cost. read_s: the longest silence; total_s: from the connection to the last byte."""

    connect_s: float = 10.0
    read_s: float = 20.0
    total_s: float = 90.0
    max_bytes: int = 64 << 20
    allow_private: bool = False
    connections: int = 32


class PermanentError(Exception):
    """The row's URL gives no body, and would give none if asked again now; the text says why.

    dead: the server itself says that there is nothing to be had, now or later.
    """

    def __init__(self, reason: str, *, dead: bool = False) -> None:
        super().__init__(reason)
        self.dead = dead


class TransientError(Exception):
    """No body this time. wait_s: what the server asked for; whole_host: other URLs of the host will fare no better."""

    def __init__(self, reason: str, *, wait_s: float | None = None, whole_host: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.whole_host = whole_host


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that came whole. url: as it was asked. size: bytes."""

    url: str
    size: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """Another URL to ask instead."""

    url: str


class Web:
    """Connections that are kept open between requests; use as `async with`."""

    def __init__(self, limits: WebLimits, *, resolver: Resolve = resolve) -> None:
        self._limits = limits
        self._resolver = resolver
        self._proxies = getproxies()
        self._tls = httpx2.create_ssl_context()
        self._pools: dict[str, httpcore2.AsyncConnectionPool] = {}

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def get(self, url: str, sink: Callable[[bytes], None]) -> Answer | Redirect:
        """Ask url once, give its body to sink chunk by chunk. Raises PermanentError or TransientError."""
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._get(_parse(url), sink)
        except TimeoutError:
            raise PermanentError(f"the answer took longer than {self._limits.total_s:g} s") from None
        except RefusedError as error:
            raise PermanentError(str(error)) from None
        except UnresolvedError as error:
            raise PermanentError(str(error)) if error.lasting else TransientError(str(error), whole_host=True) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.ProxyError) as error:
            raise _unreachable(error, self._limits.connect_s) from None
        except httpcore2.TimeoutException:
            raise TransientError(f"the server was silent for {self._limits.read_s:g} s") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, ConnectionError) as error:
            raise TransientError(f"the connection broke: {error or type(error).__name__}") from None
        except (httpcore2.UnsupportedProtocol, httpx2.InvalidURL, ValueError) as error:
            raise PermanentError(f"not a URL that can be asked: {error}") from None

    async def _get(self, url: httpx2.URL, sink: Callable[[bytes], None]) -> Answer | Redirect:
        async with self._ask(url) as response:
            headers = httpx2.Headers(response.headers)
            if response.status in REDIRECTS and "location" in headers:
                return Redirect(str(url.join(headers["location"])))
            _check_status(response.status, headers)
            return Answer(str(url), await self._take(headers, response, sink))

    @asynccontextmanager
    async def _ask(self, url: httpx2.URL) -> AsyncIterator[httpcore2.Response]:
        pool = await self._pool(url)
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        silence = {"connect": self._limits.connect_s, "read": self._limits.read_s, "write": self._limits.read_s}
        async with pool.stream("GET", target, headers=_headers(url), extensions={"timeout": silence}) as response:
            yield response

    async def _take(
        self, headers: Mapping[str, str], response: httpcore2.Response, sink: Callable[[bytes], None]
    ) -> int:
        most = self._limits.max_bytes
        told = headers.get("content-length", "")
        if told.isascii() and told.isdecimal() and int(told) > most:
            raise PermanentError(f"{told} bytes are over the limit of {most}")
        size = 0
        async for chunk in response.aiter_stream():
            size += len(chunk)
            if size > most:
                raise PermanentError(f"the body is over the limit of {most} bytes")
            sink(chunk)
        return size

    async def _pool(self, url: httpx2.URL) -> httpcore2.AsyncConnectionPool:
        proxy = "" if proxy_bypass(url.host) else self._proxies.get(url.scheme) or self._proxies.get("all") or ""
        if proxy and not self._limits.allow_private:
            await check_name(url.host, url.port or DEFAULT_PORTS[url.scheme], resolver=self._resolver)
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: str) -> httpcore2.AsyncConnectionPool:
        backend = CheckedBackend(allow_private=self._limits.allow_private, resolver=self._resolver)
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            # The proxy's own address is the user's choice, and may well be private.
            proxy=_proxy(proxy) if proxy else None,
            network_backend=None if proxy else backend,
            max_connections=self._limits.connections,
            http1=True,
            http2=True,
        )


def retry_after(value: str, now_s: float) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 10.2.3: a number or a date); None if it says nothing.

    now_s: seconds since 1970, against which a date is held.
    """
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _parse(text: str) -> httpx2.URL:
    url = httpx2.URL(text)
    if url.scheme not in DEFAULT_PORTS:
        raise PermanentError(f"only http and https are fetched, not {url.scheme or 'a path'}")
    if not url.host:
        raise PermanentError("the URL names no host")
    return url


def _headers(url: httpx2.URL) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"Host", url.netloc),
        (b"User-Agent", f"imkin/{__version__}".encode()),
        (b"Accept", b"image/*,*/*;q=0.5"),
        (b"Accept-Encoding", b"identity"),
    ]
    if url.userinfo:
        login = f"{url.username}:{url.password}".encode()
        headers.append((b"Authorization", b"Basic " + base64.b64encode(login)))
    return headers


def _proxy(text: str) -> httpcore2.Proxy:
    url = httpx2.URL(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https", "socks5", "socks5h"):
        raise UsageError(f"the proxy {text} of the environment is neither http, https nor socks5")
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise MissingExtraError("a SOCKS proxy", "tables")
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 1080)
    address = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=b"/")
    login = (unquote(url.username), unquote(url.password)) if url.userinfo else None
    tls = httpx2.create_ssl_context() if url.scheme == "https" else None
    return httpcore2.Proxy(address, auth=login, ssl_context=tls)


def _check_status(status: int, headers: Mapping[str, str]) -> None:
    """Raise unless the body is what was asked for."""
    if status in RETRIED:
        wait_s = retry_after(headers.get("retry-after", ""), time.time())
        too_many = status == HTTPStatus.TOO_MANY_REQUESTS
        raise TransientError(_status_text(status), wait_s=wait_s, whole_host=too_many or wait_s is not None)
    if status not in (HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION):
        raise PermanentError(_status_text(status), dead=status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE))
    packed = headers.get("content-encoding", "identity")
    if packed != "identity":
        raise PermanentError(f"the server packed the body as {packed} without being asked to")


def _status_text(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _unreachable(error: Exception, connect_s: float) -> PermanentError | TransientError:
    if isinstance(error, httpcore2.ConnectTimeout):
        return TransientError(str(error) or f"no connection within {connect_s:g} s", whole_host=True)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return PermanentError(f"the server's certificate is not valid: {error}")
    return TransientError(f"no connection: {error or type(error).__name__}", whole_host=True)


def host_of(url: str) -> str:
    """Scheme, host and port of a URL; "" if it is none."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return ""
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"
