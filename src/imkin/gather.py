"""From a table of URLs to pictures, and from pictures to an order of the table's rows.

table or sheet ─fetch─► folder with results.csv ─fingerprint─► Kin ─order─► Sorted ─write─► table or sheet
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from imkin.errors import UsageError
from imkin.image import Limits
from imkin.library import Library
from imkin.ordering import Ordering, order
from imkin.sources import sheet as sheets
from imkin.sources import table as tables
from imkin.sources.download import Fetched, FetchOptions, fetch, outcomes
from imkin.sources.fetched import cache_folder
from imkin.sources.google import DRIVE_URL, SHEETS_URL, Google
from imkin.sources.ledger import Ledger, Outcome
from imkin.sources.rewrite import Added, check_rewritable, rewrite
from imkin.sources.sheet import SheetTable
from imkin.sources.table import Table
from imkin.sources.web import WebLimits
from imkin.types import Failure

Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]

# What `--add` can add to a sorted table.
ADDABLE = ("group", "similarity")
# Fewer than 20 of 64 bits differ, in two of three hashes: the default of `vote`.
DEFAULT_VOTE_BITS = 19
# Longest wait for a connection, and for the next bytes, where a whole answer may take longer.
CONNECT_S, READ_S = 10.0, 20.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A range of a Google spreadsheet, in place of a table.

    spreadsheet: its name, id or URL. auth: the file with a service account's key. worksheet: its title, default the
    first. cells: such as B2:C, default all. api_url: where the Sheets and Drive APIs answer, if not at Google's.
    """

    spreadsheet: str
    auth: str
    worksheet: str = ""
    cells: str = ""
    api_url: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table or sheet and the column that holds their URLs.

    first: the number of the first row: 1 in a table, below its header; in a sheet as Google numbers it.
    """

    table: Table
    column: int
    first: int = 1

    def urls(self) -> Iterable[tuple[int, str]]:
        """Number and URL of every row, anew at each call."""
        return ((row, cell.strip()) for row, cell in enumerate(self.table.column(self.column), start=self.first))

    def cache_folder(self) -> str:
        """Where the pictures are kept if no folder is named."""
        table = self.table
        return cache_folder(f"{table.spreadsheet}/{table.worksheet}" if isinstance(table, SheetTable) else table.path)


@dataclass(frozen=True, slots=True)
class Sorted:
    """An order of n rows that stand in a table under the numbers first … first + n − 1.

    order: row numbers as they are to stand. absent: those of them, at the end, whose picture could not be had.
    groups: row numbers of each group of two rows and more, in the new order. similarity: by row number, to the first
    row of its group. backup: the file with the old rows, if the order was written.
    """

    first: int
    order: tuple[int, ...]
    absent: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    similarity: dict[int, float]
    fetched: Fetched
    failures: tuple[Failure, ...]
    backup: str | None = None

    @property
    def moved(self) -> int:
        """How many rows would stand elsewhere."""
        return sum(row != place for place, row in enumerate(self.order, start=self.first))

    def cells(self, names: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """What is to be added to each row that is in a group: its number from 1, its similarity."""
        return {
            row: tuple(str(number) if name == "group" else f"{self.similarity[row]:.4f}" for name in names)
            for number, members in enumerate(self.groups, start=1)
            for row in members
        }


def open_rows(path: str, *, url_column: str | None = None, header: bool | None = None) -> Rows:
    """The rows of a table in a file; parameters and errors as of `open_table` and `url_column`."""
    table = tables.open_table(path, header=header)
    return Rows(table, tables.url_column(table, url_column))


def open_sheet_rows(
    google: Google, spreadsheet: str, *, worksheet: str = "", cells: str = "", url_column: str | None = None
) -> Rows:
    """The rows of a range of a Google spreadsheet; see `open_sheet`. url_column: also by its letters in the sheet."""
    table = sheets.open_sheet(google, spreadsheet, worksheet=worksheet, cells=cells)
    if url_column and url_column not in table.header and url_column.isalpha() and len(url_column) <= 3:
        inside = sheets.number(url_column) - table.area.first_column
        if 0 <= inside <= table.area.last_column - table.area.first_column:
            url_column = str(inside + 1)
    return Rows(table, tables.url_column(table, url_column), table.first_row)


@contextmanager
def opened(table: str | Sheet, *, url_column: str | None = None, header: bool | None = None) -> Iterator[Rows]:
    """The rows of a table or of a sheet, and a sheet's connection as long as they are in use."""
    if isinstance(table, str):
        yield open_rows(table, url_column=url_column, header=header)
        return
    google = Google(table.auth, base_url=table.api_url or SHEETS_URL, drive_url=table.api_url or DRIVE_URL)
    try:
        yield open_sheet_rows(
            google, table.spreadsheet, worksheet=table.worksheet, cells=table.cells, url_column=url_column
        )
    finally:
        google.close()


def fetch_options(
    *,
    jobs: int,
    per_host: int,
    attempts: int,
    timeout_s: float,
    max_bytes: int,
    allow_private: bool,
    limits: Limits,
) -> FetchOptions:
    """How a table is fetched, by what a person may choose. Raises UsageError."""
    if not timeout_s > 0 or max_bytes < 1:
        raise UsageError("the time-out and the most bytes must be over 0")
    web = WebLimits(
        connect_s=min(CONNECT_S, timeout_s),
        read_s=min(READ_S, timeout_s),
        total_s=timeout_s,
        max_bytes=max_bytes,
        allow_private=allow_private,
    )
    return FetchOptions(jobs=jobs, per_host=per_host, attempts=attempts, web=web, image=limits)


def fetch_rows(
    rows: Rows,
    out: str,
    *,
    options: FetchOptions | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Fetched:
    """Download the rows' pictures into out; see `download.fetch`."""
    return fetch(rows.urls, out, options=options, progress=progress, stop=stop)


def write_statuses(rows: Rows, out: str, column: str) -> str:
    """Write each row's status into a column of its sheet; returns the path of the file with the old cells."""
    cells = {
        outcome.row: f"{outcome.status}: {outcome.error}" if outcome.status == "failed" else outcome.status
        for outcome in outcomes(rows.urls, out)
        if outcome.status != "empty"
    }
    return sheets.write_column(check_sheet(rows), column, cells, backup=out)


def prune_dead(rows: Rows, out: str) -> tuple[int, str | None]:
    """Delete the rows of a sheet whose picture is gone for good: how many, and the file with the old worksheet."""
    dead = [outcome.row for outcome in outcomes(rows.urls, out) if outcome.dead]
    return len(dead), sheets.prune(check_sheet(rows), dead, backup=out) if dead else None


def check_sheet(rows: Rows) -> SheetTable:
    """The rows' sheet. Raises UsageError where they are of a table: better before the download than after."""
    if not isinstance(rows.table, SheetTable):
        raise UsageError("statuses are written to, and dead rows deleted from, Google Sheets alone")
    return rows.table


def sort_rows(
    rows: Rows,
    library: Library,
    *,
    by: str,
    threshold: float,
    out: str | None = None,
    options: FetchOptions | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Sorted:
    """Fetch the rows' pictures and find the order in which those that are alike stand together. Changes no table.

    by, threshold: as in `Library.fingerprint` and `Library.kin`. out: the pictures' folder, default the rows' cache.
    """
    folder = out or rows.cache_folder()
    fetched = fetch_rows(rows, folder, options=options, progress=progress, stop=stop)
    found = list(outcomes(rows.urls, folder))
    ordering, absent, failures = _order(found, folder, library, by=by, threshold=threshold, progress=progress)
    numbers = [outcome.row for outcome in found]
    in_order = [numbers[at] for at in ordering.order]
    members: dict[int, list[int]] = {}
    for at in ordering.order:
        if ordering.group[at] >= 0:
            members.setdefault(int(ordering.group[at]), []).append(numbers[at])
    return Sorted(
        first=rows.first,
        order=tuple(in_order),
        absent=tuple(in_order[len(in_order) - absent :]),
        groups=tuple(tuple(members[number]) for number in sorted(members)),
        similarity={numbers[at]: float(ordering.similarity[at]) for at in np.flatnonzero(ordering.group >= 0).tolist()},
        fetched=fetched,
        failures=failures,
    )


def check_sortable(rows: Rows, *, add: Sequence[str] = ()) -> None:
    """Raise UsageError unless `write_sorted` could write the rows back: better before the download than after."""
    unknown = [name for name in add if name not in ADDABLE]
    if unknown:
        raise UsageError(f"{unknown[0]} cannot be added to a table; known: {', '.join(ADDABLE)}")
    if isinstance(rows.table, SheetTable):
        if add:
            raise UsageError("nothing can be added to a sheet's range: it is written back as large as it is")
        sheets.check_writable(rows.table)
    else:
        check_rewritable(rows.table, Added(tuple(add)))


def write_sorted(
    rows: Rows, found: Sorted, *, add: Sequence[str] = (), drop_absent: bool = False, out: str | None = None
) -> str:
    """Write the rows back in their new order; returns the path of the file with the old ones.

    out: the folder that they were fetched into; it gets the old values of a sheet, while a table's `.bak` stands
    beside it, and results.csv with the new numbers of the rows. drop_absent: leave out the rows whose picture could
    not be had. Raises UsageError, OutputError.
    """
    check_sortable(rows, add=add)
    kept = found.order[: len(found.order) - len(found.absent)] if drop_absent else found.order
    if not kept and found.order:
        # As after a run without a network: an empty table is not what anybody asked for.
        raise UsageError("no row has a picture, so none would be left: nothing is written")
    folder = out or rows.cache_folder()
    urls = dict(rows.urls())
    if isinstance(rows.table, SheetTable):
        places = [row - rows.first for row in kept]
        backup = sheets.write_order(rows.table, places, dropped=len(found.order) - len(kept), backup=folder)
    else:
        added = Added(tuple(add), found.cells(add))
        backup = rewrite(rows.table, kept, added=added, dropped=found.absent if drop_absent else ())
    with Ledger(folder) as ledger:
        ledger.write_results((place, urls[row]) for place, row in enumerate(kept, start=rows.first))
    return backup


def _order(
    found: Sequence[Outcome], folder: str, library: Library, *, by: str, threshold: float, progress: Progress | None
) -> tuple[Ordering, int, tuple[Failure, ...]]:
    """The order of the outcomes, by index; how many of them, at its end, have no picture; the pictures that failed."""
    paths = list(dict.fromkeys(os.path.join(folder, outcome.file) for outcome in found if outcome.file))
    scanned = library.fingerprint(paths, by, progress=progress)
    kin = library.kin(scanned, threshold)
    node = {file.path: int(kin.node[at]) for at, file in enumerate(scanned.files)}
    nodes = [node.get(os.path.join(folder, outcome.file), -1) for outcome in found]
    absent = [at for at, one in enumerate(nodes) if one < 0]
    # A class of its own for each absent row, beyond those that pairs have.
    same = np.array([kin.count + at if one < 0 else one for at, one in enumerate(nodes)], np.int64)
    return order(kin.pairs, len(found), same=same, absent=absent), len(absent), scanned.failures
