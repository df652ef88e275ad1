"""The functions of `import imkin`: one call each, over a `Library` that lives as long as the call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from imkin.calibration import calibrate as _calibrate
from imkin.calibration import store
from imkin.comparison import Comparison
from imkin.comparison import compare as _compare
from imkin.evaluation import evaluate as _evaluate
from imkin.grouping import Kin, grouping_of
from imkin.image import Limits
from imkin.leakage import Leakage, find_leaks
from imkin.library import DEFAULT_METHOD, Library, Sample, Scope, threshold_of
from imkin.measured import Calibration, Evaluation
from imkin.policy import DEFAULT_RULES, parse_rules
from imkin.result import Pair, Result, VideoResult
from imkin.scale.run import running
from imkin.scale.task import Given, Named, Task
from imkin.scan import Progress, Scan
from imkin.sources import Filter
from imkin.sources.video_frames import Look
from imkin.stills import keep_frames
from imkin.stills_result import BY, Choice, FramesResult
from imkin.stills_result import THRESHOLD as FRAMES_THRESHOLD
from imkin.types import Fingerprinter, Prints
from imkin.videos import THRESHOLD as VIDEOS_THRESHOLD
from imkin.videos import group_videos as _group_videos

Path = str | os.PathLike[str]


def group(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    threshold: float | str | None = None,
    max_bits: int | None = None,
    grouping: str = "transitive",
    turns: bool = False,
    scope: Scope = Scope(),
    sample: Sample = Sample(),
    keep: str = DEFAULT_RULES,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    engine: str = "local",
    work: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Find groups of similar images under folders and files, and suggest which one of each to keep.

    by: a method (`imkin.methods()`), or a fingerprinter of your own. threshold: least similarity of a pair, 0..1,
    or `auto`, as `imkin calibrate --save` found; or max_bits: the most bits of a hash that may differ; default the
    method's own threshold. grouping: transitive, star or clique. turns: also find turned and mirrored copies.
    keep: keep rules. catalogue: a file that remembers fingerprints (`imkin.default_catalogue()` is the command
    line's); None: nothing is remembered. engine: `local`, `processes` or `ray[:ADDRESS]`. work: a folder, or a store's
    URL, that keeps the work in shards, so that it can go on where it stopped; then, and on another engine, of the
    catalogue only decisions count, and the pairs of a group are read when they are asked for.
    Raises ImkinError for what cannot be: a path that is not there, an unknown method, a threshold outside 0..1.
    A file that cannot be read is in `Result.failures`.
    """
    rules, how = parse_rules(keep), grouping_of(grouping)
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        if work is not None or engine != "local":
            task = _task(paths, by, threshold, max_bits, scope, sample, wanted, limits, work, turns=turns)
            with running(task, engine, jobs=jobs, verdicts=library.decisions(), progress=progress) as over:
                references = len(scope.reference)
                return over.group(threshold=task.threshold, grouping=how, references=references, rules=rules)
        scanned, kin, limit = _find(
            library,
            paths,
            by,
            threshold,
            max_bits,
            scope,
            sample,
            progress,
            turns=turns,
            connect_only=how == "transitive",
        )
        return library.group(scanned, kin, threshold=limit, grouping=how, scope=scope, rules=rules)


def pairs(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    threshold: float | str | None = None,
    max_bits: int | None = None,
    turns: bool = False,
    scope: Scope = Scope(),
    sample: Sample = Sample(),
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    engine: str = "local",
    work: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[Pair]:
    """The pairs of similar images, in the order of the files; parameters as in `group`.

    Of a set of over 64 images with one and the same fingerprint, only the pairs of its first image are listed.
    """
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        if work is not None or engine != "local":
            task = _task(paths, by, threshold, max_bits, scope, sample, wanted, limits, work, turns=turns)
            with running(task, engine, jobs=jobs, verdicts=library.decisions(), progress=progress) as over:
                return list(over.pairs())
        scanned, kin, _ = _find(library, paths, by, threshold, max_bits, scope, sample, progress, turns=turns)
        return list(library.pairs(scanned, kin))


def leaks(
    splits: Sequence[Path],
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    labels: Path | Mapping[str, str] | None = None,
    threshold: float | None = None,
    max_bits: int | None = None,
    turns: bool = False,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Leakage:
    """Find images of a data set's later splits that an earlier one has too, and a split without such leaks.

    splits: folders, archives or tables, train first. labels: `folders` for the class folders in each split, a table
    with the columns path and label, or labels by path; then groups whose labels disagree are found, and the repair
    keeps the classes' shares. Other parameters as in `group`.
    """
    limit = threshold_of(by, turns=turns, threshold=threshold, max_bits=max_bits)
    named = os.fspath(labels) if isinstance(labels, str | os.PathLike) else labels
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        return find_leaks(library, _paths(splits), by, threshold=limit, turns=turns, labels=named, progress=progress)


def rank(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    query: Sequence[Path] = (),
    top: int | None = None,
    turns: bool = False,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, list[tuple[str, float]]]:
    """For each image, or each of `query`, all images by falling similarity: {path: [(path, similarity), …]}.

    The image itself comes first, with 1.0. top: so many others at most.
    """
    queries = _paths(query)
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        scanned = library.scan([*queries, *_paths(paths)], by, turns=turns, progress=progress)
        names = [file.path for file in scanned.files]
        rows = library.positions(scanned, queries) if queries else None
        return {
            names[ranking.at]: [(names[at], similarity) for at, similarity in ranking.kin]
            for ranking in library.rank(scanned, query=rows, top=top)
        }


def compare(a: Path, b: Path, *, limits: Limits = Limits()) -> Comparison:
    """Similarity of two images by every method. Raises ImkinError where one of them cannot be read."""
    with Library(limits=limits) as library:
        return _compare(library, os.fspath(a), os.fspath(b))


def fingerprint(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    turns: bool = False,
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Prints:
    """Fingerprints of images in the order given; a folder stands for the images below it.

    A file that cannot be read has no row and is listed in `.failures`; `.paths` names the rows.
    """
    with _library(catalogue, jobs=jobs, limits=limits, wanted=Filter()) as library:
        return library.prints(library.fingerprint(_paths(paths), by, turns=turns, progress=progress))


def calibrate(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter | Iterable[str | Fingerprinter] = (),
    *,
    turns: bool = False,
    false_per_million: float = 1.0,
    pictures: int = 1000,
    edited: int = 60,
    seed: int = 0,
    save: bool | Path = False,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Measure what thresholds mean for your own pictures, and recommend one for each method.

    by: one method or several, default all that can. false_per_million: so many pairs of different pictures may reach
    the recommended threshold. pictures: so many at most are looked at, at random; edited: so many of them are edited,
    in every way, in a temporary folder. save: True keeps it for `threshold="auto"`, a path for `auto:PATH`.
    Raises ImkinError for what cannot be: fewer than 20 different pictures, a method that compares bytes or whole
    pictures.
    """
    methods = list(by) if isinstance(by, Iterable) and not isinstance(by, str) else [by]
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        found = _calibrate(
            library,
            _paths(paths),
            methods,
            turns=turns,
            false_per_million=false_per_million,
            pictures=pictures,
            edited=edited,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    if save:
        store(found, None if save is True else os.fspath(save))
    return found


def evaluate(
    paths: Path | Iterable[Path],
    truth: Path,
    by: str | Fingerprinter = DEFAULT_METHOD,
    *,
    turns: bool = False,
    threshold: float | str | None = None,
    max_bits: int | None = None,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    catalogue: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Hold a method against what is known: precision, recall and F1 by threshold, uAP, and the worst errors.

    truth: a CSV with the columns path and group (and role: query or database; and kind), or `decisions`: the pairs
    that were decided in the catalogue. threshold, max_bits: the one in use, as in `group`. Every pair is compared: the
    cost grows with the square of the images.
    Raises ImkinError for what cannot be: a table that is none, or one that names no two of these images as the same.
    """
    with _library(catalogue, jobs=jobs, limits=limits, wanted=wanted) as library:
        return _evaluate(
            library,
            _paths(paths),
            os.fspath(truth),
            by,
            turns=turns,
            threshold=threshold,
            max_bits=max_bits,
            progress=progress,
        )


def frames(
    videos: Path | Iterable[Path],
    out: Path,
    *,
    by: str = BY,
    threshold: float = FRAMES_THRESHOLD,
    crop: float = 1.0,
    skip: int = 1,
    every_s: float | None = None,
    keyframes: bool = False,
    max_frames: int | None = None,
    together: bool = False,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    jobs: int | None = None,
    progress: Progress | None = None,
) -> FramesResult:
    """Write the frames of videos that are unlike every frame kept before, of each into a folder of its own in `out`.

    videos: files, and folders of them. threshold: a frame this similar to a kept one is left out. crop: the central
    share of the area that is compared; all of it is written. One of: skip, every so many-th frame is looked at;
    every_s, one in each so many seconds; keyframes, key frames only. max_frames: so many are kept of a video at most.
    together: leave out what an earlier video showed. A video that is done already, with the same settings, is passed
    over. Raises ImkinError for what cannot be; a video that cannot be read is in `.failures`.
    """
    choice = Choice(by, threshold, crop, Look(skip, every_s, keyframes), max_frames, together)
    return keep_frames(
        _paths(videos),
        os.fspath(out),
        choice,
        wanted=wanted,
        max_pixels=limits.max_pixels,
        jobs=jobs,
        progress=progress,
    )


def group_videos(
    paths: Path | Iterable[Path],
    *,
    threshold: float = VIDEOS_THRESHOLD,
    wanted: Filter = Filter(),
    limits: Limits = Limits(),
    jobs: int | None = None,
    progress: Progress | None = None,
) -> VideoResult:
    """Find groups of near-duplicate videos among files and in folders, and the stretches that they share.

    threshold: the least similarity of a shared stretch, 0..1. Copies may be trimmed, in gray, with borders or a logo,
    or up to 5 % faster or slower. Raises ImkinError for what cannot be; a video that cannot be read is in `.failures`.
    """
    return _group_videos(
        _paths(paths), threshold=threshold, wanted=wanted, max_pixels=limits.max_pixels, jobs=jobs, progress=progress
    )


def _library(catalogue: Path | None, *, jobs: int | None, limits: Limits, wanted: Filter) -> Library:
    return Library(None if catalogue is None else os.fspath(catalogue), jobs=jobs, limits=limits, wanted=wanted)


def _find(
    library: Library,
    paths: Path | Iterable[Path],
    by: str | Fingerprinter,
    threshold: float | str | None,
    max_bits: int | None,
    scope: Scope,
    sample: Sample,
    progress: Progress | None,
    *,
    turns: bool,
    connect_only: bool = False,
) -> tuple[Scan, Kin, float]:
    limit = threshold_of(by, turns=turns, threshold=threshold, max_bits=max_bits)
    scanned = library.scan(_paths(paths), by, turns=turns, scope=scope, sample=sample, progress=progress)
    return scanned, library.kin(scanned, limit, scope=scope, connect_only=connect_only), limit


def _task(
    paths: Path | Iterable[Path],
    by: str | Fingerprinter,
    threshold: float | str | None,
    max_bits: int | None,
    scope: Scope,
    sample: Sample,
    wanted: Filter,
    limits: Limits,
    work: Path | None,
    *,
    turns: bool,
) -> Task:
    make = Named(by, turns) if isinstance(by, str) else Given(by)
    return Task(
        paths=(*scope.reference, *_paths(paths)),
        work="" if work is None else os.fspath(work),
        spec=make().spec,
        make=make,
        threshold=threshold_of(by, turns=turns, threshold=threshold, max_bits=max_bits),
        across=scope.across,
        references=len(scope.reference),
        wanted=wanted,
        sample=sample,
        limits=limits,
    )


def _paths(paths: Path | Iterable[Path]) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]
