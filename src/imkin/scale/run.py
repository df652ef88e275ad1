"""The whole over shards: fingerprints, equals, pairs, and the few images that are kin, as one machine knows them.

What comes out is a `Scan` of those images alone with their `Kin`, so that groups, keepers, reports and plans are made
by the same code as ever; what all the other images were is counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin.engine import Blocks, Engine, Lost, Rows, found, open_engine, read
from imkin.errors import UsageError
from imkin.join import distinct
from imkin.scale import equals, pictures
from imkin.scale.fingerprints import Scanner
from imkin.scale.job import Job, items_name, open_job, prints_name
from imkin.scale.joining import BLOCK, Join
from imkin.scale.outcome import Found
from imkin.scale.pairing import PairRows, pair_rows
from imkin.scale.task import SHARD, Task
from imkin.scan import Progress, Scan
from imkin.sources import shards
from imkin.sources.place import Folder
from imkin.types import QUALITY_FLOOR, Failure, File, Prints, Spec

Indices = NDArray[np.int64]

# Threads of a worker with a graphics processor: decoding a batch takes longer than its network.
GPU_THREADS = 4
# Codes by which the plan of a join is chosen, and vectors that cells are trained on.
SAMPLE = 20_000


@contextmanager
def running(
    task: Task,
    engine: str,
    *,
    jobs: int | None = None,
    verdicts: Mapping[tuple[str, str], str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Found]:
    """What `find` finds on the engine of a name, to be asked inside the `with`. A work of "" is gone after it.

    Raises UsageError where the workers of other machines would need a work folder that is kept, and as `find` does.
    """
    with ExitStack() as stack:
        opened = open_engine(engine, jobs=jobs)
        stack.callback(opened.close)
        if not task.work:
            if not opened.here():
                raise UsageError(f"--engine {engine} has workers on other machines: give --work DIR that all reach")
            task = replace(task, work=stack.enter_context(tempfile.TemporaryDirectory(prefix="imkin-")))
        yield find(task, opened, verdicts=verdicts, progress=progress)


def find(
    task: Task,
    engine: Engine,
    *,
    verdicts: Mapping[tuple[str, str], str] | None = None,
    progress: Progress | None = None,
) -> Found:
    """Scan what is missing, and find what is alike. paths: the references first.

    Raises UsageError for --cells of a method without vectors, and as `open_job` and `Engine` do.
    """
    if task.across and len(task.paths) < 2:
        raise UsageError("comparing across folders needs at least two of them")
    if task.coarse and task.spec.kind != "unit vector":
        raise UsageError(f"--cells goes with methods of vectors, not with `{task.spec.name}`")
    job = open_job(task)
    counts, lost = _scanned(job, task, engine, progress)
    images = sum(counts)
    sample = _sample(job.folder, counts)
    join = Join(task, engine, job.folder, sample, images)
    blocks = equals.blocks_of(job.folder, counts, BLOCK)
    counted = pictures.PIXELS if task.spec.kind == "gray image" else None
    by_value = task.spec.kind != "bytes"
    same = equals.merge_equals(engine, blocks, images, join.parts, by_value=by_value, counted=counted)
    joined, recall = join.run(same, counts)
    tree = joined.forest(engine)
    members = np.union1d(_members(same.same, tree), _decided(job.folder, counts, verdicts or {}))
    scanned, low = _facts(job, engine, counts, members, task.spec, lost)
    leaders, classes = np.unique(same.same[members], return_inverse=True)
    left, right = (np.searchsorted(leaders, tree[side]) for side in ("left", "right"))
    return Found(
        scanned,
        classes.astype(np.int64),
        leaders,
        joined,
        pair_rows(left, right, tree["similarity"]),
        _labels(scanned.root, task),
        verdicts or {},
        images,
        low,
        lost,
        recall,
    )


def _scanned(job: Job, task: Task, engine: Engine, progress: Progress | None) -> tuple[list[int], tuple[Failure, ...]]:
    """Files of each shard, 0 for a lost one, and the lost ones."""
    threads = GPU_THREADS if task.gpus_per_worker else 1
    scanner = Scanner(job.folder, task.make, task.limits, task.wanted.allow_private, threads)
    counts: list[int] = []
    lost: list[Failure] = []
    for shard, result in enumerate(engine.run(Blocks(range(job.shards)).map(scanner, gpus=task.gpus_per_worker))):
        if isinstance(result, Lost):
            name = job.folder.at(items_name(shard))
            lost.append(Failure(name, "read", f"no worker finished this shard: {result.reason}"))
            counts.append(0)
        else:
            counts.append(result[0])
        if progress:
            progress("reading shards", shard + 1, job.shards)
    return counts, tuple(lost)


def _sample(folder: Folder, counts: Sequence[int]) -> Rows:
    """Some SAMPLE good rows from shards that are evenly spaced."""
    full = [(shard, first) for shard, first in zip(range(len(counts)), _firsts(counts), strict=True) if counts[shard]]
    step = max(1, len(full) * SHARD // SAMPLE)
    load = equals.Load(folder)
    rows = [load([each]) for each in full[::step]]
    if not rows:
        return np.empty(0, equals.row_type(8))
    some = np.concatenate(rows)
    some = some[some["good"]]
    first, _ = distinct(equals.bytes_of(some, "value"))
    sampled: Rows = some[first]
    return sampled


def _firsts(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts).tolist()][:-1]


def _members(same: Indices, tree: PairRows) -> Indices:
    """The images that are alike another: the tree's, and all that equal one of them or each other."""
    leaders = np.zeros(len(same), bool)
    leaders[tree["left"]] = leaders[tree["right"]] = True
    leaders[same[same != np.arange(len(same))]] = True
    return np.flatnonzero(leaders[same])


def _decided(folder: Folder, counts: Sequence[int], verdicts: Mapping[tuple[str, str], str]) -> Indices:
    """The images of contents that a person decided about; they may be kin without being alike."""
    if not verdicts:
        return np.empty(0, np.int64)
    wanted = np.frombuffer(bytes.fromhex("".join(sorted({name for pair in verdicts for name in pair}))), "V32")
    made = [np.empty(0, np.int64)]
    for shard, first in enumerate(_firsts(counts)):
        if counts[shard]:
            sha256 = shards.prints_of(folder.read(prints_name(shard)))[0]
            made.append(first + np.flatnonzero(np.isin(np.ascontiguousarray(sha256).view("V32").reshape(-1), wanted)))
    return np.concatenate(made)


@dataclass(frozen=True, slots=True)
class _ShardFacts:
    """What a result tells of a shard's files: those at some places, the paths of poor ones, the failures."""

    files: list[File]
    root: Indices
    quality: NDArray[np.float32]
    low: list[str]
    failures: list[Failure]


@dataclass(frozen=True, slots=True)
class _ReadFacts:
    folder: Folder

    def __call__(self, wanted: tuple[int, Indices]) -> _ShardFacts:
        data = self.folder.read(prints_name(wanted[0]))
        _, quality, root, _ = shards.prints_of(data)
        places = wanted[1]
        low = [file.path for file in shards.files_of(data, np.flatnonzero(quality < QUALITY_FLOOR).tolist())]
        files = shards.files_of(data, places.tolist())
        return _ShardFacts(files, root[places], quality[places], low, shards.failures_of(data))


def _facts(
    job: Job, engine: Engine, counts: Sequence[int], members: Indices, spec: Spec, lost: Sequence[Failure]
) -> tuple[Scan, tuple[str, ...]]:
    """The members as a scan, and the paths of all images of low quality."""
    missing = {failure.path for failure in lost}
    items = []
    for shard, first in enumerate(_firsts(counts)):
        if job.folder.at(items_name(shard)) not in missing:
            inside = members[np.searchsorted(members, first) : np.searchsorted(members, first + counts[shard])]
            items.append((shard, inside - first))
    facts = list(found(engine.run(read(_ReadFacts(job.folder), items))))
    files = tuple(file for each in facts for file in each.files)
    failures = (*job.failures, *lost, *(failure for each in facts for failure in each.failures))
    root = np.concatenate([np.empty(0, np.int64), *(each.root for each in facts)])
    quality = np.concatenate([np.empty(0, np.float32), *(each.quality for each in facts)])
    prints = Prints(spec, np.empty((len(files), 0), np.uint8), quality, tuple(file.path for file in files), failures)
    scanned = Scan(files, root, prints, failures, job.found, sum(counts), 0, 0)
    return scanned, tuple(path for each in facts for path in each.low)


def _labels(root: Indices, task: Task) -> Indices | None:
    if task.references:
        return (root < task.references).astype(np.int64)
    return root if task.across else None
