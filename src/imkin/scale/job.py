"""A job: its inputs cut into shards once, so that every later run has the same shards and does only what is missing.

job.json              what was asked for; written last, so that it stands for a whole listing
items/000000.parquet  what the shard is to read
prints/000000.parquet what came of it
grays/000000          of ssim: the gray pictures, one after the other
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imkin import image
from imkin.errors import UsageError
from imkin.sources import Filter, listed, shards
from imkin.sources.listed import Listed
from imkin.sources.place import Folder
from imkin.types import Failure, Spec

# A shard is what a lost worker costs: seconds to minutes of work; a thousand rows make a Parquet file worth its name.
SHARD = 1000
JOB = "job.json"


@dataclass(frozen=True, slots=True)
class Job:
    """A listed job. shards: how many; failures: those met while listing; found: items listed."""

    folder: Folder
    shards: int
    found: int
    failures: tuple[Failure, ...]


def items_name(shard: int) -> str:
    """The file of what a shard is to read."""
    return f"items/{shard:06}.parquet"


def prints_name(shard: int) -> str:
    """The file of what came of a shard."""
    return f"prints/{shard:06}.parquet"


def grays_name(shard: int) -> str:
    """The file of a shard's gray pictures."""
    return f"grays/{shard:06}"


def open_job(
    work: str, paths: Sequence[str], spec: Spec, *, wanted: Filter, limits: image.Limits, shard: int = SHARD
) -> Job:
    """The job in a work folder, listed now if it is a new one.

    UsageError if the folder holds a job that asked for something else, or if there is nothing to read.
    """
    folder = Folder(work)
    asked = {
        "paths": list(paths),
        "method": spec.id,
        "decoder": image.VERSION,
        "wanted": _text(wanted),
        "limits": _text(limits),
        "shard": shard,
    }
    if folder.has(JOB):
        told = json.loads(folder.read(JOB))
        if told["asked"] != asked:
            other = ", ".join(name for name, value in asked.items() if told["asked"].get(name) != value)
            raise UsageError(f"{work} holds a job with other {other}; choose another --work, or remove it")
        failures = tuple(Failure(**failure) for failure in told["failures"])
        return Job(folder, told["shards"], told["found"], failures)
    return _listed(folder, paths, wanted, shard, asked)


def _listed(folder: Folder, paths: Sequence[str], wanted: Filter, size: int, asked: dict[str, Any]) -> Job:
    failures: list[Failure] = []
    count = found = 0
    for count, items in enumerate(_cut(listed.walk(paths, wanted), size, failures), start=1):
        folder.write(items_name(count - 1), shards.items_bytes(items))
        found += len(items)
    if not found and not failures:
        raise UsageError(f"no images in {', '.join(paths) or 'no paths'}")
    rows = [{"path": each.path, "stage": each.stage, "reason": each.reason} for each in failures]
    told = {"asked": asked, "shards": count, "found": found, "failures": rows}
    folder.write(JOB, json.dumps(told, indent=1).encode("utf-8", "surrogatepass"))
    return Job(folder, count, found, tuple(failures))


def _cut(entries: Iterator[Listed | Failure], size: int, failures: list[Failure]) -> Iterator[list[Listed]]:
    items: list[Listed] = []
    for entry in entries:
        if isinstance(entry, Failure):
            failures.append(entry)
            continue
        items.append(entry)
        if len(items) == size:
            yield items
            items = []
    if items:
        yield items


def _text(options: Filter | image.Limits) -> str:
    return hashlib.sha256(repr(options).encode()).hexdigest()[:16]
