"""A job: its inputs cut into shards once, so that every later run has the same shards and does only what is missing.

job.json              what was asked for; written last, so that it stands for a whole listing
items/000000.parquet  what the shard is to read
prints/000000.parquet what came of it
grays/000000          of ssim: the gray pictures, one after the other
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imkin import image
from imkin.errors import UsageError
from imkin.library import Sample
from imkin.scale.task import Task
from imkin.sources import Filter, listed, shards
from imkin.sources.listed import Listed
from imkin.sources.place import Folder
from imkin.types import Failure

JOB = "job.json"
# Of the files of a work folder; a job that was begun with another one is refused.
LAYOUT = 2


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


def open_job(task: Task) -> Job:
    """The job in a task's work folder, listed now if it is a new one.

    UsageError if the folder holds a job that asked for something else, or if there is nothing to read.
    """
    folder = Folder(task.work)
    asked = {
        "layout": LAYOUT,
        "paths": list(task.paths),
        "references": task.references,
        "method": task.spec.id,
        "decoder": image.VERSION,
        "wanted": _text(task.wanted),
        "limits": _text(task.limits),
        "sample": _text(task.sample),
        "shard": task.shard,
    }
    if folder.has(JOB):
        try:
            told = json.loads(folder.read(JOB))
        except ValueError as error:
            raise UsageError(f"{folder.at(JOB)} is damaged ({error}); choose another --work, or remove it") from None
        if told["asked"] != asked:
            other = ", ".join(name for name, value in asked.items() if told["asked"].get(name) != value)
            raise UsageError(f"{task.work} holds a job with other {other}; choose another --work, or remove it")
        failures = tuple(Failure(**failure) for failure in told["failures"])
        return Job(folder, told["shards"], told["found"], failures)
    return _listed(folder, task, asked)


def _listed(folder: Folder, task: Task, asked: dict[str, Any]) -> Job:
    failures: list[Failure] = []
    count = 0
    sampling = _Sampling(task)
    for count, items in enumerate(_cut(sampling.of(_walk(task)), task.shard, failures), start=1):
        folder.write(items_name(count - 1), shards.items_bytes(items))
    if not sampling.found and not failures:
        raise UsageError(f"no images in {', '.join(task.paths) or 'no paths'}")
    rows = [{"path": each.path, "stage": each.stage, "reason": each.reason} for each in failures]
    told = {"asked": asked, "shards": count, "found": sampling.found, "failures": rows}
    folder.write(JOB, json.dumps(told, indent=1).encode("utf-8", "surrogatepass"))
    return Job(folder, count, sampling.found, tuple(failures))


def _walk(task: Task) -> Iterator[Listed | Failure]:
    return listed.walk(task.paths, task.wanted, max_pixels=task.limits.max_pixels)


class _Sampling:
    """The share of the items that the task asks for, the same as on one machine. found: items met by now."""

    def __init__(self, task: Task) -> None:
        self.found = 0
        self._task = task
        self._chosen: set[int] | None = None
        if task.sample != Sample():
            # Looked at twice, so that no more than the numbers of the sample is held.
            eligible = sum(isinstance(each, Listed) and each.root >= task.references for each in _walk(task))
            self._chosen = set(task.sample.drawn(eligible))

    def of(self, entries: Iterator[Listed | Failure]) -> Iterator[Listed | Failure]:
        """The failures, the references, and the items of the sample."""
        eligible = 0
        for entry in entries:
            if isinstance(entry, Failure):
                yield entry
                continue
            self.found += 1
            if self._chosen is None or entry.root < self._task.references:
                yield entry
                continue
            if eligible in self._chosen:
                yield entry
            eligible += 1


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


def _text(options: Filter | image.Limits | Sample) -> str:
    return hashlib.sha256(repr(options).encode()).hexdigest()[:16]
