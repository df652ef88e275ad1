"""`imkin serve`: the HTTP service."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from imkin.cli.options import Setup
from imkin.cli.run import command, say


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "serve")(serve)


def serve(
    *,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")] = 9082,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", metavar="DIR", help="A folder that may be scanned and cleaned; nothing else can be."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="Whoever calls must show the token in FILE."),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option(
            "--no-token",
            help="Listen beyond loopback without a token: only where nobody else can connect, as in a container whose "
            "port is published on loopback.",
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name that it is called by, as behind a proxy."),
    ] = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", metavar="FILE", help="Where all is kept; default: your cache folder.")
    ] = None,
    max_files: Annotated[int, typer.Option("--max-files", metavar="N", min=1, help="Images in one request.")] = 200,
    max_upload: Annotated[int, typer.Option("--max-upload", metavar="MB", min=1, help="Size of one request.")] = 256,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse larger pictures in requests.")
    ] = 64_000_000,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Processes; default: one a processor.")
    ] = None,
    queue: Annotated[
        int, typer.Option("--queue", metavar="N", min=0, help="Requests that may wait; others are told to come later.")
    ] = 32,
    work_seconds: Annotated[
        float, typer.Option("--work-seconds", metavar="S", min=0.1, help="How long the work of one request may last.")
    ] = 60.0,
    worker_memory: Annotated[
        int, typer.Option("--worker-memory", metavar="MB", min=512, help="Memory of one worker.")
    ] = 3072,
    job_memory: Annotated[
        int, typer.Option("--job-memory", metavar="MB", min=1024, help="Memory of a job, such as a scan.")
    ] = 8192,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No access log.")] = False,
) -> None:
    """Serve the HTTP API on this machine alone, or beyond it to whoever shows the token.

    /api/v1 is described by /openapi.json. A line for each request goes to stderr.
    """
    from imkin.catalogue import default_path
    from imkin.engine.local import default_jobs
    from imkin.errors import MissingExtraError, UsageError

    try:
        from imkin.server.run import serve as serve_
        from imkin.server.settings import Settings, Uploads, Work, is_loopback, read_token
    except ImportError:
        raise MissingExtraError("the service", "serve") from None
    if not is_loopback(host) and token_file is None and not no_token:
        raise UsageError(f"{host} can be reached by others: give --token-file FILE (or listen on 127.0.0.1)")
    settings = Settings(
        host=host,
        port=port,
        roots=tuple(os.path.realpath(each) for each in root or ()),
        token=read_token(token_file) if token_file is not None else "",
        hosts=tuple(name.lower() for name in allow_host or ()),
        catalogue=catalogue or default_path(),
        uploads=Uploads(files=max_files, bytes=max_upload * 1024 * 1024, pixels=max_pixels),
        work=Work(
            processes=workers or default_jobs(),
            queue=queue,
            task_s=work_seconds,
            memory=worker_memory * 1024 * 1024,
            job_memory=job_memory * 1024 * 1024,
        ),
    )
    if not quiet:
        _log_access()
    try:
        serve_(settings, say=lambda text: say(text, setup=Setup()))
    except KeyboardInterrupt:
        # The ordinary end: what was under way has been answered.
        say("ended", setup=Setup())


def _log_access() -> None:
    log = logging.getLogger("imkin.access")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
