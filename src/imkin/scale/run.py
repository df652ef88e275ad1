"""The whole over shards: fingerprints, equals, pairs, and the few images that are kin, as one machine knows them.

What comes out is a `Scan` of those images alone with their `Kin`, so that groups, keepers, reports and plans are made
by the same code as ever; what all the other images were is counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin import grouping, image
from imkin.engine import Always, Blocks, Engine, Lost, Rows, found, read
from imkin.errors import UsageError
from imkin.grouping import Kin
from imkin.join import distinct
from imkin.policy import respect
from imkin.result import Result
from imkin.scale import banding, cells, equals, pictures, tiles
from imkin.scale.fingerprints import Make, Scanner
from imkin.scale.job import SHARD, Job, items_name, open_job, prints_name
from imkin.scale.pairing import Near, PairRows, all_pairs, forest_of, merged
from imkin.scan import Progress, Scan
from imkin.sources import Filter, shards
from imkin.sources.place import Folder
from imkin.types import QUALITY_FLOOR, Failure, File, Pairs, Prints, Spec

Indices = NDArray[np.int64]

# Images that a task begins with, at most, and what the rows that it makes of them may take.
BLOCK = 200_000
TASK_BYTES = 512 << 20
LEAST_PARTS = 4
# Codes by which the plan of a join is chosen, and vectors that cells are trained on.
SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a job found. scanned, kin: of the images that are alike others. images, low_quality: of all of them.

    lost: shards that no worker finished. hot: sizes of buckets that are told of. recall: (pairs that some images
    have, those of them that were found) where the join is not exact.
    """

    scanned: Scan
    kin: Kin
    images: int
    low_quality: tuple[str, ...]
    lost: tuple[Failure, ...]
    hot: tuple[int, ...] = ()
    recall: tuple[int, int] | None = None

    def complete(self, result: Result) -> Result:
        """A result of `scanned` as the result of all images."""
        others = self.images - len(self.scanned.files)
        summary = replace(result.summary, unique_images=result.summary.unique_images + others)
        return replace(result, images=self.images, low_quality=self.low_quality, summary=summary)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found. make: loads the method, once a worker. coarse: vectors within coarse cells only."""

    paths: Sequence[str]
    work: str
    spec: Spec
    make: Make
    threshold: float
    across: bool = False
    references: int = 0
    wanted: Filter = Filter()
    limits: image.Limits = image.Limits()
    gpus_per_worker: float = 0.0
    coarse: bool = False
    shard: int = SHARD


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
    if task.coarse and task.spec.kind != "unit vector":
        raise UsageError(f"--cells goes with methods of vectors, not with `{task.spec.name}`")
    job = open_job(task.work, task.paths, task.spec, wanted=task.wanted, limits=task.limits, shard=task.shard)
    counts, lost = _scanned(job, task, engine, progress)
    images = sum(counts)
    sample = _sample(job.folder, counts)
    bands = _bands(task, equals.bytes_of(sample, "value"), images)
    parts = parts_for(images, 0 if bands is None else bands.row_bytes)
    blocks = equals.blocks_of(job.folder, counts, BLOCK)
    counted = pictures.PIXELS if task.spec.kind == "gray image" else None
    same = equals.merge_equals(engine, blocks, images, parts, by_value=task.spec.kind != "bytes", counted=counted)
    near, forest, recall = _near(task, engine, same, sample, bands, parts, job.folder)
    members = _members(same.same, near.pairs, forest)
    members = np.union1d(members, _decided(job.folder, counts, verdicts or {}))
    scanned, low = _facts(job, engine, counts, members, task.spec, lost)
    kin = _kin(same.same, near.pairs, members, _labels(scanned.root, task))
    return Found(scanned, respect(kin, scanned.files, verdicts or {}), images, low, lost, near.hot, recall)


def _scanned(job: Job, task: Task, engine: Engine, progress: Progress | None) -> tuple[list[int], tuple[Failure, ...]]:
    """Files of each shard, 0 for a lost one, and the lost ones."""
    scanner = Scanner(job.folder, task.make, task.limits)
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


def _near(
    task: Task, engine: Engine, same: equals.Distinct, sample: Rows, bands: banding.Banding | None, parts: int, folder: Folder
) -> tuple[Near, PairRows, tuple[int, int] | None]:
    """All pairs of distinct images, what connects them, and the recall of a join that may lose some."""
    if task.spec.kind == "bytes" or same.count < 2 or not len(sample):
        return all_pairs([]), merged([]), None
    values = equals.bytes_of(sample, "value")
    chosen = None
    near: Blocks[Near]
    if task.coarse:
        chosen = cells.cells_for(task.spec, task.threshold, values.view(np.float32), same.count)
        near = cells.celled(engine, same.rows, chosen, parts)
    elif task.spec.kind == "gray image":
        how = pictures.plan(engine, same.rows, folder, task.threshold)
        near = pictures.compared(engine, same.rows, how, parts_for(same.count, how.row_bytes))
    elif bands is not None:
        near = banding.banded(engine, same.rows, bands, parts)
    else:
        near = tiles.tiled(engine, same.rows, task.spec, task.threshold, same.count, values.shape[1], parts)
    forest = engine.reduce(near.map(Always(forest_of)), merged)
    results = engine.run(near)
    pairs = all_pairs(list(found(results)))
    recall = None if chosen is None else cells.recall(engine, same.rows, chosen, pairs.pairs, sample)
    return pairs, forest, recall


def _bands(task: Task, values: NDArray[np.uint8], count: int) -> banding.Banding | None:
    return (
        None if count <= tiles.FEW or not len(values) else banding.banding_for(task.spec, task.threshold, values, count)
    )


def parts_for(images: int, row_bytes: int) -> int:
    """Parts of a partition of so many images, each of which becomes so many bytes of rows."""
    return max(LEAST_PARTS, -(-images // BLOCK), -(-images * row_bytes // TASK_BYTES))


def _members(same: Indices, pairs: PairRows, forest: PairRows) -> Indices:
    """The images that are alike another: the forest's, and all that equal one of them or each other."""
    leaders = np.zeros(len(same), bool)
    leaders[forest["left"]] = leaders[forest["right"]] = True
    leaders[same[same != np.arange(len(same))]] = True
    assert leaders[pairs["left"]].all() and leaders[pairs["right"]].all(), "the forest connects what the pairs do"  # noqa: S101
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


def _kin(same: Indices, pairs: PairRows, members: Indices, label: Indices | None) -> Kin:
    """The kin of the members, whose numbers are their places among them."""
    leaders, classes = np.unique(same[members], return_inverse=True)
    left, right = np.searchsorted(leaders, pairs["left"]), np.searchsorted(leaders, pairs["right"])
    near = Pairs(left.astype(np.int64), right.astype(np.int64), np.ascontiguousarray(pairs["similarity"]))
    return grouping.find_kin(classes.astype(np.int64), near, label)
