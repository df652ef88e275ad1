"""`imkin leaks`: near-duplicates across the splits of a data set, for a person and for CI."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.find import Job
from imkin.cli.options import Json, MaxBits, Method, Search, Setup, Threshold
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.leakage import Conflict, Leakage
    from imkin.report.junit import Case, Outcome

# Of a group with conflicting labels, as many images as fit a glance; --json has all.
SHOWN_MEMBERS = 6
SHOWN_SHARES = 6


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "leaks")(leaks)


def leaks(
    splits: Annotated[
        list[str],
        typer.Argument(metavar="TRAIN TEST…", help="The splits: folders, archives or tables.", show_default=False),
    ],
    *,
    method: Method,
    threshold: Threshold = None,
    max_bits: MaxBits = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="folders|FILE",
            help="Labels: the folders in each split, or a table with the columns path and label.",
        ),
    ] = None,
    max_leaks: Annotated[
        int, typer.Option("--max-leaks", metavar="N", min=0, help="Exit with 1 if there are more leaks than this.")
    ] = 0,
    max_conflicts: Annotated[
        int | None,
        typer.Option("--max-conflicts", metavar="N", min=0, help="Exit with 1 if there are more label conflicts."),
    ] = None,
    split_out: Annotated[
        str | None,
        typer.Option("--split-out", metavar="FILE", help="Write a repaired split: path,was,split,label as CSV."),
    ] = None,
    junit: Annotated[
        str | None, typer.Option("--junit", metavar="FILE", help="Write the findings as JUnit XML, for a CI server.")
    ] = None,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """List images of a data set's later splits that an earlier one has too, and propose a split without.

    Images in groups whose labels disagree are listed with --labels. Changes no image. Exits with 1 past --max-leaks.
    """
    from imkin.leakage import find_leaks

    job = Job(splits, method, Search(threshold=threshold, max_bits=max_bits))
    _check_outputs(split_out, junit)
    with logged(setup), setup.library() as library:
        with progress_bar(setup) as progress:
            found = find_leaks(
                library, splits, job.by, threshold=job.threshold, turns=job.turns, labels=labels, progress=progress
            )
        limits = {"leaks": max_leaks, "conflicts": max_conflicts}
        past = _past(found, limits)
        _write_outputs(found, past, split_out, junit)
        for line in [json.dumps(found.to_dict()) + "\n"] if as_json else _lines(found):
            write(line)
        report_failures(found.failures, setup=setup)
        for text in _summary(found, split_out):
            say(text, setup=setup)
    finish(setup, failures=len(found.failures), found=bool(past))


def _past(found: Leakage, limits: dict[str, int | None]) -> set[str]:
    """Of which kind of finding there are more than the limit."""
    counts = {"leaks": len(found.leaks), "conflicts": len(found.conflicts)}
    return {kind for kind, limit in limits.items() if limit is not None and counts[kind] > limit}


def _check_outputs(split_out: str | None, junit: str | None) -> None:
    from imkin.errors import OutputError

    if split_out and os.path.lexists(split_out):
        raise OutputError(f"cannot write {split_out}: there is something of that name; nothing is overwritten")
    # A report of an earlier run is replaced, as every test runner does it; anything else is not.
    if junit and os.path.lexists(junit) and not _is_junit(junit):
        raise OutputError(f"cannot write {junit}: there is something else of that name; nothing is overwritten")
    for path in filter(None, (split_out, junit)):
        if not os.path.isdir(folder := os.path.dirname(path) or "."):
            raise OutputError(f"cannot write {path}: there is no folder {folder}")


def _is_junit(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return b"<testsuite" in file.read(1000)


def _write_outputs(found: Leakage, past: set[str], split_out: str | None, junit: str | None) -> None:
    from imkin.report.csv import table_lines
    from imkin.report.files import name_bytes, write_atomic
    from imkin.report.junit import junit_lines

    if junit:
        write_atomic(junit, map(name_bytes, junit_lines("imkin leaks", _cases(found, past))))
    if split_out:
        rows = ((image.path, image.was, image.split, image.label or "") for image in found.repair.images)
        write_atomic(split_out, map(name_bytes, table_lines(("path", "was", "split", "label"), rows)))


def _cases(found: Leakage, past: set[str]) -> Iterator[Case]:
    from imkin.report.junit import Case

    def outcome(kind: str) -> Outcome:
        return "failure" if kind in past else "skipped"

    if not found.leaks:
        yield Case("no near-duplicates across splits", "imkin.leaks")
    for leak in found.leaks:
        text = f"near-duplicate of {leak.twin} in {leak.twin_split}, similarity {_similarity(leak.similarity)}"
        yield Case(leak.path, f"imkin.leaks.{leak.split}", outcome("leaks"), text)
    for conflict in found.conflicts:
        members = "; ".join(_member_lines(conflict))
        text = f"near-duplicates with the labels {', '.join(conflict.labels)}: {members}"
        yield Case(conflict.members[0].path, "imkin.labels", outcome("conflicts"), text)
    for failure in found.failures:
        yield Case(failure.path, "imkin.unreadable", "skipped", f"{failure.stage}: {failure.reason}")


def _similarity(value: float) -> str:
    from imkin.result import rounded

    return f"{rounded(value):.4f}"


def _lines(found: Leakage) -> Iterator[str]:
    """The leaks and the conflicts, for a person."""
    for leak in found.leaks:
        yield f"leak {_similarity(leak.similarity)}  {leak.path}  is in {leak.twin_split}: {leak.twin}\n"
    for conflict in found.conflicts:
        yield f"labels {', '.join(conflict.labels)} in one group of {len(conflict.members):,}:\n"
        yield from (f"  {line}\n" for line in _member_lines(conflict))


def _member_lines(conflict: Conflict) -> Iterator[str]:
    for member in conflict.members[:SHOWN_MEMBERS]:
        yield f"{member.label or '(no label)'}: {member.path}"
    if len(conflict.members) > SHOWN_MEMBERS:
        yield f"… and {len(conflict.members) - SHOWN_MEMBERS:,} more"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _summary(found: Leakage, split_out: str | None) -> Iterator[str]:
    images = ", ".join(f"{name} {count:,}" for name, count in found.splits.items())
    leaks, conflicts = _counted(len(found.leaks), "leak"), _counted(len(found.conflicts), "group")
    yield f"{images} images: {leaks}, {conflicts} with conflicting labels"
    if found.low_quality:
        yield f"{len(found.low_quality):,} too blank or small, compared by their bytes alone"
    if found.unlabelled:
        yield f"{found.unlabelled:,} images have no label"
    moves, unkept = found.repair.moves, found.repair.unkept
    if moves:
        where = f": {split_out}" if split_out else " (--split-out writes it)"
        yield f"a split without leaks moves {_counted(len(moves), 'image')}{where}"
    for share in unkept[:SHOWN_SHARES]:
        name = share.split if share.label is None else f"{share.label} in {share.split}"
        yield f"  its share of {name} changes from {share.before:.1%} to {share.after:.1%}: no better split was found"
    if len(unkept) > SHOWN_SHARES:
        yield f"  … and {len(unkept) - SHOWN_SHARES:,} more shares change by over 1 % (--json has all)"
