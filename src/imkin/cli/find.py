"""`imkin group` and `imkin pairs`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli import film, scaled
from imkin.cli.lay import CopyTo, IntoExisting, LinkTo, MoveTo, Singles, lay_out, layout_of
from imkin.cli.options import Bundle, FailIfFound, GroupingName, Json, Method, Out, Paths, Scale, Search, Setup
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.grouping import Kin
    from imkin.library import Library
    from imkin.report.json import Run
    from imkin.result import Group, Pair, Result
    from imkin.scan import Progress, Scan
    from imkin.types import Pixels

# What a person takes in at a glance; the report has all.
SHOWN_GROUPS = 12
SHOWN_MEMBERS = 6


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "group")(group)
    command(app, "pairs")(pairs)


def group(
    paths: Paths,
    *,
    method: Method,
    search: Search,
    grouping: GroupingName = "transitive",
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="RULES", help="Which file to suggest as keeper.")
    ] = None,
    out: Out = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report folder.")] = False,
    max_pairs_for_collage: Annotated[int, typer.Option(metavar="N", min=0, help="Pairs in collage.jpg.")] = 20,
    videos: Annotated[
        bool, typer.Option("--videos", help="Find near-duplicate videos instead, and what they share.")
    ] = False,
    copy_to: CopyTo = None,
    move_to: MoveTo = None,
    link_to: LinkTo = None,
    singles: Singles = False,
    into_existing: IntoExisting = False,
    bundle: Bundle = True,
    as_json: Json = False,
    fail_if_found: FailIfFound = False,
    scale: Scale,
    setup: Setup,
) -> None:
    """Find groups of similar images, and suggest which one of each to keep.

    Writes a report to --out (default imkin-out/<time>; with --json only where --out says). Changes no image, except
    with --move-to, which can be undone.
    """
    from imkin.errors import UsageError
    from imkin.grouping import grouping_of
    from imkin.policy import DEFAULT_RULES, parse_rules
    from imkin.report import folder as report_folder
    from imkin.report.json import result_json

    if videos:
        if not scaled.plain(scale):
            raise UsageError("--engine, --work and --cells go with images, not with --videos")
        _check_for_videos(method, search, grouping, keep, copy_to, move_to, link_to, singles=singles)
        film.group_videos(
            paths,
            threshold=search.number(),
            out=out,
            no_report=no_report,
            as_json=as_json,
            fail_if_found=fail_if_found,
            setup=setup,
        )
        return
    now = datetime.now().astimezone()
    job = Job(paths, method, search)
    how, rules = grouping_of(grouping), parse_rules(keep or DEFAULT_RULES)
    layout = layout_of(copy_to, move_to, link_to, singles=singles, into_existing=into_existing, setup=setup)
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        library = stack.enter_context(setup.library())
        with_report = out is not None or not (as_json or no_report)
        target = stack.enter_context(report_folder.prepared(out, now=now)) if with_report else None
        if singles and not scaled.plain(scale):
            raise UsageError("--singles lays out images that are like no other, which a job over shards only counts")
        over = stack.enter_context(scaled.find(job, scale, method, library, setup))
        scanned = over.scanned if over else job.scan(library, setup)
        found: Sequence[Pair] | Iterator[Pair]
        if over:
            references = len(job.scope.reference)
            result = over.group(threshold=job.threshold, grouping=how, references=references, rules=rules)
            found = over.pairs() if target is not None else ()
        else:
            kin = job.kin(library, scanned, connect_only=how == "transitive")
            result = library.group(scanned, kin, threshold=job.threshold, grouping=how, scope=job.scope, rules=rules)
            found = library.pairs(scanned, kin)
        if target is not None:
            with progress_bar(setup) as progress:
                report_folder.write_report(
                    target,
                    result,
                    job.facts(now, scanned),
                    pairs=found,
                    load=_counted(library, progress, sum(len(group.members) for group in result.groups)),
                    collage_pairs=max_pairs_for_collage,
                    seed=search.seed,
                )
        for line in result_json(result) if as_json else table(result):
            write(line)
        report_failures(result.failures, setup=setup)
        if layout is not None:
            lay_out(layout, result, scanned, references=len(job.scope.reference), bundle=bundle, setup=setup)
        if target is not None:
            say(f"report: {os.path.join(target, 'report.html')}", setup=setup)
    scaled.check_lost(over)
    finish(setup, failures=len(result.failures), found=fail_if_found and bool(result.groups))


def _check_for_videos(
    method: Method,
    search: Search,
    grouping: str,
    keep: str | None,
    *targets: str | None,
    singles: bool,
) -> None:
    """UsageError for an option that says something about images."""
    from imkin.errors import UsageError

    given = (
        [field.name for field in fields(method) if getattr(method, field.name) != field.default]
        + [f.name for f in fields(search) if f.name != "threshold" and getattr(search, f.name) != f.default]
        + ["grouping"] * (grouping != "transitive")
        + ["keep"] * (keep is not None)
        + ["singles"] * singles
        + [f"{name}_to" for name, target in zip(("copy", "move", "link"), targets, strict=True) if target is not None]
    )
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} goes with images, not with --videos")


def pairs(
    paths: Paths,
    *,
    method: Method,
    search: Search,
    as_json: Json = False,
    fail_if_found: FailIfFound = False,
    scale: Scale,
    setup: Setup,
) -> None:
    """List the pairs of similar images as CSV (a,b,similarity) or, with --json, as JSON lines."""
    from imkin.report.csv import csv_lines
    from imkin.report.json import json_lines

    job = Job(paths, method, search)
    with logged(setup), setup.library() as library, scaled.find(job, scale, method, library, setup) as over:
        scanned = over.scanned if over else job.scan(library, setup)
        found = over.pairs() if over else library.pairs(scanned, kin := job.kin(library, scanned))
        any_found = over.found if over else kin.found
        for line in json_lines(found) if as_json else csv_lines(found):
            write(line)
        report_failures(scanned.failures, setup=setup)
    scaled.check_lost(over)
    finish(setup, failures=len(scanned.failures), found=fail_if_found and any_found)


class Job:
    """What a command over files was asked to compare, checked before any file is touched."""

    def __init__(self, paths: list[str], method: Method, search: Search) -> None:
        from imkin.library import Sample, Scope, threshold_of

        self.paths, self.by, self.turns = paths, method.fingerprinter(), method.turns
        self.threshold = threshold_of(self.by, turns=method.turns, threshold=search.threshold, max_bits=search.max_bits)
        self.scope = Scope(across=search.across, reference=tuple(search.reference or ()))
        self.sample = Sample(search.sample, search.seed)

    def scan(self, library: Library, setup: Setup) -> Scan:
        """Scan with a progress bar, and say on stderr what came of it."""
        with progress_bar(setup) as progress:
            scanned = library.scan(
                self.paths, self.by, turns=self.turns, scope=self.scope, sample=self.sample, progress=progress
            )
        say(
            f"{len(scanned.files):,} images: {scanned.made:,} fingerprints made, {scanned.reused:,} reused, "
            f"{scanned.copied:,} known from equal files",
            setup=setup,
        )
        if scanned.passed:
            say(f"not entered: {scanned.passed} in folders; name them to take in what they hold", setup=setup)
        return scanned

    def kin(self, library: Library, scanned: Scan, *, connect_only: bool = False) -> Kin:
        """What is alike in a scan."""
        return library.kin(scanned, self.threshold, scope=self.scope, connect_only=connect_only)

    def facts(self, now: datetime, scanned: Scan) -> Run:
        """What the report says about the run."""
        from imkin.report.json import Run

        return Run(
            timestamp=now,
            folder_list=(*self.scope.reference, *self.paths),
            total_images_in_folders=scanned.found,
            compare_mode="full" if self.sample.ratio == 1.0 else "sample",
            sample_ratio=self.sample.ratio,
            compare_scope="inter_folder" if self.scope.across or self.scope.reference else "all",
        )


def _counted(library: Library, progress: Progress | None, total: int) -> Callable[[str, int], Pixels | None]:
    """The library's pixels, with progress."""
    done = 0

    def load(path: str, side: int) -> Pixels | None:
        nonlocal done
        done += 1
        if progress:
            progress("drawing the report", min(done, total), total)
        return library.pixels(path, side)

    return load


def table(result: Result) -> Iterator[str]:
    """The groups, shortened, and the summary, for a person."""
    from imkin.report.html import byte_size

    largest = sorted(enumerate(result.groups, 1), key=lambda pair: (-len(pair[1].members), pair[0]))
    for number, found in sorted(largest[:SHOWN_GROUPS]):
        yield from _group_lines(number, found)
    if len(largest) > SHOWN_GROUPS:
        yield f"… and {len(largest) - SHOWN_GROUPS:,} smaller groups (see the report, or --json)\n"
    counts = result.summary
    if largest:
        yield "\n"
    rows = {
        "images": f"{result.images:>10,}",
        "failures": f"{len(result.failures):>10,}",
        "too blank or small": f"{len(result.low_quality):>10,}",
        "pairs": f"{counts.pairs:>10,}",
        "groups": f"{counts.groups:>10,}",
        "unique images": f"{counts.unique_images:>10,}",
        "removable": f"{counts.removable:>10,}  ({byte_size(counts.removable_bytes)})",
    }
    for name, value in rows.items():
        yield f"{name:<19}{value}\n"


def _group_lines(number: int, found: Group) -> Iterator[str]:
    from imkin.report.files import one_line
    from imkin.report.html import byte_size
    from imkin.result import rounded

    names = [one_line(member.path) for member in found.members[:SHOWN_MEMBERS]]
    width = max(map(len, names))
    relations = found.relations
    yield f"group {number}: {len(found.members):,} images\n"
    for member, name in zip(found.members, names, strict=False):
        if member.path == found.keeper:
            mark = "  keep"
        else:
            mark = " chain" if member.similarity is None else f"{rounded(member.similarity):6.4f}"
        size = f"{member.width}x{member.height}"
        relation = relations.get(member.path, "")
        yield f"  {mark}  {name:<{width}}  {size:>11}  {byte_size(member.bytes):>8}  {relation}".rstrip() + "\n"
    if len(found.members) > SHOWN_MEMBERS:
        yield f"          … and {len(found.members) - SHOWN_MEMBERS:,} more\n"
