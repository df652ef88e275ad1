"""Text tables, record by record: CSV, TSV, JSON lines and plain lists, each record with its text exactly as it stands.

The text is what makes a table rewritable without a trace: quoting, spaces, ragged rows and bytes that are not UTF-8
go along, whatever they are.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Literal, NamedTuple

from imkin.errors import MissingPathError, UsageError

TextKind = Literal["csv", "list", "jsonl"]

DELIMITERS = (",", ";", "\t", "|")
# A delimiter that no text has: the line is one cell, whatever commas its URL holds.
ONE_CELL = "\x1f"
SAMPLE_ROWS = 1000
# A row longer than this is a quote that was never closed, or no table.
MAX_RECORD_CHARS = 1 << 24

# Spaces inside are allowed: they are common in tables, and are escaped when the URL is asked for.
URL = re.compile(r"\s*https?://[^\s/][^\r\n]*\s*", re.IGNORECASE)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Record(NamedTuple):
    """A row: its cells, and the text it was read from with its line ending."""

    cells: list[str]
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text table is written. keys: of JSON lines, the columns in the order in which they are met."""

    kind: TextKind
    encoding: str
    bom: bytes
    delimiter: str = ","
    keys: tuple[str, ...] = ()

    def encode(self, text: str) -> bytes:
        """The bytes that text was read from."""
        return text.encode(self.encoding, "surrogateescape" if self.encoding == "utf-8" else "strict")


def detect(path: str, kind: TextKind, *, tabs: bool = False) -> Layout:
    """Find out how path is written. Raises MissingPathError, UsageError.

    tabs: its name says that tabs part the cells.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS))
    bom, encoding = _encoding(path)
    plain = Layout(kind, encoding, bom, "\t" if tabs else ONE_CELL)
    sample = [record.text for record in islice(_lines(path, plain), SAMPLE_ROWS)]
    if kind == "jsonl":
        return Layout(kind, encoding, bom, keys=_keys(sample))
    if kind == "list" and not _is_list(sample):
        kind = "csv"
    if kind == "list" or tabs:
        return Layout(kind, encoding, bom, plain.delimiter)
    return Layout(kind, encoding, bom, _delimiter(sample))


def records(path: str, layout: Layout) -> Iterator[Record]:
    """Every row of the file, a header included, in its order. Raises UsageError for text that is no table."""
    if layout.kind == "csv":
        return _csv_records(path, layout)
    return _lines(path, layout)


def field(text: str, delimiter: str) -> str:
    """Text as one cell, quoted where it must be."""
    if any(mark in text for mark in (delimiter, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text


def ending(text: str) -> str:
    """The line ending that text has."""
    return text[len(text.rstrip("\r\n")) :] if text else ""


def _encoding(path: str) -> tuple[bytes, str]:
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror}") from None
    return next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", "utf-8"))


@contextmanager
def _open(path: str, layout: Layout) -> Iterator[IO[str]]:
    """The text after the byte order mark, line endings as they are. Raises UsageError where it is no text."""
    errors = "surrogateescape" if layout.encoding == "utf-8" else "strict"
    try:
        with open(path, encoding=layout.encoding, errors=errors, newline="") as file:
            file.read(1 if layout.bom else 0)
            yield file
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} begins like {error.encoding} and is not: {error.reason}") from None
    except csv.Error as error:
        raise UsageError(f"{path} is no table: {error}") from None


def _lines(path: str, layout: Layout) -> Iterator[Record]:
    """A record a line; of a list the line is the cell, of JSON lines the values of the object are the cells."""
    with _open(path, layout) as file:
        for number, line in enumerate(_bounded(file, path), start=1):
            if number == 1 and "\0" in line:
                raise UsageError(f"{path} is no text")
            if layout.kind == "jsonl":
                yield Record(_json_cells(line, layout.keys), line)
            else:
                text = line.strip()
                yield Record([] if not text or text.startswith("#") else [text], line)


def _csv_records(path: str, layout: Layout) -> Iterator[Record]:
    with _open(path, layout) as file:
        taken: list[str] = []
        length = 0

        def lines() -> Iterator[str]:
            nonlocal length
            for line in _bounded(file, path):
                taken.append(line)
                length += len(line)
                if length > MAX_RECORD_CHARS:
                    raise UsageError(f"{path}: a row over {MAX_RECORD_CHARS} characters; is a quote not closed?")
                yield line

        for cells in csv.reader(lines(), delimiter=layout.delimiter):
            yield Record(cells, "".join(taken))
            taken.clear()
            length = 0


def _bounded(file: IO[str], path: str) -> Iterator[str]:
    while line := file.readline(MAX_RECORD_CHARS + 1):
        if len(line) > MAX_RECORD_CHARS:
            raise UsageError(f"{path}: a line over {MAX_RECORD_CHARS} characters; it is no table")
        yield line


def _is_list(sample: list[str]) -> bool:
    """Whether a text file holds one URL a line; one with tabs or without a URL at the front is a table."""
    first = next((line for line in sample if line.strip() and not line.startswith("#")), "")
    return not first or (URL.match(first) is not None and "\t" not in first.strip())


def _delimiter(sample: list[str]) -> str:
    """The delimiter that gives most rows one and the same number of cells, more than one; the more cells the better.

    Where the first row is one cell whatever the delimiter, the table is one column, and commas belong to its URLs.
    """
    best, best_score = ONE_CELL, (0.0, 0)
    for delimiter in DELIMITERS:
        widths = [len(cells) for cells in csv.reader(sample, delimiter=delimiter) if cells]
        if not widths or widths[0] < 2:
            continue
        score = (widths.count(widths[0]) / len(widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _keys(sample: list[str]) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for line in sample:
        value = _json(line)
        if isinstance(value, dict):
            keys.update(dict.fromkeys(value))
    return tuple(keys)


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _json_cells(line: str, keys: tuple[str, ...]) -> list[str]:
    value = _json(line)
    if isinstance(value, dict):
        return [_json_cell(value.get(key)) for key in keys]
    if isinstance(value, str):
        return [value]
    return [_json_cell(one) for one in value] if isinstance(value, list) else []


def _json_cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
