"""What a folder of downloads holds: one line a URL, appended as it is learnt, so that a run can be taken up again."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from imkin.errors import OutputError
from imkin.report.files import write_atomic

LEDGER = ".imkin-fetch.jsonl"
RESULTS = "results.csv"
PART = ".part"

COLUMNS = ("row", "url", "status", "sha256", "size", "final_url", "file", "error")

Status = Literal["ok", "copy", "failed", "empty", "pending"]

# Pillow's names of formats whose files are called otherwise.
_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2", "HEIF": "heic", "TIFF": "tif", "RAW": "raw"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one URL. Either file, sha256, size (bytes) and final_url are set, or error is.

    dead: the server said that there is nothing, or that it is no picture; asking again would not help.
    """

    url: str
    file: str = ""
    sha256: str = ""
    size: int = 0
    final_url: str = ""
    error: str = ""
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of a table: `ok` has a file, `copy` shares that of an earlier row, `pending` was not reached.

    dead: see `Entry`.
    """

    row: int
    url: str
    status: Status
    sha256: str
    size: int
    final_url: str
    file: str
    error: str
    dead: bool = False


class Ledger:
    """The downloads of one folder. Memory: about 200 bytes a URL; the rest stays on the disk."""

    def __init__(self, folder: str) -> None:
        """Open or begin the ledger of folder. Raises OutputError if it cannot be written to."""
        self.folder = folder
        self._place: dict[bytes, int] = {}
        self._holder: dict[str, tuple[int, str]] = {}
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = open(os.path.join(folder, LEDGER), "a+b")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror}") from None
        self._load()
        self._sweep()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def known(self, url: str) -> Entry | None:
        """The last thing that was noted of url."""
        place = self._place.get(_digest(url))
        if place is None:
            return None
        self._file.seek(place)
        return Entry(**json.loads(self._file.readline()))

    def has(self, url: str) -> bool:
        """Whether url was fetched and its file is still there, unchanged in size."""
        entry = self.known(url)
        if entry is None or entry.error:
            return False
        file = self._file_of(entry)
        try:
            return os.stat(os.path.join(self.folder, file)).st_size == entry.size
        except OSError:
            self._holder.pop(entry.sha256, None)
            return False

    def part(self, row: int) -> str:
        """Where the body for row is collected."""
        return os.path.join(self.folder, f".{row:06d}{PART}")

    def keep(self, row: int, entry: Entry, *, format_name: str) -> None:
        """Take in the body collected for row. Of equal bodies one file stays, that of the lowest row of this run."""
        part = self.part(row)
        holder = self._holder.get(entry.sha256)
        ending = _ENDINGS.get(format_name, format_name.lower())
        if holder is None or not os.path.exists(os.path.join(self.folder, holder[1])):
            self._holder[entry.sha256] = (row, self._move(part, row, ending, entry.sha256))
        else:
            os.unlink(part)
            if row < holder[0]:
                held = os.path.join(self.folder, holder[1])
                self._holder[entry.sha256] = (row, self._move(held, row, ending, entry.sha256))
        self.note(Entry(entry.url, self._holder[entry.sha256][1], entry.sha256, entry.size, entry.final_url))

    def note(self, entry: Entry) -> None:
        """Append what was learnt of a URL."""
        try:
            self._file.seek(0, os.SEEK_END)
            self._place[_digest(entry.url)] = self._file.tell()
            self._file.write(json.dumps(asdict(entry)).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}") from None

    def outcomes(self, rows: Iterable[tuple[int, str]]) -> Iterator[Outcome]:
        """The outcome of each row, in their order. The first row with some content is `ok`, later ones are copies."""
        met: set[bytes] = set()
        for row, url in rows:
            entry = self.known(url) if url else Entry("", error="the row has no URL")
            if entry is None:
                yield Outcome(row, url, "pending", "", 0, "", "", "not fetched yet")
            elif entry.error:
                yield Outcome(row, url, "failed" if url else "empty", "", 0, "", "", entry.error, entry.dead)
            else:
                content = bytes.fromhex(entry.sha256)[:16]
                status: Status = "copy" if content in met else "ok"
                met.add(content)
                yield Outcome(row, url, status, entry.sha256, entry.size, entry.final_url, self._file_of(entry), "")

    def write_results(self, rows: Iterable[tuple[int, str]]) -> None:
        """Write results.csv: every row, in their order. Raises OutputError."""
        write_atomic(os.path.join(self.folder, RESULTS), _csv(self.outcomes(rows)))

    def _file_of(self, entry: Entry) -> str:
        # A later row's file may have been given to an earlier row with the same content.
        return self._holder[entry.sha256][1] if entry.sha256 in self._holder else entry.file

    def _move(self, source: str, row: int, ending: str, sha256: str) -> str:
        """Name the file after its row; a name that is taken by other content gets the content's digest added."""
        name = f"{row:06d}.{ending}"
        target = os.path.join(self.folder, name)
        if os.path.lexists(target) and not _has_content(target, sha256):
            name = f"{row:06d}-{sha256[:8]}.{ending}"
            target = os.path.join(self.folder, name)
        try:
            os.replace(source, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror}") from None
        return name

    def _load(self) -> None:
        self._file.seek(0)
        place = 0
        for line in self._file:
            # The last line may have been cut off by a crash; whatever cannot be read is fetched again.
            with contextlib.suppress(ValueError, TypeError):
                entry = Entry(**json.loads(line))
                self._place[_digest(entry.url)] = place
                if entry.file:
                    self._holder[entry.sha256] = (-1, entry.file)
            place += len(line)
            whole = line.endswith(b"\n")
        if place and not whole:
            self._file.write(b"\n")

    def _sweep(self) -> None:
        for name in os.listdir(self.folder):
            if name.startswith(".") and name.endswith(PART):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.folder, name))


def _csv(outcomes: Iterable[Outcome]) -> Iterator[bytes]:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for outcome in outcomes:
        lines.writerow(getattr(outcome, name) for name in COLUMNS)
        yield text.getvalue().encode("utf-8", "surrogateescape")
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _digest(url: str) -> bytes:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()[:16]


def _has_content(path: str, sha256: str) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
