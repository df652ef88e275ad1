"""pairs.csv, and what `imkin pairs` streams: `a,b,similarity`, a pair a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from imkin.report.files import name_bytes, write_atomic
from imkin.result import Pair, rounded

HEADER = "a,b,similarity\n"

# RFC 4180, 2.6. Python's csv module leaves a lone carriage return unquoted before 3.13 and then cannot read it back.
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def csv_lines(pairs: Iterable[Pair]) -> Iterator[str]:
    """The header and one line a pair, ended by a line feed; similarities with four decimals, quotes as in RFC 4180.

    Names that are not UTF-8 keep their surrogates: a stream needs errors="surrogateescape" to write their bytes.
    """
    yield HEADER
    for pair in pairs:
        yield f"{_field(pair.a)},{_field(pair.b)},{rounded(pair.similarity):.4f}\n"


def write_csv(path: str, pairs: Iterable[Pair]) -> None:
    """Write pairs to path: UTF-8, and names that are not UTF-8 with their own bytes. Raises OutputError."""
    write_atomic(path, map(name_bytes, csv_lines(pairs)))


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Any table, written like the pairs."""
    for row in (header, *rows):
        yield ",".join(map(_field, row)) + "\n"


def _field(text: str) -> str:
    if _NEEDS_QUOTES.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'
