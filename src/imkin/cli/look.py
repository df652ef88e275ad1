"""`imkin rank`, `compare`, `methods` and `demo`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.find import Job
from imkin.cli.find import group as group_command
from imkin.cli.options import Json, Method, Out, Paths, Scale, Search, Setup
from imkin.cli.run import command, finish, logged, report_failures, say, write

if TYPE_CHECKING:
    from imkin.scan import Scan

# Without --out a ranking is for reading.
SHOWN_KIN = 5


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "rank")(rank)
    command(app, "compare")(compare)
    command(app, "methods")(methods)
    command(app, "demo")(demo)


def rank(
    paths: Paths,
    *,
    method: Method,
    query: Annotated[
        list[str] | None, typer.Option("--query", metavar="IMG", help="Only for these images; need not be in PATHS.")
    ] = None,
    top: Annotated[int | None, typer.Option("--top", metavar="K", help="At most so many others.")] = None,
    out: Out = None,
    vectors: Annotated[
        str | None, typer.Option("--vectors", metavar="DIR", help="Also write each fingerprint as .npy.")
    ] = None,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Order all images by their similarity to each (or to --query), the most similar first.

    With --out one JSON file an image, else the five nearest of each as text, or all as JSON lines with --json.
    """
    from imkin.errors import UsageError
    from imkin.report.ranking import display_names, write_rankings, write_vectors

    if top is not None and top < 1:
        raise UsageError(f"--top must be at least 1, not {top}")
    job = Job([*(query or ()), *paths], method, Search())
    shown = SHOWN_KIN if top is None and not (out or as_json) else top
    with logged(setup), setup.library() as library:
        scanned = job.scan(library, setup)
        rows = library.positions(scanned, query) if query else None
        names = display_names([file.path for file in scanned.files], paths)
        rankings = library.rank(scanned, query=rows, top=shown)
        if vectors is not None:
            write_vectors(vectors, names, scanned.prints)
        if out is not None:
            chosen = list(range(len(names))) if rows is None else rows
            write_rankings(out, names, (ranking.kin for ranking in rankings), own=chosen)
            say(f"{len(chosen):,} rankings written to {out}", setup=setup)
        else:
            for ranking in rankings:
                write(_line(scanned, ranking.kin, as_json=as_json))
        report_failures(scanned.failures, setup=setup)
    finish(setup, failures=len(scanned.failures))


def _line(scanned: Scan, kin: tuple[tuple[int, float], ...], *, as_json: bool) -> str:
    from imkin.report.files import one_line
    from imkin.result import rounded

    named = [(scanned.files[at].path, rounded(similarity)) for at, similarity in kin]
    if as_json:
        return json.dumps({"path": named[0][0], "kin": [{"path": p, "similarity": s} for p, s in named[1:]]}) + "\n"
    kin_lines = (f"  {similarity:.4f}  {one_line(path)}\n" for path, similarity in named[1:])
    return "".join([f"{one_line(named[0][0])}\n", *kin_lines])


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An image.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another image.", show_default=False)],
    *,
    diff: Annotated[
        str | None, typer.Option("--diff", metavar="OUT.png", help="Draw both and where they differ.")
    ] = None,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Show how similar two images are by every method, and what they are."""
    from dataclasses import asdict

    from imkin import image
    from imkin.comparison import compare as compare_images
    from imkin.comparison import structure
    from imkin.report.collage import difference
    from imkin.report.files import one_line, write_atomic
    from imkin.result import rounded

    with logged(setup), setup.library() as library:
        found = compare_images(library, a, b)
        if diff is not None:
            left, right = (library.pixels(path, 0) for path in (a, b))
            if left is not None and right is not None:
                write_atomic(
                    diff, [image.encode_png(difference(left, right, names=(a, b), structure=structure(left, right)))]
                )
    if as_json:
        write(json.dumps(asdict(found)) + "\n")
        return
    width = max(len(one_line(side.path)) for side in (found.a, found.b))
    for side in (found.a, found.b):
        write(f"{one_line(side.path):<{width}}  {side.format:<5} {side.width}x{side.height}  {side.bytes:,} bytes\n")
    for method in found.methods:
        verdict = "alike" if method.similarity >= method.threshold else "-"
        write(
            f"  {method.name:<10} {rounded(method.similarity):7.4f}  {verdict:<6} (threshold {method.threshold:.4f})\n"
        )
    if found.ms_ssim is not None:
        write(f"  {'ms-ssim':<10} {rounded(found.ms_ssim):7.4f}\n")


def methods(*, as_json: Json = False) -> None:
    """List the methods to compare by."""
    from imkin import prints
    from imkin.models import default_threshold

    rows = [
        {"name": name, "threshold": round(prints.spec(name).default_threshold, 4), "about": prints.about(name)}
        for name in prints.names()
    ]
    rows += [
        {"name": name, "threshold": round(default_threshold(name), 4), "about": "network; see `imkin models show`"}
        for name in prints.NETWORKS
    ]
    if as_json:
        write(json.dumps(rows) + "\n")
        return
    write(f"{'method':<16}{'threshold':>9}  what it compares\n")
    for row in rows:
        write(f"{row['name']:<16}{row['threshold']:>9}  {row['about']}\n")


def demo(
    folder: Annotated[str, typer.Argument(metavar="[DIR]", help="Where to draw; made, must be empty.")] = "imkin-demo",
    *,
    setup: Setup,
) -> None:
    """Draw a small collection with copies in it, find them, and write the report: a first look, offline."""
    from imkin.demo import write_collection
    from imkin.errors import OutputError

    if os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
        raise OutputError(f"{folder} is there already and not an empty folder; name a new one")
    photos = os.path.join(folder, "photos")
    written = write_collection(photos)
    say(f"{len(written)} files drawn in {photos}", setup=setup)
    out = os.path.join(folder, "report")
    group_command([photos], method=Method(), search=Search(), scale=Scale(), out=out, setup=setup)
