"""A range of a Google spreadsheet as a table that can be written back, with its old values saved first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from imkin.errors import OutputError, UsageError
from imkin.report.files import write_atomic
from imkin.sources.google import Cell, Google
from imkin.sources.table import cells_of, has_header

_A1 = re.compile(r"\$?([A-Za-z]{0,3})\$?([0-9]{0,8})(?::\$?([A-Za-z]{0,3})\$?([0-9]{0,8}))?")
# The last column that three letters name; Google's own limit is of 10 million cells.
MAX_COLUMNS = 18_278

_GID = re.compile(r"[#&?]gid=([0-9]+)")


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of cells. All from 1; 0: open, to the end of the worksheet."""

    first_row: int
    first_column: int
    last_row: int
    last_column: int

    def a1(self, worksheet: str) -> str:
        """As Google writes it."""
        start = f"{letters(self.first_column)}{self.first_row}"
        end = f"{letters(self.last_column) if self.last_column else ''}{self.last_row or ''}"
        return f"{quoted(worksheet)}!{start}:{end}"


@dataclass(frozen=True, slots=True)
class SheetTable:
    """Rows of a range as they were read; see `imkin.sources.table.Table`.

    values: every row of the range, a header included, as long as the range is wide. area: of exactly these rows.
    asked: the range as it was read, which may be open to below.
    """

    path: str
    google: Google
    spreadsheet: str
    worksheet: str
    sheet_id: int
    asked: str
    area: Area
    header: tuple[str, ...]
    values: tuple[tuple[Cell, ...], ...]

    @property
    def first_row(self) -> int:
        """The worksheet's number of the first row below the header."""
        return self.area.first_row + bool(self.header)

    def rows(self) -> Iterator[Sequence[str]]:
        """See `Table`."""
        return ([_shown(cell) for cell in row] for row in self.values[bool(self.header) :])

    def column(self, index: int) -> Iterator[str]:
        """See `Table`."""
        return cells_of(self.rows(), index)


def open_sheet(google: Google, spreadsheet: str, *, worksheet: str = "", cells: str = "") -> SheetTable:
    """Read a range. spreadsheet: URL, id or name; worksheet: its title, "": the URL's or the first; cells: like `B2:C`.

    A first row without a URL is a header if it is the worksheet's first row. Raises UsageError if there is no such
    spreadsheet, worksheet or row, or no permission.
    """
    sheet, _, after = cells.rpartition("!")
    about = google.spreadsheet(spreadsheet)
    title, sheet_id, columns = _worksheet(about, worksheet or sheet.strip("'").replace("''", "'"), spreadsheet)
    area = parse_area(after)
    if not area.last_column and (columns or not area.last_row):
        area = replace(area, last_column=columns or MAX_COLUMNS)
    asked = area.a1(title)
    values = google.values(about["spreadsheetId"], asked, "UNFORMATTED_VALUE")
    if not any(cell != "" for row in values for cell in row):
        raise UsageError(f"the range {cells or 'of all cells'} of the worksheet {title} has no rows")
    open_end = not parse_area(after).last_column
    last_column = area.first_column - 1 + max(map(len, values)) if open_end else area.last_column
    whole = Area(area.first_row, area.first_column, area.first_row + len(values) - 1, last_column)
    padded = _padded(values, whole)
    named = area.first_row == 1 and has_header([_shown(cell) for cell in row] for row in padded)
    return SheetTable(
        path=f"{about['properties']['title']} {whole.a1(title)}",
        google=google,
        spreadsheet=about["spreadsheetId"],
        worksheet=title,
        sheet_id=sheet_id,
        asked=asked,
        area=whole,
        header=tuple(map(_shown, padded[0])) if named else (),
        values=padded,
    )


def urls(table: SheetTable, column: int) -> list[tuple[int, str]]:
    """The worksheet's row number and the URL of every row."""
    return [(row, cell.strip()) for row, cell in enumerate(table.column(column), start=table.first_row)]


def write_order(table: SheetTable, order: Sequence[int], *, backup: str, dropped: int = 0) -> str:
    """Write the rows back in the given order, in one update; returns the file in folder `backup` with the old values.

    order: indices from 0 of the rows below the header. dropped: how many rows are left out: their places are emptied
    at the end. Raises UsageError if the range has changed since it was read, or holds formulas.
    """
    head, rows = table.values[: bool(table.header)], table.values[bool(table.header) :]
    if len(set(order)) != len(order) or len(order) + dropped != len(rows):
        raise UsageError(f"the order of {table.path} does not name each of its {len(rows)} rows once")
    check_writable(table)
    saved = save_values(table, backup)
    empty = ("",) * len(table.values[0])
    new = [*head, *(rows[index] for index in order), *(empty for _ in range(dropped))]
    table.google.write(table.spreadsheet, table.area.a1(table.worksheet), new)
    return saved


def write_column(table: SheetTable, column: str, cells: Mapping[int, str], *, backup: str) -> str:
    """Write one cell a row into a column outside of the range, and return the file with its old values.

    column: its letters; cells: the worksheet's row → what to write; other rows keep theirs.
    """
    index = number(column)
    if table.area.first_column <= index <= table.area.last_column:
        raise UsageError(f"the column {column} is inside of the range that is read: choose one outside")
    check_unchanged(table)
    area = Area(table.first_row, index, table.area.last_row, index)
    a1 = area.a1(table.worksheet)
    old = _padded(table.google.values(table.spreadsheet, a1, "FORMULA"), area)
    saved = _save(table, backup, a1, old)
    new = [[cells.get(row, cell[0])] for row, cell in enumerate(old, start=table.first_row)]
    table.google.write(table.spreadsheet, a1, new)
    return saved


def prune(table: SheetTable, rows: Iterable[int], *, backup: str) -> str:
    """Delete whole rows of the worksheet, given by their numbers; returns the file with the worksheet's old values."""
    check_unchanged(table)
    whole = quoted(table.worksheet)
    saved = _save(table, backup, whole, table.google.values(table.spreadsheet, whole, "FORMULA"))
    spans = _spans(row - 1 for row in rows)
    if spans:
        table.google.delete_rows(table.spreadsheet, table.sheet_id, spans)
    return saved


def check_unchanged(table: SheetTable) -> None:
    """Read the range again. Raises UsageError if it differs."""
    now = table.google.values(table.spreadsheet, table.asked, "UNFORMATTED_VALUE")
    if _padded(now, table.area) != table.values:
        raise UsageError(f"{table.path} has changed since it was read: run it again")


def check_writable(table: SheetTable) -> None:
    """Raise UsageError unless moving the range's values moves all that is in it: a formula is more than its value."""
    check_unchanged(table)
    formulas = _padded(table.google.values(table.spreadsheet, table.area.a1(table.worksheet), "FORMULA"), table.area)
    for at, (row, plain) in enumerate(zip(formulas, table.values, strict=True)):
        for place, (cell, value) in enumerate(zip(row, plain, strict=True)):
            if isinstance(cell, str) and cell.startswith("=") and cell != value:
                name = f"{letters(table.area.first_column + place)}{table.area.first_row + at}"
                raise UsageError(
                    f"{table.path} holds formulas ({name}: {cell}), which do not survive a move: "
                    "choose a range without them, or paste their values over them"
                )


def save_values(table: SheetTable, folder: str) -> str:
    """Save the range's values as they were read, and return the file's path."""
    return _save(table, folder, table.area.a1(table.worksheet), table.values)


def parse_area(text: str) -> Area:
    """`B2:C`, `B2:C9`, `B:C`, `2:9`, `B2` or nothing as an Area."""
    match = _A1.fullmatch(text.strip())
    column, row, last_column, last_row = match.groups() if match else ("", "", "", "")
    if text.strip() and not ((column or row) and (last_column is None or last_column or last_row)):
        raise UsageError(f"{text} is no range of cells: write it like B2:C or B2:C99")
    if last_column is None:
        last_column, last_row = column, row
    area = Area(
        int(row or 1), number(column) if column else 1, int(last_row or 0), number(last_column) if last_column else 0
    )
    backwards = 0 < area.last_row < area.first_row or 0 < area.last_column < area.first_column
    if area.first_row == 0 or backwards:
        raise UsageError(f"{text} is no range of cells: it ends before it begins")
    return area


def letters(column: int) -> str:
    """The letters of a column: 1 is A, 27 is AA."""
    text = ""
    while column > 0:
        column, rest = divmod(column - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def number(column: str) -> int:
    """The number of a column: A is 1, AA is 27. Raises UsageError."""
    if not (column.isascii() and column.isalpha() and len(column) <= 3):
        raise UsageError(f"{column} is no column: write it like C or AB")
    value = 0
    for letter in column.upper():
        value = value * 26 + ord(letter) - ord("A") + 1
    return value


def quoted(worksheet: str) -> str:
    """A worksheet's title as ranges have it."""
    return "'" + worksheet.replace("'", "''") + "'"


def _worksheet(about: dict[str, Any], title: str, spreadsheet: str) -> tuple[str, int, int]:
    """Title, id and number of columns of a worksheet."""
    sheets = [sheet["properties"] for sheet in about.get("sheets", [])]
    gid = _GID.search(spreadsheet)
    for sheet in sheets:
        right = sheet["title"] == title if title else gid is None or str(sheet.get("sheetId", 0)) == gid[1]
        if right:
            return sheet["title"], sheet.get("sheetId", 0), sheet.get("gridProperties", {}).get("columnCount", 0)
    known = ", ".join(sheet["title"] for sheet in sheets)
    raise UsageError(f"{about['properties']['title']} has no worksheet {title or gid}; its worksheets: {known}")


def _padded(values: Sequence[Sequence[Cell]], area: Area) -> tuple[tuple[Cell, ...], ...]:
    """Rows of the area's size; what Google leaves out is empty. Empty cells have to be written, or old ones stay."""
    width, height = area.last_column - area.first_column + 1, area.last_row - area.first_row + 1
    rows = [*values, *([] for _ in range(height - len(values)))]
    return tuple((*row, *[""] * (width - len(row))) for row in rows)


def _spans(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of consecutive indices as (first, end)."""
    spans: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return spans


def _save(table: SheetTable, folder: str, a1: str, values: Sequence[Sequence[Cell]]) -> str:
    """Write the values to a new file of the folder, which is named after the time."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = os.path.join(folder, f"sheet-{stamp}.json")
    whole = {"spreadsheet": table.spreadsheet, "worksheet": table.worksheet, "range": a1, "values": values}
    write_atomic(path, [json.dumps(whole, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")])
    return path


def _shown(cell: Cell) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)
