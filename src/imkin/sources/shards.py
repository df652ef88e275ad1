"""Shards as Parquet files: what is to be read, and what came of it. One row an image, failures are rows too."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.errors import MissingExtraError, UsageError
from imkin.sources.listed import Listed
from imkin.types import Failure, File

_COUNTS = b"imkin"


@dataclass(frozen=True, slots=True)
class Shard:
    """What came of one shard. root, quality: (n,) of the n files; values: (n, bytes) uint8, whatever the method."""

    files: Sequence[File]
    root: NDArray[np.int64]
    quality: NDArray[np.float32]
    values: NDArray[np.uint8]
    failures: Sequence[Failure]


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # type: ignore[import-untyped, unused-ignore]
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("--work", "scale") from None
    return pyarrow, parquet


def _written(columns: dict[str, Any], counts: dict[str, int]) -> bytes:
    arrow, parquet = _arrow()
    rows = arrow.table(columns).replace_schema_metadata({_COUNTS: json.dumps(counts)})
    buffer = io.BytesIO()
    parquet.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _opened(read: Callable[..., Any], data: bytes, **options: Any) -> Any:
    """What a function of `pyarrow.parquet` reads. UsageError for bytes that are not what was written."""
    arrow, _ = _arrow()
    try:
        return read(io.BytesIO(data), **options)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"a file of the work folder is damaged ({reason}); choose another --work") from None


def _columns(data: bytes, names: Sequence[str] | None = None) -> tuple[dict[str, list[Any]], dict[str, int]]:
    _, parquet = _arrow()
    rows = _opened(parquet.read_table, data, columns=names)
    return {name: rows.column(name).to_pylist() for name in rows.column_names}, json.loads(
        rows.schema.metadata[_COUNTS]
    )


def items_bytes(items: Sequence[Listed]) -> bytes:
    """The Parquet file of what a shard is to read."""
    arrow, _ = _arrow()
    columns: dict[str, Any] = {name: [getattr(item, name) for item in items] for name in _ITEM}
    for name in ("path", "place"):  # names of files are bytes, not always text
        columns[name] = arrow.array([os.fsencode(text) for text in columns[name]], arrow.binary())
    return _written(columns, {"items": len(items)})


_ITEM = ("path", "place", "size", "mtime_ns", "root", "source", "within")


def items_of(data: bytes) -> list[Listed]:
    """What `items_bytes` holds."""
    columns, _ = _columns(data)
    for name in ("path", "place"):
        columns[name] = [os.fsdecode(text) for text in columns[name]]
    return [Listed(*row) for row in zip(*(columns[name] for name in _ITEM), strict=True)]


_FACTS = ("size", "mtime_ns", "width", "height", "format", "source")


def shard_bytes(shard: Shard) -> bytes:
    """The Parquet file of what came of a shard: the files' rows, then the failures'."""
    arrow, _ = _arrow()
    empty, width = [None] * len(shard.failures), shard.values.shape[1]
    files = shard.files
    everything = [*(file.path for file in files), *(failure.path for failure in shard.failures)]
    columns: dict[str, Any] = {
        "path": arrow.array([os.fsencode(path) for path in everything], arrow.binary()),
        "sha256": arrow.array([*(bytes.fromhex(file.sha256) for file in files), *empty], arrow.binary(32)),
        "sha1": arrow.array([*(bytes.fromhex(file.sha1) for file in files), *empty], arrow.binary(20)),
        "root": arrow.array([*shard.root.tolist(), *empty], arrow.int64()),
        "quality": arrow.array([*shard.quality.tolist(), *empty], arrow.float32()),
        "value": arrow.array([*(row.tobytes() for row in shard.values), *empty], arrow.binary(width)),
        "stage": arrow.array([*[None] * len(files), *(failure.stage for failure in shard.failures)], arrow.string()),
        "reason": arrow.array([*[None] * len(files), *(failure.reason for failure in shard.failures)], arrow.string()),
    }
    for name in _FACTS:
        kind = arrow.string() if name in ("format", "source") else arrow.int64()
        columns[name] = arrow.array([*(getattr(file, name) for file in files), *empty], kind)
    return _written(columns, {"files": len(files), "failures": len(shard.failures)})


def counts_of(data: bytes) -> tuple[int, int]:
    """How many files and how many failures `shard_bytes` holds."""
    _, parquet = _arrow()
    counts = json.loads(_opened(parquet.read_schema, data).metadata[_COUNTS])
    return counts["files"], counts["failures"]


def prints_of(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64], NDArray[np.uint8]]:
    """Of the files of a shard: sha256 (n, 32), quality (n,), root (n,), values (n, bytes)."""
    _, parquet = _arrow()
    rows = _opened(parquet.read_table, data, columns=["sha256", "quality", "root", "value"])
    count = json.loads(rows.schema.metadata[_COUNTS])["files"]
    rows = rows.slice(0, count).combine_chunks()
    return (
        _fixed(rows, "sha256"),
        _plain(rows, "quality", np.float32),
        _plain(rows, "root", np.int64),
        _fixed(rows, "value"),
    )


def _plain(rows: Any, name: str, kind: Any) -> NDArray[Any]:
    return np.asarray(rows.column(name).to_numpy(), kind)


def _fixed(rows: Any, name: str) -> NDArray[np.uint8]:
    column = rows.column(name)
    width = column.type.byte_width
    data = b"".join(
        memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
    )
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def files_of(data: bytes, wanted: Sequence[int]) -> list[File]:
    """The files at these places of a shard."""
    columns, _ = _columns(data, ["path", "sha256", "sha1", *_FACTS])
    made = []
    for at in wanted:
        size, mtime_ns, width, height, format_, source = (columns[name][at] for name in _FACTS)
        sha256, sha1 = columns["sha256"][at].hex(), columns["sha1"][at].hex()
        made.append(
            File(os.fsdecode(columns["path"][at]), size, mtime_ns, sha256, sha1, width, height, format_, source)
        )
    return made


def failures_of(data: bytes) -> list[Failure]:
    """The failures of a shard."""
    columns, counts = _columns(data, ["path", "stage", "reason"])
    rows = zip(columns["path"], columns["stage"], columns["reason"], strict=True)
    return [Failure(os.fsdecode(path), stage, reason) for path, stage, reason in list(rows)[counts["files"] :]]


def rows_bytes(rows: NDArray[np.void]) -> bytes:
    """The Parquet file of structured rows, a column a field."""
    arrow, _ = _arrow()
    columns = {}
    for name in rows.dtype.names or ():
        text = rows.dtype[name].kind == "S"
        columns[name] = arrow.array(rows[name].tolist(), arrow.binary()) if text else np.ascontiguousarray(rows[name])
    return _written(columns, {"rows": len(rows)})


def rows_of(data: bytes, kind: np.dtype[np.void]) -> NDArray[np.void]:
    """What `rows_bytes` holds, as rows of this kind; fields beyond those of the kind are not read."""
    _, parquet = _arrow()
    table = _opened(parquet.read_table, data, columns=list(kind.names or ()))
    rows = np.empty(table.num_rows, kind)
    for name in kind.names or ():
        column = table.column(name)
        rows[name] = column.to_pylist() if kind[name].kind == "S" else column.to_numpy()
    return rows
