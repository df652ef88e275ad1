"""What every command does around its work: errors, interruption, progress, log.

Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from imkin.cli.options import Setup, takes_options
from imkin.errors import EXIT_FAILURES, EXIT_INTERRUPTED, EXIT_USAGE, ImkinError, OutputError

if TYPE_CHECKING:
    from rich.progress import Progress

    from imkin.types import Failure

T = TypeVar("T")

log = logging.getLogger("imkin")
# Without --log-file the log goes nowhere: what a person should see is said by `say`.
log.addHandler(logging.NullHandler())

# Also where the URL was given in a wrong place, and to the last @: a slip may have left one in the password.
_PASSWORD = re.compile(r"(?i)(postgres(?:ql)?://[^:@/\s]*:)\S*@")
_PASSWORD_PARAMETER = re.compile(r"(?i)(postgres(?:ql)?://\S*[?&](?:ssl)?password=)[^&\s'\"]*")

# A bar for what is over before one could read it is only noise.
SHOW_PROGRESS_AFTER_S = 1.0


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command: its errors are one line and an exit code, Ctrl-C is answered at once."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name)(_guarded(takes_options(function)))
        return function

    return register


def _guarded(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except ImkinError as error:
            _fail(str(error), EXIT_USAGE)
        except KeyboardInterrupt:
            _fail("interrupted; what was read so far is kept", EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output went away (`imkin pairs … | head`): nothing is wrong.
            os._exit(0)
        except OSError as error:
            _fail(
                f"cannot go on: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", EXIT_USAGE
            )

    return guarded


def _fail(message: str, code: int) -> None:
    message = masked(message)
    log.error(message)
    print(f"imkin: {printable(message)}", file=sys.stderr, flush=True)  # noqa: T201
    if code == EXIT_INTERRUPTED:
        # Threads may be in the middle of a large file; everything worth keeping is on the disk already.
        os._exit(code)
    raise typer.Exit(code)


def printable(text: str) -> str:
    """Text on one line that any terminal takes: no control characters, no bytes that are not UTF-8."""
    return "".join(c if c.isprintable() else "�" if "\ud800" <= c <= "\udfff" else repr(c)[1:-1] for c in text)


def masked(text: str) -> str:
    """Text as it may be shown and logged: `***` in place of the password of a database's URL."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def say(text: str, *, setup: Setup) -> None:
    """A line on stderr, unless --quiet; in the log in any case."""
    text = masked(text)
    log.info(text)
    if not setup.quiet:
        print(printable(text), file=sys.stderr)  # noqa: T201


def write(text: str) -> None:
    """Data on stdout; bytes of names that are not UTF-8 come out as they are."""
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"cannot write to stdout: {error.strerror}") from None


def report_failures(failures: Iterable[Failure], *, setup: Setup) -> None:
    """Say which files failed: all with --verbose, else how many and the first."""
    failures = tuple(failures)
    for failure in failures:
        log.warning("%s: %s: %s", failure.path, failure.stage, failure.reason)
    shown = failures if setup.verbose else failures[:3]
    for failure in shown:
        say(f"failed: {failure.path}: {failure.reason}", setup=setup)
    if len(failures) > len(shown):
        say(f"failed: {len(failures) - len(shown)} more (-v shows them)", setup=setup)


def finish(setup: Setup, *, failures: int, found: bool = False) -> None:
    """End with the exit code that --strict and --fail-if-found ask for. found: something was, and that is to fail."""
    from imkin.errors import EXIT_FOUND

    if found:
        raise typer.Exit(EXIT_FOUND)
    if failures and setup.strict:
        raise typer.Exit(EXIT_FAILURES)


@contextmanager
def logged(setup: Setup) -> Iterator[None]:
    """Write the log to --log-file while the command runs."""
    if setup.log_file is None:
        yield
        return
    try:
        handler = logging.FileHandler(setup.log_file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"cannot write the log {setup.log_file}: {error.strerror}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    log.info("imkin %s", masked(" ".join(map(repr, sys.argv[1:]))))
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def progress_bar(setup: Setup) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress callback that draws a bar with rate and time left, on a terminal and after a second; else None."""
    if setup.quiet or not sys.stderr.isatty():
        yield None
        return
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.stop()


class _Bar:
    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._bar is None:
            if time.monotonic() - self._started < SHOW_PROGRESS_AFTER_S:
                return
            self._bar = _new_bar()
            self._bar.start()
        if stage != self._stage:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._bar.add_task(stage, total=total or None)
            self._stage = stage
        self._bar.update(self._bar.task_ids[0], completed=done, total=total or None)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
