"""The functions of `import imkin` for tables of URLs and Google Sheets; apart, since they load a client for the web."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from imkin import gather
from imkin.gather import Progress, Sheet, Sorted
from imkin.image import Limits
from imkin.library import Library, threshold_of
from imkin.sources.download import Fetched

Path = str | os.PathLike[str]


def fetch(
    table: Path | Sheet,
    out: Path,
    *,
    url_column: str | None = None,
    header: bool | None = None,
    status_column: str | None = None,
    prune_dead: bool = False,
    allow_private: bool = False,
    jobs: int = 32,
    per_host: int = 4,
    attempts: int = 4,
    timeout_s: float = 90.0,
    max_bytes: int = 64 << 20,
    limits: Limits = Limits(),
    progress: Progress | None = None,
) -> Fetched:
    """Download the pictures of a table of URLs into `out`, named by their rows, with results.csv beside them.

    table: CSV, TSV, XLSX, Parquet, JSON lines or a list of URLs, or an `imkin.Sheet`. url_column: a name, or a number
    from 1; default the one column with URLs. header: whether the first row holds names; default if it holds no URL.
    status_column, prune_dead: of a sheet, write each row's status there, delete the rows whose picture is gone for
    good. allow_private: also ask addresses that are not public. jobs: requests at once, per_host: of these to one
    host; attempts: of a row, in all; timeout_s: of a whole answer. What is there already is not asked for again.
    Raises ImkinError for what cannot be; a row that failed is in results.csv.
    """
    options = gather.fetch_options(
        jobs=jobs,
        per_host=per_host,
        attempts=attempts,
        timeout_s=timeout_s,
        max_bytes=max_bytes,
        allow_private=allow_private,
        limits=limits,
    )
    folder = os.fspath(out)
    with gather.opened(_source(table), url_column=url_column, header=header) as rows:
        if status_column or prune_dead:
            gather.check_sheet(rows)
        done = gather.fetch_rows(rows, folder, options=options, progress=progress)
        if status_column:
            gather.write_statuses(rows, folder, status_column)
        if prune_dead:
            gather.prune_dead(rows, folder)
    return done


def sort(
    table: Path | Sheet,
    by: str = "vote",
    *,
    threshold: float | None = None,
    max_bits: int | None = None,
    write: bool = False,
    add: Sequence[str] = (),
    drop_failed: bool = False,
    out: Path | None = None,
    url_column: str | None = None,
    header: bool | None = None,
    allow_private: bool = False,
    jobs: int = 32,
    per_host: int = 4,
    attempts: int = 4,
    timeout_s: float = 90.0,
    max_bytes: int = 64 << 20,
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    progress: Progress | None = None,
) -> Sorted:
    """Find the order of a table's rows in which similar pictures stand next to each other; write it when asked.

    Each row is followed by the later rows like it; rows whose picture cannot be had come last. threshold, max_bits:
    default at most 19 bits for `vote`, else the method's own. write: replace the table; the old rows are kept in
    `.backup`. add: of `group` and `similarity`, columns to add. drop_failed: leave out rows without a picture. out:
    where the pictures are, default your cache folder. Other parameters as in `fetch` and `group`.
    """
    if by == "vote" and threshold is None and max_bits is None:
        max_bits = gather.DEFAULT_VOTE_BITS
    limit = threshold_of(by, threshold=threshold, max_bits=max_bits)
    options = gather.fetch_options(
        jobs=jobs,
        per_host=per_host,
        attempts=attempts,
        timeout_s=timeout_s,
        max_bytes=max_bytes,
        allow_private=allow_private,
        limits=limits,
    )
    folder = None if out is None else os.fspath(out)
    named = None if catalogue is None else os.fspath(catalogue)
    with (
        gather.opened(_source(table), url_column=url_column, header=header) as rows,
        Library(named, limits=limits) as library,
    ):
        if write:
            gather.check_sortable(rows, add=add)
        found = gather.sort_rows(rows, library, by=by, threshold=limit, out=folder, options=options, progress=progress)
        if write:
            backup = gather.write_sorted(rows, found, add=add, drop_absent=drop_failed, out=folder)
            found = replace(found, backup=backup)
    return found


def _source(table: Path | Sheet) -> str | Sheet:
    return table if isinstance(table, Sheet) else os.fspath(table)
