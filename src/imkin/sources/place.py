"""Files here or in an object store, by path or URL (`s3://…`, `gs://…`), through fsspec. Its only importer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from imkin.errors import MissingExtraError, MissingPathError, OutputError, UsageError
from imkin.report.files import write_atomic


def is_remote(path: str) -> bool:
    """Whether a path is a URL that fsspec opens: `s3://…`, `gs://…`, `memory://…`; http is not one."""
    scheme, found, _ = path.partition("://")
    return bool(found) and scheme.isalnum() and scheme not in ("http", "https", "postgresql")


@cache
def _system(scheme: str) -> Any:
    try:
        import fsspec  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtraError(f"{scheme}:// and --work", "scale") from None
    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{scheme}:// cannot be read: {error}") from None


def read_bytes(path: str) -> bytes:
    """All bytes of a file. OSError if it cannot be read."""
    if not is_remote(path):
        with open(path, "rb", buffering=0) as file:
            return file.read()
    return bytes(_system(path.partition("://")[0]).cat_file(path))


def read_part(path: str, start: int, length: int) -> bytes:
    """Some bytes of a file. OSError if it cannot be read."""
    if not is_remote(path):
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)
    return bytes(_system(path.partition("://")[0]).cat_file(path, start=start, end=start + length))


def facts_of(path: str) -> tuple[int, int]:
    """Bytes of a file, and when it was changed in nanoseconds, 0 in a store. OSError if it is not there."""
    if not is_remote(path):
        facts = os.stat(path)
        return facts.st_size, facts.st_mtime_ns
    return int(_system(path.partition("://")[0]).size(path) or 0), 0


def files_below(path: str) -> Iterator[tuple[str, int]]:
    """The files below a URL with their sizes, in the order of their names. MissingPathError if there is none."""
    scheme = path.partition("://")[0]
    try:
        found = _system(scheme).find(path, detail=True)
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error}") from None
    if not found:
        raise MissingPathError(f"cannot read {path}: nothing is there")
    for name, facts in sorted(found.items()):
        yield f"{scheme}://{name.removeprefix(f'{scheme}://').lstrip('/')}", int(facts["size"])


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a job keeps its files: a folder, or a URL that all its machines reach."""

    path: str

    def at(self, name: str) -> str:
        """The full path of a file in it."""
        return f"{self.path.rstrip('/')}/{name}"

    def has(self, name: str) -> bool:
        """Whether there is such a file; it is whole then."""
        full = self.at(name)
        return bool(_system(full.partition("://")[0]).exists(full)) if is_remote(full) else os.path.exists(full)

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        return read_bytes(self.at(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a file: under a temporary name first, or at once where a store shows only whole files. OutputError."""
        full = self.at(name)
        if is_remote(full):
            _system(full.partition("://")[0]).pipe_file(full, data)
        else:
            self._write_here(full, [data])

    def write_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        """As `write`, of what does not fit into memory."""
        full = self.at(name)
        if is_remote(full):
            with _system(full.partition("://")[0]).open(full, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        else:
            self._write_here(full, chunks)

    def _write_here(self, full: str, chunks: Iterable[bytes]) -> None:
        try:
            os.makedirs(os.path.dirname(full), exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {full}: {error.strerror}") from None
        write_atomic(full, chunks)
