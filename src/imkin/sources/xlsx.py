"""XLSX workbooks, read row by row (ECMA-376 part 1: 18.2 workbook, 18.3 worksheet, 18.4 shared strings).

The standard library's zip and XML are enough for values; a workbook from elsewhere is read with limits on both.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from posixpath import join, normpath
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

from imkin.errors import UsageError
from imkin.sources.table import cells_of, has_header

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# Limits of the program that the format comes from.
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
# Unpacked, of one part of the workbook.
MAX_PART_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class XlsxTable:
    """The first worksheet of a workbook; see `imkin.sources.table.Table`."""

    path: str
    part: str
    header: tuple[str, ...]
    header_rows: int

    def rows(self) -> Iterator[Sequence[str]]:
        """See `Table`. Numbers and dates come as the workbook stores them."""
        for at, row in enumerate(_rows(self.path, self.part)):
            if at >= self.header_rows:
                yield row

    def column(self, index: int) -> Iterator[str]:
        """See `Table`."""
        return cells_of(self.rows(), index)


def open_xlsx(path: str, *, header: bool | None = None) -> XlsxTable:
    """Open the first worksheet of a workbook. Raises UsageError for any other file."""
    with _workbook(path) as book:
        part = _first_sheet(book)
    named = has_header(_rows(path, part), header=header)
    names = tuple(next(_rows(path, part))) if named else ()
    return XlsxTable(path, part, names, int(named))


@contextmanager
def _workbook(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as book:
            yield book
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ParseError, NotImplementedError, ValueError) as error:
        raise UsageError(f"{path} is no XLSX workbook, or a damaged one: {error}") from None
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _first_sheet(book: zipfile.ZipFile) -> str:
    relation = next((element.get(RELATION, "") for element in _elements(book, "xl/workbook.xml", f"{MAIN}sheet")), None)
    if relation is None:
        raise ValueError("it has no worksheet")
    for element in _elements(book, "xl/_rels/workbook.xml.rels", ""):
        if element.get("Id") == relation:
            target = element.get("Target", "")
            return target.lstrip("/") if target.startswith("/") else normpath(join("xl", target))
    raise ValueError("its first worksheet is missing")


def _rows(path: str, part: str) -> Iterator[list[str]]:
    with _workbook(path) as book, tempfile.TemporaryFile() as spill:
        shared = _SharedStrings(book, spill)
        number = 0
        for element in _elements(book, part, f"{MAIN}row"):
            told = int(element.get("r", number + 1))
            if not number < told <= MAX_ROWS:
                raise ValueError(f"a row number of {told}")
            for _ in range(number + 1, told):
                yield []
            number = told
            yield _cells(element, shared)


def _cells(row: Element, shared: _SharedStrings) -> list[str]:
    cells: list[str] = []
    for cell in row.iter(f"{MAIN}c"):
        index = _column(cell.get("r", ""), len(cells))
        cells.extend("" for _ in range(index - len(cells)))
        value = cell.findtext(f"{MAIN}v", "")
        kind = cell.get("t", "n")
        if kind == "s":
            value = shared[int(value)] if value else ""
        elif kind == "inlineStr":
            inline = cell.find(f"{MAIN}is")
            value = _text(inline) if inline is not None else ""
        cells.append(value)
    return cells


def _column(reference: str, following: int) -> int:
    """The index of the column of a cell like `AB12`; the one that follows if it does not say."""
    letters = reference.rstrip("0123456789").upper()
    if not letters:
        return following
    if not (letters.isascii() and letters.isalpha()):
        raise ValueError(f"a cell {reference}")
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    if not following < index <= MAX_COLUMNS:
        raise ValueError(f"a cell {reference} out of order")
    return index - 1


def _text(element: Element) -> str:
    """A plain or rich string; phonetic readings (rPh) are left out."""
    own = element.findtext(f"{MAIN}t", "")
    return own + "".join(run.findtext(f"{MAIN}t", "") for run in element.findall(f"{MAIN}r"))


class _SharedStrings:
    """The workbook's strings, kept in a temporary file: a table of a million URLs has a million of them."""

    def __init__(self, book: zipfile.ZipFile, spill: IO[bytes]) -> None:
        self._spill = spill
        self._ends = array("q", [0])
        if "xl/sharedStrings.xml" in book.namelist():
            for element in _elements(book, "xl/sharedStrings.xml", f"{MAIN}si"):
                spill.write(_text(element).encode("utf-8", "surrogatepass"))
                self._ends.append(spill.tell())

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self._ends) - 1:
            raise ValueError(f"there is no shared string {index}")
        self._spill.seek(self._ends[index])
        return self._spill.read(self._ends[index + 1] - self._ends[index]).decode("utf-8", "surrogatepass")


def _elements(book: zipfile.ZipFile, part: str, tag: str) -> Iterator[Element]:
    """The elements of a part with that tag ("": all), each whole when it is yielded and forgotten afterwards."""
    info = book.getinfo(part)
    if info.file_size > MAX_PART_BYTES:
        raise ValueError(f"its part {part} has {info.file_size} bytes")
    with book.open(info) as head:
        # No workbook has a document type; entities that multiply need one.
        if b"<!DOCTYPE" in head.read(4096):
            raise ValueError(f"its part {part} has a document type")
    with book.open(info) as file:
        parents: list[Element] = []
        for event, element in iterparse(file, events=("start", "end")):  # noqa: S314 - no document type, see above
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            wanted = not tag or element.tag == tag
            if wanted:
                yield element
            # What is neither wanted nor inside of something wanted goes when it ends, at the latest below the root.
            if parents and (wanted or len(parents) == 1):
                parents[-1].clear()
