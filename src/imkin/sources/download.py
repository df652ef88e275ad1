"""Downloads the pictures of a table: many at once, few a host, and nothing but pictures."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from imkin import image
from imkin.errors import OutputError, StoppedError, UsageError
from imkin.sources.address import Resolve, resolve
from imkin.sources.ledger import Entry, Ledger, Outcome
from imkin.sources.web import Answer, PermanentError, Redirect, TransientError, Web, WebLimits, host_of
from imkin.types import Failure

Rows = Callable[[], Iterable[tuple[int, str]]]
"""Yields (row number, URL) in the order of the table, the same each time it is called; "" is a row without URL."""

# Rows whose download is begun or waits for its host's turn: a bound on memory, wide enough that one slow host
# does not keep the others idle.
AHEAD = 2048
# A host that could not be reached, or said 429, this many times in a row is left alone for the rest of the run.
GIVEN_UP_AFTER = 32
MAX_REDIRECTS = 10
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A server that asks for a longer pause is answered by a failed row; a later run asks it again.
LONGEST_RETRY_AFTER_S = 120.0
DECODERS = 4
# The short side at which a body is decoded to see that it is a picture: small, so that JPEG is fast.
CHECK_SIDE = 64
STOP_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How a table is fetched. jobs: requests at once; per_host: of these to one host; attempts: a row, in all."""

    jobs: int = 32
    per_host: int = 4
    attempts: int = 4
    web: WebLimits = field(default_factory=WebLimits)
    image: image.Limits = field(default_factory=image.Limits)

    def __post_init__(self) -> None:
        for name in ("jobs", "per_host", "attempts"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Counts of rows. ok: with a file of their own; copies: of an earlier row's content; reused: already there."""

    rows: int
    ok: int
    copies: int
    failed: int
    empty: int
    reused: int
    results: str


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, to be replaced by tests. now_s: monotonic seconds."""

    now_s: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def fetch(
    rows: Rows,
    out: str,
    *,
    options: FetchOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    clock: Clock | None = None,
    resolver: Resolve = resolve,
) -> Fetched:
    """Download every row's picture into out, and write out/results.csv with a line a row.

    What out holds of an earlier run is not downloaded again; rows that failed then are tried again. Ends with
    StoppedError or KeyboardInterrupt after writing results.csv of what was done. Raises OutputError.
    """
    options = options or FetchOptions()
    with Ledger(out) as ledger:
        run = _Run(ledger, options, clock or Clock(), progress, resolver)
        try:
            _complete(run.all(rows, stop))
        finally:
            ledger.write_results(rows())
        return _count(ledger, rows, reused=run.reused)


def outcomes(rows: Rows, out: str) -> Iterator[Outcome]:
    """What out knows of each row, in their order, without any request."""
    with Ledger(out) as ledger:
        yield from ledger.outcomes(rows())


class _Host:
    """One host's turn: how many requests at once, when it may be asked again, why it is given up ("" if it is not)."""

    def __init__(self, per_host: int) -> None:
        self.turn = asyncio.Semaphore(per_host)
        self.ready_at_s = 0.0
        self.troubles = 0
        self.given_up = ""


class _Run:
    def __init__(
        self,
        ledger: Ledger,
        options: FetchOptions,
        clock: Clock,
        progress: Callable[[str, int, int], None] | None,
        resolver: Resolve,
    ) -> None:
        self._ledger = ledger
        self._options = options
        self._clock = clock
        self._progress = progress
        self._resolver = resolver
        self._hosts: dict[str, _Host] = {}
        self._done = 0
        self._total = 0
        self.reused = 0

    async def all(self, rows: Rows, stop: Callable[[], bool] | None) -> None:
        self._total = sum(1 for _ in rows())
        limits = replace(self._options.web, connections=self._options.jobs)
        with ThreadPoolExecutor(DECODERS, "imkin-decode") as self._decoders:
            async with Web(limits, resolver=self._resolver) as self._web:
                self._slots = asyncio.Semaphore(self._options.jobs)
                work = asyncio.create_task(self._rows(rows))
                try:
                    await _until(work, stop)
                except BaseExceptionGroup as group:
                    raise group.exceptions[0] from None

    async def _rows(self, rows: Rows) -> None:
        ahead = asyncio.Semaphore(AHEAD)
        asked: set[bytes] = set()
        async with asyncio.TaskGroup() as tasks:
            for row, url in rows():
                mark = hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()[:16]
                if not url or mark in asked:
                    self._tick()
                    continue
                asked.add(mark)
                if self._ledger.has(url):
                    self.reused += 1
                    self._tick()
                    continue
                await ahead.acquire()
                tasks.create_task(self._row(row, url)).add_done_callback(lambda _: ahead.release())

    def _tick(self) -> None:
        self._done += 1
        if self._progress:
            self._progress("downloading", self._done, self._total)

    async def _row(self, row: int, url: str) -> None:
        try:
            await self._attempts(row, url)
        except PermanentError as error:
            self._ledger.note(Entry(url, error=str(error), dead=error.dead))
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._ledger.part(row))
        self._tick()

    async def _attempts(self, row: int, url: str) -> None:
        """Try until the row's file is kept. Raises PermanentError when it cannot be had."""
        for attempt in range(1, self._options.attempts + 1):
            pause_s = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
            try:
                await self._follow(row, url, pause_s=pause_s)
                return
            except TransientError as error:
                if attempt == self._options.attempts:
                    raise PermanentError(f"{error} ({attempt} attempts)") from None
                if not error.whole_host:
                    await self._clock.sleep(pause_s)

    async def _follow(self, row: int, url: str, *, pause_s: float) -> None:
        target = url
        for _ in range(MAX_REDIRECTS + 1):
            host = self._hosts.setdefault(host_of(target), _Host(self._options.per_host))
            async with host.turn:
                await self._wait_for(host)
                try:
                    async with self._slots:
                        answer, sha256 = await self._collect(row, target)
                except TransientError as error:
                    self._trouble(host, error, pause_s=pause_s)
                    raise
                host.troubles = 0
            if isinstance(answer, Answer):
                await self._keep(row, Entry(url, "", sha256, answer.size, answer.url))
                return
            target = answer.url
        raise PermanentError(f"more than {MAX_REDIRECTS} redirects, the last to {target}")

    async def _wait_for(self, host: _Host) -> None:
        while not host.given_up and (pause_s := host.ready_at_s - self._clock.now_s()) > 0:
            await self._clock.sleep(pause_s)
        if host.given_up:
            raise PermanentError(host.given_up)

    def _trouble(self, host: _Host, error: TransientError, *, pause_s: float) -> None:
        """Note what a host's answer means for all of its rows."""
        if not error.whole_host or host.given_up:
            return
        wait_s = pause_s if error.wait_s is None else error.wait_s
        host.ready_at_s = max(host.ready_at_s, self._clock.now_s() + wait_s)
        host.troubles += 1
        if wait_s > LONGEST_RETRY_AFTER_S:
            host.given_up = f"{error}: the host asks to wait {wait_s:.0f} s"
        elif host.troubles >= GIVEN_UP_AFTER:
            host.given_up = f"{error}: {host.troubles} times in a row, the host was given up"

    async def _collect(self, row: int, url: str) -> tuple[Answer | Redirect, str]:
        """Write the body of url to the row's part file; the answer, and the body's sha256."""
        digest = hashlib.sha256()
        part = self._ledger.part(row)
        try:
            with open(part, "wb") as file:

                def sink(chunk: bytes) -> None:
                    digest.update(chunk)
                    file.write(chunk)

                return await self._web.get(url, sink), digest.hexdigest()
        except OSError as error:
            raise OutputError(f"cannot write {part}: {error.strerror}") from None

    async def _keep(self, row: int, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        checked = await loop.run_in_executor(self._decoders, self._check, self._ledger.part(row), entry.url)
        if isinstance(checked, Failure):
            raise PermanentError(f"not a picture: {checked.reason}", dead=True)
        self._ledger.keep(row, entry, format_name=checked)

    def _check(self, part: str, url: str) -> str | Failure:
        """The format of the picture in part."""
        with open(part, "rb") as file:
            data = file.read()
        decoded = image.decode(data, path=url, side=CHECK_SIDE, limits=self._options.image)
        if isinstance(decoded, image.Image):
            return decoded.format
        if not data:
            return Failure(url, "read", "the body is empty")
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            return Failure(url, "decode", "the server sent a page (HTML or XML)")
        return decoded


def _complete(work: Coroutine[None, None, None]) -> None:
    """Run work to its end; from inside an event loop (a notebook) in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def _until(work: asyncio.Task[None], stop: Callable[[], bool] | None) -> None:
    """Wait for work; cancel it when stop says so, or when this task is cancelled."""
    try:
        while not work.done():
            await asyncio.wait([work], timeout=STOP_POLL_S if stop else None)
            if stop and not work.done() and stop():
                raise StoppedError("stopped; what was fetched so far is kept, run it again to go on")
        work.result()
    finally:
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


def _count(ledger: Ledger, rows: Rows, *, reused: int) -> Fetched:
    counts = dict.fromkeys(("ok", "copy", "failed", "empty", "pending"), 0)
    for outcome in ledger.outcomes(rows()):
        counts[outcome.status] += 1
    return Fetched(
        rows=sum(counts.values()),
        ok=counts["ok"],
        copies=counts["copy"],
        failed=counts["failed"] + counts["pending"],
        empty=counts["empty"],
        reused=reused,
        results=os.path.join(ledger.folder, "results.csv"),
    )
