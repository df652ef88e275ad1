"""Tables of URLs: CSV, TSV, XLSX, Parquet, JSON lines and plain lists, read row by row as often as is needed.

Rows are numbered from 1, a header not counted; blank rows and, in a plain list, comments have numbers too, so that a
row of a list is its line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from imkin.errors import MissingPathError, UsageError
from imkin.sources import delimited
from imkin.sources.delimited import SAMPLE_ROWS, URL, Layout, TextKind

TEXT_ENDINGS: dict[str, TextKind] = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".txt": "list", ".lst": "list", ".list": "list", ".urls": "list",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
TABLE_ENDINGS = (*TEXT_ENDINGS, ".xlsx", ".parquet")

# A column holds URLs if at least this share of its cells that are not blank does.
URL_SHARE = 0.5


class Table(Protocol):
    """Rows of cells."""

    @property
    def path(self) -> str:
        """As given."""

    @property
    def header(self) -> tuple[str, ...]:
        """The columns' names; () if the table has none."""

    def rows(self) -> Iterator[Sequence[str]]:
        """The cells of every row, in order, the header left out. Rows may differ in length."""

    def column(self, index: int) -> Iterator[str]:
        """One cell of every row, "" where a row is shorter."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table in a text file; see `Table`. size and mtime_ns are the file's when it was opened."""

    path: str
    layout: Layout
    header: tuple[str, ...]
    header_records: int
    size: int
    mtime_ns: int

    def rows(self) -> Iterator[Sequence[str]]:
        """See `Table`."""
        found = delimited.records(self.path, self.layout)
        return (record.cells for record in islice(found, self.header_records, None))

    def column(self, index: int) -> Iterator[str]:
        """See `Table`."""
        return cells_of(self.rows(), index)


def is_table(path: str) -> bool:
    """Whether path is named like a table that can be read."""
    return os.path.splitext(path)[1].lower() in TABLE_ENDINGS


def open_table(path: str, *, header: bool | None = None) -> Table:
    """Open a table, its kind told by its name.

    header: whether the first row holds names; None: it does if it has no URL.
    Raises MissingPathError, UsageError for what is no table, MissingExtraError for Parquet without pyarrow.
    """
    kind = os.path.splitext(path)[1].lower()
    if not os.path.isfile(path):
        raise MissingPathError(f"cannot read {path}: it is no file")
    if kind in TEXT_ENDINGS:
        return _open_text(path, TEXT_ENDINGS[kind], tabs=kind in (".tsv", ".tab"), header=header)
    if kind == ".xlsx":
        from imkin.sources.xlsx import open_xlsx

        return open_xlsx(path, header=header)
    if kind == ".parquet":
        from imkin.sources.parquet import open_parquet

        return open_parquet(path)
    raise UsageError(f"{path} is no table; known endings: {' '.join(TABLE_ENDINGS)}")


def url_column(table: Table, name: str | None = None) -> int:
    """The index of the column that holds the URLs.

    name: the column's name, or its number from 1; None: the one column that holds URLs. Raises UsageError if there
    is none or if there are several.
    """
    if name is not None:
        index = _named(table, name)
        if not any(URL.fullmatch(cell) for cell in table.column(index)):
            raise UsageError(f"the column {name} of {table.path} holds no URL (http:// or https://)")
        return index
    found = _url_columns(islice(table.rows(), SAMPLE_ROWS))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"no column of {table.path} holds URLs (http:// or https://){_columns(table)}")
    shown = ", ".join(_shown(table, index) for index in found)
    raise UsageError(f"several columns of {table.path} hold URLs: {shown}; choose one with --url-column")


def urls(table: Table, column: int) -> Callable[[], Iterable[tuple[int, str]]]:
    """What `download.fetch` takes: the number and the URL of every row, anew at each call."""
    return lambda: ((row, cell.strip()) for row, cell in enumerate(table.column(column), start=1))


def cells_of(rows: Iterable[Sequence[str]], index: int) -> Iterator[str]:
    """One cell of every row, "" where a row is shorter."""
    return (row[index] if index < len(row) else "" for row in rows)


def has_header(rows: Iterable[Sequence[str]], *, header: bool | None = None) -> bool:
    """Whether the first of the rows holds names: as told, or because no cell of it is a URL."""
    first = next(iter(rows), None)
    if first is None:
        return False
    return header if header is not None else bool(first) and not any(URL.fullmatch(cell) for cell in first)


def _open_text(path: str, kind: TextKind, *, tabs: bool, header: bool | None) -> TextTable:
    facts = os.stat(path)
    layout = delimited.detect(path, kind, tabs=tabs)
    names: tuple[str, ...] = layout.keys
    named = layout.kind == "csv" and has_header(
        (record.cells for record in delimited.records(path, layout)), header=header
    )
    if named:
        names = tuple(next(delimited.records(path, layout)).cells)
    return TextTable(path, layout, names, int(named), facts.st_size, facts.st_mtime_ns)


def _named(table: Table, name: str) -> int:
    for same in (str, str.casefold):
        if same(name) in map(same, table.header):
            return [same(one) for one in table.header].index(same(name))
    width = len(table.header) or max((len(row) for row in islice(table.rows(), SAMPLE_ROWS)), default=0)
    if name.isascii() and name.isdecimal() and 1 <= int(name) <= width:
        return int(name) - 1
    raise UsageError(f"{table.path} has no column {name}{_columns(table)}")


def _url_columns(rows: Iterable[Sequence[str]]) -> list[int]:
    filled: dict[int, int] = {}
    holding: dict[int, int] = {}
    for row in rows:
        for index, cell in enumerate(row):
            if cell.strip():
                filled[index] = filled.get(index, 0) + 1
                holding[index] = holding.get(index, 0) + bool(URL.fullmatch(cell))
    return sorted(index for index, count in holding.items() if count and count >= URL_SHARE * filled[index])


def _columns(table: Table) -> str:
    return f"; its columns: {', '.join(table.header)}" if table.header else ""


def _shown(table: Table, index: int) -> str:
    name = table.header[index] if index < len(table.header) else ""
    return f"{index + 1} ({name})" if name else str(index + 1)
