"""`imkin fetch` and `imkin sort`: tables of URLs and Google Sheets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Json, MaxBits, Setup, Threshold
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.gather import Rows, Sheet, Sorted
    from imkin.sources.download import Fetched, FetchOptions

DEFAULT_JOBS = 32
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
SheetName = Annotated[
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
    sheet: SheetName = None,
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
    from imkin.gather import fetch_rows, opened, write_statuses

    if not sheet and (status_column or prune_dead):
        raise UsageError("--status-column and --prune-dead go with --sheet")
    source = _source(table, sheet, auth, worksheet, cells, sheets_url)
    options = _options(setup, per_host, attempts, timeout, max_bytes)
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        rows = stack.enter_context(opened(source, url_column=setup.url_column, header=header))
        with progress_bar(setup) as progress:
            done = fetch_rows(rows, out, options=options, progress=progress)
        if status_column:
            say(f"old cells: {write_statuses(rows, out, status_column)}", setup=setup)
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
    sheet: SheetName = None,
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
    from imkin.gather import DEFAULT_VOTE_BITS, check_sortable, opened, sort_rows, write_sorted
    from imkin.library import threshold_of

    if by == "vote" and threshold is None and max_bits is None:
        max_bits = DEFAULT_VOTE_BITS
    limit = threshold_of(by, threshold=threshold, max_bits=max_bits)
    added = tuple(name.strip() for name in add.split(",") if name.strip())
    source = _source(table, sheet, auth, worksheet, cells, sheets_url)
    options = _options(setup, per_host, attempts, timeout, max_bytes)
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        rows = stack.enter_context(opened(source, url_column=setup.url_column, header=header))
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
            found = replace(found, backup=write_sorted(rows, found, add=added, drop_absent=drop_failed, out=out))
    if as_json:
        write(_sorted_json(found))
    say(_sorted_summary(found, drop_failed=drop_failed), setup=setup)
    finish(setup, failures=len(found.absent))


def _options(setup: Setup, per_host: int, attempts: int, timeout_s: float, max_bytes: int) -> FetchOptions:
    from imkin.gather import fetch_options
    from imkin.image import Limits

    return fetch_options(
        jobs=DEFAULT_JOBS if setup.jobs is None else setup.jobs,
        per_host=per_host,
        attempts=attempts,
        timeout_s=timeout_s,
        max_bytes=max_bytes,
        allow_private=setup.allow_private,
        limits=Limits(setup.max_pixels, tolerate_truncated=setup.tolerate_truncated),
    )


def _source(
    table: str | None, sheet: str | None, auth: str | None, worksheet: str, cells: str, api_url: str | None
) -> str | Sheet:
    from imkin.errors import UsageError
    from imkin.gather import Sheet

    if bool(table) == bool(sheet):
        raise UsageError("give a TABLE or --sheet, one of them")
    if not sheet:
        return str(table)
    if not auth:
        raise UsageError("--sheet needs --auth FILE, the key of a service account")
    return Sheet(sheet, auth, worksheet, cells, api_url)


def _prune(rows: Rows, out: str, setup: Setup) -> None:
    from imkin.gather import prune_dead

    count, saved = prune_dead(rows, out)
    say(f"{count} dead rows deleted; the worksheet as it was: {saved}" if count else "no dead rows", setup=setup)


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


def _sorted_json(found: Sorted) -> str:
    return (
        json.dumps(
            {
                "order": found.order,
                "groups": found.groups,
                "similarity": {str(row): round(value, 4) for row, value in found.similarity.items()},
                "failed": found.absent,
                "moved": found.moved,
                "written": found.backup is not None,
                "backup": found.backup and os.path.abspath(found.backup),
                "fetched": _counts(found.fetched),
            }
        )
        + "\n"
    )


def _sorted_summary(found: Sorted, *, drop_failed: bool) -> str:
    kept = sum(map(len, found.groups))
    last = "are left out" if drop_failed else "come last"
    text = f"{len(found.groups):,} groups of {kept:,} rows; {found.moved:,} rows move, {len(found.absent):,} {last}"
    return f"{text}; the old rows: {found.backup}" if found.backup else f"{text}; nothing is written without --write"
