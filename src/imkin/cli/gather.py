"""`imkin fetch` and `imkin sort`: tables of URLs and Google Sheets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Json, MaxBits, Setup, Threshold
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.gather import Rows, Sorted
    from imkin.sources.download import Fetched, FetchOptions
    from imkin.sources.google import Google

DEFAULT_JOBS = 32
# Fewer than 20 of 64 bits differ, in two of three hashes: the default of `vote`.
DEFAULT_VOTE_BITS = 19
SHOWN_FAILURES = 3

_SHEET = "Google Sheets"
_WEB = "Downloads"

TablePath = Annotated[
    str | None,
    typer.Argument(help="CSV, TSV, XLSX, Parquet, JSON lines, or a list of URLs.", show_default=False, metavar="TABLE"),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header", help="The first row holds names; default: if it holds no URL.", show_default=False
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", metavar="SPREADSHEET", help="Instead of TABLE: name, id or URL.", rich_help_panel=_SHEET),
]
Worksheet = Annotated[
    str, typer.Option("--worksheet", metavar="TITLE", help="Default: the first.", rich_help_panel=_SHEET)
]
Range = Annotated[
    str, typer.Option("--range", metavar="B2:C", help="Cells that belong together.", rich_help_panel=_SHEET)
]
Auth = Annotated[
    str | None,
    typer.Option("--auth", metavar="FILE", help="Key of a service account.", rich_help_panel=_SHEET),
]
SheetsUrl = Annotated[
    str | None,
    typer.Option(
        "--sheets-url",
        metavar="URL",
        envvar="IMKIN_SHEETS_URL",
        help="Where the Sheets and Drive APIs answer, if not at Google's.",
        rich_help_panel=_SHEET,
    ),
]
PerHost = Annotated[int, typer.Option("--per-host", metavar="N", help="At once from one host.", rich_help_panel=_WEB)]
Attempts = Annotated[int, typer.Option("--attempts", metavar="N", help="Per row, in all.", rich_help_panel=_WEB)]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="For one whole answer.", rich_help_panel=_WEB)
]
MaxBytes = Annotated[int, typer.Option("--max-bytes", metavar="N", help="Largest picture.", rich_help_panel=_WEB)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "fetch")(fetch)
    command(app, "sort")(sort)


def fetch(
    table: TablePath = None,
    *,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the pictures.", show_default=False)],
    header: Header = None,
    per_host: PerHost = 4,
    attempts: Attempts = 4,
    timeout: Timeout = 90.0,
    max_bytes: MaxBytes = 64 << 20,
    sheet: Sheet = None,
    worksheet: Worksheet = "",
    cells: Range = "",
    auth: Auth = None,
    sheets_url: SheetsUrl = None,
    status_column: Annotated[
        str | None,
        typer.Option("--status-column", metavar="E", help="Write each row's status there.", rich_help_panel=_SHEET),
    ] = None,
    prune_dead: Annotated[
        bool,
        typer.Option("--prune-dead", help="Delete rows whose picture is gone for good.", rich_help_panel=_SHEET),
    ] = False,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Download the pictures of a table of URLs, named by their rows, with results.csv beside them.

    Run it again to go on where it stopped, and to try again what failed. --jobs: downloads at once, 32 by default.
    """
    from imkin.errors import UsageError
    from imkin.gather import fetch_rows

    if not sheet and (status_column or prune_dead):
        raise UsageError("--status-column and --prune-dead go with --sheet")
    options = _options(setup, per_host, attempts, timeout, max_bytes)
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        google = _google(stack, sheet, auth, sheets_url)
        rows = _rows(table, sheet, google, worksheet, cells, setup.url_column, header)
        with progress_bar(setup) as progress:
            done = fetch_rows(rows, out, options=options, progress=progress)
        if status_column:
            say(f"old cells: {_write_statuses(rows, out, status_column)}", setup=setup)
        if prune_dead:
            _prune(rows, out, setup)
    if as_json:
        write(json.dumps(_counts(done)) + "\n")
    _report(rows, out, done, setup)
    finish(setup, failures=done.failed)


def sort(
    table: TablePath = None,
    *,
    by: Annotated[str, typer.Option("--by", metavar="METHOD", help="How to compare; see `imkin methods`.")] = "vote",
    threshold: Threshold = None,
    max_bits: MaxBits = None,
    write_back: Annotated[bool, typer.Option("--write", help="Write the table; the old one is kept.")] = False,
    add: Annotated[
        str, typer.Option("--add", metavar="group,similarity", help="Columns to add to the written table.")
    ] = "",
    drop_failed: Annotated[bool, typer.Option("--drop-failed", help="Leave out rows without a picture.")] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="DIR", help="Where pictures are; default: your cache folder.", show_default=False
        ),
    ] = None,
    header: Header = None,
    per_host: PerHost = 4,
    attempts: Attempts = 4,
    timeout: Timeout = 90.0,
    max_bytes: MaxBytes = 64 << 20,
    sheet: Sheet = None,
    worksheet: Worksheet = "",
    cells: Range = "",
    auth: Auth = None,
    sheets_url: SheetsUrl = None,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Put similar pictures of a table next to each other: each row followed by the later rows like it.

    Shows the new order, and changes nothing without --write. Rows whose picture cannot be had come last.
    --jobs: downloads at once, 32 by default.
    """
    from imkin.gather import check_sortable, sort_rows, write_sorted
    from imkin.library import threshold_of

    if by == "vote" and threshold is None and max_bits is None:
        max_bits = DEFAULT_VOTE_BITS
    limit = threshold_of(by, threshold=threshold, max_bits=max_bits)
    added = tuple(name.strip() for name in add.split(",") if name.strip())
    options = _options(setup, per_host, attempts, timeout, max_bytes)
    backup = None
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        google = _google(stack, sheet, auth, sheets_url)
        rows = _rows(table, sheet, google, worksheet, cells, setup.url_column, header)
        if write_back:
            check_sortable(rows, add=added)
        library = stack.enter_context(setup.library())
        with progress_bar(setup) as progress:
            found = sort_rows(rows, library, by=by, threshold=limit, out=out, options=options, progress=progress)
        # Before the table is written: afterwards its rows have other numbers.
        for line in () if as_json else _order_lines(rows, found):
            write(line)
        report_failures(found.failures, setup=setup)
        _report(rows, out or rows.cache_folder(), found.fetched, setup)
        if write_back:
            backup = write_sorted(rows, found, add=added, drop_absent=drop_failed, out=out)
    if as_json:
        write(_sorted_json(found, backup))
    say(_sorted_summary(found, backup, drop_failed=drop_failed), setup=setup)
    finish(setup, failures=len(found.absent))


def _options(setup: Setup, per_host: int, attempts: int, timeout_s: float, max_bytes: int) -> FetchOptions:
    from imkin.errors import UsageError
    from imkin.image import Limits
    from imkin.sources.download import FetchOptions
    from imkin.sources.web import WebLimits

    if timeout_s <= 0 or max_bytes < 1:
        raise UsageError("--timeout and --max-bytes must be over 0")
    web = WebLimits(
        connect_s=min(10.0, timeout_s),
        read_s=min(20.0, timeout_s),
        total_s=timeout_s,
        max_bytes=max_bytes,
        allow_private=setup.allow_private,
    )
    jobs = DEFAULT_JOBS if setup.jobs is None else setup.jobs
    limits = Limits(setup.max_pixels, tolerate_truncated=setup.tolerate_truncated)
    return FetchOptions(jobs=jobs, per_host=per_host, attempts=attempts, web=web, image=limits)


def _google(stack: ExitStack, sheet: str | None, auth: str | None, url: str | None) -> Google | None:
    from imkin.errors import UsageError

    if not sheet:
        return None
    if not auth:
        raise UsageError("--sheet needs --auth FILE, the key of a service account")
    from imkin.sources.google import DRIVE_URL, SHEETS_URL, Google

    google = Google(auth, base_url=url or SHEETS_URL, drive_url=url or DRIVE_URL)
    stack.callback(google.close)
    return google


def _rows(
    table: str | None,
    sheet: str | None,
    google: Google | None,
    worksheet: str,
    cells: str,
    url_column: str | None,
    header: bool | None,  # noqa: FBT001 - three states, as typer gives them
) -> Rows:
    from imkin.errors import UsageError
    from imkin.gather import open_rows, open_sheet_rows

    if bool(table) == bool(sheet):
        raise UsageError("give a TABLE or --sheet, one of them")
    if table:
        return open_rows(table, url_column=url_column, header=header)
    if google is None or sheet is None:
        raise UsageError("--sheet needs --auth FILE")
    return open_sheet_rows(google, sheet, worksheet=worksheet, cells=cells, url_column=url_column)


def _write_statuses(rows: Rows, out: str, column: str) -> str:
    from imkin.sources.download import outcomes
    from imkin.sources.sheet import SheetTable, write_column

    if not isinstance(rows.table, SheetTable):
        raise TypeError("no sheet")
    cells = {
        outcome.row: f"{outcome.status}: {outcome.error}" if outcome.status == "failed" else outcome.status
        for outcome in outcomes(rows.urls, out)
        if outcome.status != "empty"
    }
    return write_column(rows.table, column, cells, backup=out)


def _prune(rows: Rows, out: str, setup: Setup) -> None:
    from imkin.sources.download import outcomes
    from imkin.sources.sheet import SheetTable, prune

    if not isinstance(rows.table, SheetTable):
        raise TypeError("no sheet")
    dead = [outcome.row for outcome in outcomes(rows.urls, out) if outcome.dead]
    if not dead:
        say("no dead rows", setup=setup)
        return
    saved = prune(rows.table, dead, backup=out)
    say(f"{len(dead)} dead rows deleted; the worksheet as it was: {saved}", setup=setup)


def _report(rows: Rows, out: str, done: Fetched, setup: Setup) -> None:
    """Say which rows failed: all with --verbose, else how many and the first."""
    from imkin.sources.download import outcomes

    if done.failed:
        failed = (outcome for outcome in outcomes(rows.urls, out) if outcome.status == "failed")
        for shown, outcome in enumerate(failed):
            if shown == SHOWN_FAILURES and not setup.verbose:
                say(f"failed: {done.failed - shown} more (-v shows them)", setup=setup)
                break
            say(f"failed: row {outcome.row}: {outcome.url}: {outcome.error}", setup=setup)
    say(
        f"{done.rows:,} rows: {done.ok:,} pictures, {done.copies:,} copies, {done.failed:,} failed, "
        f"{done.empty:,} without a URL; {done.reused:,} were there already",
        setup=setup,
    )
    say(f"results: {done.results}", setup=setup)


def _counts(done: Fetched) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(done)


def _order_lines(rows: Rows, found: Sorted) -> Iterator[str]:
    """The new order, a row a line, parted by tabs: place, row as it stands now, group, similarity, URL."""
    cells = found.cells(("group", "similarity"))
    url = dict(rows.urls())
    yield "place\trow\tgroup\tsimilarity\turl\n"
    for place, row in enumerate(found.order, start=found.first):
        yield "\t".join((str(place), str(row), *cells.get(row, ("", "")), url[row])) + "\n"


def _sorted_json(found: Sorted, backup: str | None) -> str:
    return (
        json.dumps(
            {
                "order": found.order,
                "groups": found.groups,
                "similarity": {str(row): round(value, 4) for row, value in found.similarity.items()},
                "failed": found.absent,
                "moved": found.moved,
                "written": backup is not None,
                "backup": backup and os.path.abspath(backup),
                "fetched": _counts(found.fetched),
            }
        )
        + "\n"
    )


def _sorted_summary(found: Sorted, backup: str | None, *, drop_failed: bool) -> str:
    kept = sum(map(len, found.groups))
    last = "are left out" if drop_failed else "come last"
    text = f"{len(found.groups):,} groups of {kept:,} rows; {found.moved:,} rows move, {len(found.absent):,} {last}"
    return f"{text}; the old rows: {backup}" if backup else f"{text}; nothing is written without --write"
