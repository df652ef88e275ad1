"""`imkin calibrate` and `imkin evaluate`: what a threshold means, and how right the answers are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Json, MaxBits, Method, Out, Paths, Setup, Threshold
from imkin.cli.run import command, finish, logged, progress_bar, say, write

if TYPE_CHECKING:
    from imkin.library import Library
    from imkin.measured import Calibration, Evaluation, Point, Score

MANY_BY = Annotated[
    list[str] | None,
    typer.Option(
        "--by", metavar="METHOD", help="One method, as often as wanted; default: all that can.", show_default=False
    ),
]
NoReport = Annotated[bool, typer.Option("--no-report", help="Write no page.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "calibrate")(calibrate)
    command(app, "evaluate")(evaluate)


def calibrate(
    paths: Paths,
    *,
    by: MANY_BY = None,
    turns: Annotated[bool, typer.Option("--turns", help="For `--turns` of other commands.")] = False,
    false_per_million: Annotated[
        float, typer.Option("--false-per-million", metavar="X", help="Recommend thresholds for so many false pairs.")
    ] = 1.0,
    pictures: Annotated[
        int, typer.Option("--pictures", metavar="N", help="Look at N pictures at most, at random.")
    ] = 1000,
    edited: Annotated[int, typer.Option("--edited", metavar="N", help="Edit N of them, in every way.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random choice.")] = 0,
    save: Annotated[bool, typer.Option("--save", help="Keep it for --threshold auto.")] = False,
    out: Out = None,
    no_report: NoReport = False,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Measure what thresholds mean for your own pictures, and recommend one for each method.

    Edits a sample of the pictures in memory and in a temporary folder; your files are only read. Writes
    calibration.json and calibration.html to --out (default imkin-out/<time>; with --json only where --out says).
    """
    from imkin.calibration import calibrate as measure
    from imkin.calibration import store
    from imkin.report import folder as report_folder

    now = datetime.now().astimezone()
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        library = stack.enter_context(setup.library())
        with_report = out is not None or not (as_json or no_report)
        target = stack.enter_context(report_folder.prepared(out, now=now)) if with_report else None
        with progress_bar(setup) as progress:
            found = measure(
                library,
                paths,
                by or (),
                turns=turns,
                false_per_million=false_per_million,
                pictures=pictures,
                edited=edited,
                seed=seed,
                jobs=setup.jobs,
                progress=progress,
            )
        if target is not None:
            _write_calibration(target, found, paths, now, library)
        if save:
            say(f"saved for --threshold auto: {store(found)}", setup=setup)
        for line in [_json(found)] if as_json else _calibration_lines(found):
            write(line)
        if target is not None:
            say(f"report: {os.path.join(target, 'calibration.html')}", setup=setup)


def _json(found: object) -> str:
    return json.dumps(asdict(found)) + "\n"  # type: ignore[call-overload]


def _write_calibration(folder: str, found: Calibration, paths: list[str], now: datetime, library: Library) -> None:
    from imkin.report.calibration import write_calibration
    from imkin.report.files import write_atomic

    write_calibration(
        os.path.join(folder, "calibration.html"),
        found,
        folders=paths,
        made=now.strftime("%Y-%m-%d %H:%M"),
        thumbnail=thumbnails(library),
    )
    write_atomic(os.path.join(folder, "calibration.json"), [_json(found).encode()])


def thumbnails(library: Library) -> Callable[[str], bytes | None]:
    """Small JPEGs of files, for a page."""
    from imkin import image
    from imkin.report.folder import THUMBNAIL_SIDE

    def thumbnail(path: str) -> bytes | None:
        pixels = library.pixels(path, THUMBNAIL_SIDE)
        if pixels is None:
            return None
        return image.encode_jpeg(image.thumbnail(pixels, side=2 * THUMBNAIL_SIDE), quality=75)

    return thumbnail


def _calibration_lines(found: Calibration) -> Iterator[str]:
    from imkin.report.calibration import tail_note

    pairs = found.methods[0].pairs if found.methods else 0
    yield f"{found.pictures:,} pictures, {pairs:,} pairs of different ones; "
    yield f"{found.edited:,} pictures edited in {len(found.edits)} ways\n"
    if found.likely_same:
        yield f"{len(found.likely_same):,} pairs are likely copies and left out of the false ones\n"
    yield f"\nfor {found.false_per_million:g} false pairs in a million        |  at the method's own threshold\n"
    head = f"{'threshold':>10}{'found':>8}{'false/million':>15}"
    yield f"{'method':<10}{head}  | {head}\n"
    for method in found.methods:
        left = _cells(method.recommended) if method.recommended else f"{'none':>10}{'':>23}"
        yield f"{method.name:<10}{left}  | {_cells(method.own)}\n"
    yield f"\n{'edits found':<12}" + "".join(f"{method.name:>9}" for method in found.methods) + "\n"
    for edit in found.edits:
        shares = (method.recall.get(edit) for method in found.methods)
        yield f"{edit:<12}" + "".join(f"{'-' if share is None else format(share, '.0%'):>9}" for share in shares) + "\n"
    yield "".join(f"\n{name} is left out: it {reason}" for name, reason in found.left_out.items())
    yield f"\n{tail_note(found)}\n"


def _cells(point: Point) -> str:
    from imkin.report.calibration import rate_text

    return f"{point.threshold:>10.4f}{point.recall:>8.1%}{rate_text(point):>15}"


def evaluate(
    paths: Paths,
    *,
    truth: Annotated[
        str,
        typer.Option(
            "--truth",
            metavar="CSV|decisions",
            help="A CSV with the columns path and group (and role, kind); or what you decided with `imkin mark`.",
            show_default=False,
        ),
    ],
    method: Method,
    threshold: Threshold = None,
    max_bits: MaxBits = None,
    out: Out = None,
    no_report: NoReport = False,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Hold a method against what is known: precision, recall and F1 by threshold, uAP, and the worst errors.

    Writes evaluation.json and evaluation.html, with the worst errors side by side, to --out (default
    imkin-out/<time>; with --json only where --out says). Every pair is compared: the cost grows with the square.
    """
    from imkin.evaluation import evaluate as measure
    from imkin.report import folder as report_folder

    now = datetime.now().astimezone()
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        library = stack.enter_context(setup.library())
        with_report = out is not None or not (as_json or no_report)
        target = stack.enter_context(report_folder.prepared(out, now=now)) if with_report else None
        with progress_bar(setup) as progress:
            found = measure(
                library,
                paths,
                truth,
                method.fingerprinter(),
                turns=method.turns,
                threshold=threshold,
                max_bits=max_bits,
                progress=progress,
            )
        if target is not None:
            _write_evaluation(target, found, paths, truth, now, library)
        for line in [_json(found)] if as_json else _evaluation_lines(found):
            write(line)
        if target is not None:
            say(f"report: {os.path.join(target, 'evaluation.html')}", setup=setup)
    finish(setup, failures=found.missing)


def _write_evaluation(
    folder: str, found: Evaluation, paths: list[str], truth: str, now: datetime, library: Library
) -> None:
    from imkin.report.evaluation import write_evaluation
    from imkin.report.files import write_atomic

    about = {
        "Folders": ", ".join(paths),
        "Truth": truth,
        "Method": found.method,
        "Made": now.strftime("%Y-%m-%d %H:%M"),
    }
    write_evaluation(os.path.join(folder, "evaluation.html"), found, about=about, thumbnail=thumbnails(library))
    write_atomic(os.path.join(folder, "evaluation.json"), [_json(found).encode()])


def _evaluation_lines(found: Evaluation) -> Iterator[str]:
    from imkin.report.evaluation import few_note

    counts = f"{found.true_pairs:,} true pairs, {found.false_pairs:,} false ones"
    yield f"{found.method}: {found.images:,} images, {counts}\n"
    if found.unknown or found.missing:
        yield f"{found.unknown:,} images are not in the truth; {found.missing:,} rows of the truth have no image\n"
    yield f"\nuAP {found.uap:.4f}   recall {found.recall_at_fpr:.4f} at {found.fpr:g} false pairs "
    yield f"(similarity over {found.fpr_threshold:.4f})\n"
    if note := few_note(found):
        yield f"{note}\n"
    yield f"\n{'threshold':>9}{'precision':>11}{'recall':>9}{'F1':>9}{'true':>10}{'false':>12}\n"
    yield f"{_score_cells(found.at)}  in use\n{_score_cells(found.best)}  best F1\n"
    yield from (f"{_score_cells(score)}\n" for score in found.thresholds)
    if found.recall_by_kind:
        yield f"\nrecall at {found.fpr:g} false pairs, by kind\n"
        yield from (f"{kind:<16}{share:>7.1%}\n" for kind, share in found.recall_by_kind.items())


def _score_cells(score: Score) -> str:
    precision = "-" if score.precision is None else f"{score.precision:.4f}"
    cells = f"{score.threshold:>9.4f}{precision:>11}{score.recall:>9.4f}{score.f1:>9.4f}"
    return f"{cells}{score.true_found:>10,}{score.false_found:>12,}"
