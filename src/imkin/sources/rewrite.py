"""Puts the rows of a text table into another order, without touching a byte inside them."""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from imkin.errors import OutputError, UsageError
from imkin.report.files import write_atomic
from imkin.sources import delimited
from imkin.sources.delimited import Layout
from imkin.sources.table import Table, TextTable


@dataclass(frozen=True, slots=True)
class Added:
    """Columns to be added. names: theirs; cells: row number from 1 → its cells; a row without has empty ones."""

    names: tuple[str, ...] = ()
    cells: Mapping[int, tuple[str, ...]] | None = None

    def of(self, row: int) -> tuple[str, ...]:
        """The cells of a row."""
        return (self.cells or {}).get(row, ("",) * len(self.names))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each record of a text table lies. ends: byte offsets, n + 1; widths: cells, n; header included."""

    ends: array[int]
    widths: array[int]
    ending: str


def check_rewritable(table: Table, added: Added | None = None) -> TextTable:
    """The table, if it can be written back. Raises UsageError."""
    if not isinstance(table, TextTable):
        raise UsageError(f"{table.path} cannot be written back: save it as CSV and sort that")
    if added and added.names and table.layout.kind == "list":
        raise UsageError(f"{table.path} is a plain list: it has no columns to add to")
    there = [name for name in (added.names if added else ()) if name in table.header]
    if there:
        raise UsageError(f"{table.path} has a column {there[0]} already")
    return table


def rewrite(table: Table, order: Sequence[int], *, added: Added | None = None, dropped: Sequence[int] = ()) -> str:
    """Write table's rows in the given order, the header first; the old file stays as `.bak`, whose path is returned.

    order, dropped: row numbers from 1; together every row once. An older `.bak` is kept too, the new one is `.bak2`,
    and so on. Raises UsageError if the order is none or the file changed since it was opened, OutputError.
    """
    added = added or Added()
    text = check_rewritable(table, added)
    target = os.path.realpath(text.path)
    rows = _measure(text)
    count = len(rows.widths) - text.header_records
    if sorted([*order, *dropped]) != list(range(1, count + 1)):
        raise UsageError(f"the order of {text.path} does not name each of its {count} rows once")
    facts = os.stat(target)
    if (facts.st_size, facts.st_mtime_ns) != (text.size, text.mtime_ns):
        raise UsageError(f"{text.path} has changed since it was read: sort it again")
    backup = _keep(target)
    try:
        with open(backup, "rb") as file:
            write_atomic(target, _records(file, text, rows, order, added))
    except BaseException:
        os.unlink(backup)
        raise
    shutil.copymode(backup, target)
    return backup


def _measure(table: TextTable) -> _Rows:
    layout = table.layout
    ends, widths = array("q", [len(layout.bom)]), array("l")
    endings: dict[str, int] = {}
    for record in delimited.records(table.path, layout):
        ends.append(ends[-1] + len(layout.encode(record.text)))
        widths.append(len(record.cells))
        mark = delimited.ending(record.text)
        endings[mark] = endings.get(mark, 0) + 1
    endings.pop("", None)
    return _Rows(ends, widths, max(endings, key=endings.__getitem__, default=os.linesep))


def _records(file: BinaryIO, table: TextTable, rows: _Rows, order: Sequence[int], added: Added) -> Iterator[bytes]:
    """The new file: records keep their own line ending; where the last had none, the new last has none."""
    layout = table.layout
    yield layout.bom
    width = max(rows.widths, default=0)
    before = table.header_records
    numbers = [*range(before), *(row - 1 + before for row in order)]
    open_end = bool(rows.widths) and not delimited.ending(_text(file, layout, rows, len(rows.widths) - 1))
    for place, number in enumerate(numbers):
        text = _text(file, layout, rows, number)
        mark = delimited.ending(text)
        if added.names:
            cells = added.names if number < before else added.of(number - before + 1)
            text = _extended(text[: len(text) - len(mark)], cells, layout, width - rows.widths[number], added) + mark
        last = place + 1 == len(numbers)
        if open_end and last:
            text = text[: len(text) - len(mark)]
        elif not mark:
            text += rows.ending
        yield layout.encode(text)


def _text(file: BinaryIO, layout: Layout, rows: _Rows, number: int) -> str:
    file.seek(rows.ends[number])
    data = file.read(rows.ends[number + 1] - rows.ends[number])
    return data.decode(layout.encoding, "surrogateescape" if layout.encoding == "utf-8" else "strict")


def _extended(text: str, cells: Sequence[str], layout: Layout, missing: int, added: Added) -> str:
    """A record with cells added behind the widest row's last column; a blank line stays blank."""
    if not text.strip():
        return text
    if layout.kind == "jsonl":
        head, brace, tail = text.rpartition("}")
        pairs = ", ".join(
            f"{json.dumps(name)}: {json.dumps(cell)}" for name, cell in zip(added.names, cells, strict=True) if cell
        )
        if not brace or not pairs:
            return text
        return head + ("" if head.rstrip().endswith("{") else ", ") + pairs + brace + tail
    delimiter = "," if layout.delimiter == delimited.ONE_CELL else layout.delimiter
    if layout.delimiter == delimited.ONE_CELL and delimiter in text and not text.startswith('"'):
        text = delimited.field(text, delimiter)
    return delimiter.join([text, *[""] * missing, *(delimited.field(cell, delimiter) for cell in cells)])


def _keep(path: str) -> str:
    """A second name, or a copy, of the file as it is: `.bak`, or the first free of `.bak2`, `.bak3` …"""
    number = 1
    while True:
        backup = f"{path}.bak{number if number > 1 else ''}"
        try:
            os.link(path, backup)
            return backup
        except FileExistsError:
            number += 1
        except OSError:
            return _copy(path, backup)


def _copy(path: str, backup: str) -> str:
    try:
        with open(path, "rb") as old, open(backup, "xb") as new:
            shutil.copyfileobj(old, new)
        shutil.copystat(path, backup)
        return backup
    except OSError as error:
        raise OutputError(f"cannot write {backup}: {error.strerror}") from None
