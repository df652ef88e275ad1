"""Parquet tables, read in batches and only in the columns that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imkin.errors import MissingExtraError, UsageError

BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """A Parquet file; see `imkin.sources.table.Table`."""

    path: str
    header: tuple[str, ...]

    def rows(self) -> Iterator[Sequence[str]]:
        """See `Table`. Values that are no text are shown as Python shows them, bytes as nothing."""
        return self._read(range(len(self.header)))

    def column(self, index: int) -> Iterator[str]:
        """See `Table`."""
        return (row[0] for row in self._read([index]))

    def _read(self, columns: Sequence[int]) -> Iterator[list[str]]:
        with _open(self.path) as file:
            names = [self.header[index] for index in columns]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
                by_name = {name: batch.column(at).to_pylist() for at, name in enumerate(batch.schema.names)}
                for at in range(batch.num_rows):
                    yield [_cell(by_name[name][at]) for name in names]


def open_parquet(path: str) -> ParquetTable:
    """Open a Parquet file. Raises UsageError for any other, MissingExtraError without pyarrow."""
    with _open(path) as file:
        return ParquetTable(path, tuple(file.schema_arrow.names))


def _open(path: str) -> Any:
    try:
        from pyarrow import ArrowInvalid  # type: ignore[import-untyped, unused-ignore]
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtraError("reading Parquet", "tables") from None
    try:
        return ParquetFile(path, memory_map=True)
    except (ArrowInvalid, OSError) as error:
        raise UsageError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from None


def _cell(value: object) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    return value if isinstance(value, str) else str(value)
