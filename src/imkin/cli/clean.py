"""`imkin clean`, `apply`, `undo`, `history` and `purge`: the only commands that change images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imkin.cli.find import Job
from imkin.cli.options import Bundle, GroupingName, Json, Method, Out, Paths, Search, Setup
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.actions import Outcome, Row
    from imkin.catalogue import Database
    from imkin.library import Library
    from imkin.plan import Plan
    from imkin.result import Result
    from imkin.scan import Scan

Catalogue = Annotated[
    str | None,
    typer.Option(
        "--catalogue",
        metavar="FILE|postgresql://…",
        help="Which catalogue holds the journal; default: your cache folder.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]
RunNumber = Annotated[int | None, typer.Argument(metavar="RUN", help="Default: see above.", show_default=False)]
Keep = Annotated[str, typer.Option("--keep", metavar="RULES", help="Which file stays; each rule breaks ties.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "clean")(clean)
    command(app, "apply")(apply)
    command(app, "undo")(undo)
    command(app, "history")(history)
    command(app, "purge")(purge)


def clean(
    paths: Paths,
    *,
    method: Method,
    search: Search,
    grouping: GroupingName = "transitive",
    keep: Keep = "resolution,quality,bytes,oldest,first",
    keep_per_folder: Annotated[
        int, typer.Option("--keep-per-folder", metavar="N", min=0, help="Keep the best N of each folder of a group.")
    ] = 0,
    action: Annotated[
        str, typer.Option("--action", metavar="trash|move:DIR|delete|hardlink|reflink|symlink", help="What to do.")
    ] = "trash",
    bundle: Bundle = True,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this, only the plan is shown.")] = False,
    plan_out: Annotated[
        str | None, typer.Option("--plan-out", metavar="FILE", help="Write the plan, to review and `imkin apply`.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Plan what to do with the copies in each group, and with --apply do it. Without --apply nothing is changed.

    A file goes only if it is itself similar enough to one that is kept. Every change is journalled: `imkin undo`
    takes it back. `delete` and the links hold the old files until `imkin purge`.
    """
    from imkin.actions import Wish
    from imkin.cleaning import plan_scan
    from imkin.errors import OutputError, UsageError
    from imkin.grouping import grouping_of
    from imkin.image import Limits
    from imkin.plan import parse_action
    from imkin.policy import parse_rules
    from imkin.report import folder as report_folder
    from imkin.report.plan import plan_lines, write_plan

    now = datetime.now().astimezone()
    verb, target = parse_action(action)
    wish = Wish(
        verb,
        tuple(map(os.path.abspath, paths)),
        target=target,
        reference=tuple(map(os.path.abspath, search.reference or ())),
        rules=parse_rules(keep),
        keep_per_folder=keep_per_folder,
        bundle=bundle,
    )
    job = Job(paths, method, search)
    how = grouping_of(grouping)
    if apply and setup.no_catalogue:
        raise UsageError("--apply needs the catalogue, which holds the journal: leave out --no-catalogue")
    if plan_out is not None and os.path.lexists(plan_out):
        raise OutputError(f"cannot write {plan_out}: there is something of that name; nothing is overwritten")
    outcome = None
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        library = stack.enter_context(setup.library())
        folder = stack.enter_context(report_folder.prepared(out, now=now)) if out is not None else None
        database = stack.enter_context(durable_database(setup))
        scanned = job.scan(library, setup)
        limits = Limits(setup.max_pixels, tolerate_truncated=setup.tolerate_truncated)
        plan, result = plan_scan(
            library,
            scanned,
            threshold=job.threshold,
            wish=wish,
            database=database,
            grouping=how,
            scope=job.scope,
            limits=limits,
        )
        if plan_out is not None:
            write_plan(plan_out, plan)
        if folder is not None:
            _report(folder, library, job, scanned, result, plan, now=now, setup=setup)
        if not as_json:
            for line in plan_lines(plan):
                write(line)
        if apply:
            outcome = _applied(plan, database, setup)
        if as_json:
            write(_plan_json(plan, outcome))
        report_failures(scanned.failures, setup=setup)
        if outcome is not None:
            _tell(outcome, setup)
        elif plan.actions:
            hint = f"imkin apply {plan_out}" if plan_out else "add --apply"
            say(f"nothing was changed; to do it: {hint}", setup=setup)
    finish(setup, failures=len(scanned.failures) + (outcome.count("failed") if outcome else 0))


def _report(
    folder: str,
    library: Library,
    job: Job,
    scanned: Scan,
    result: Result,
    plan: Plan,
    *,
    now: datetime,
    setup: Setup,
) -> None:
    """The report with the plan in it, before any file goes, and the plan's file."""
    from imkin.report import folder as report_folder
    from imkin.report.plan import write_plan

    write_plan(os.path.join(folder, "plan.json"), plan)
    pairs = [pair for group in result.groups for pair in group.pairs]
    report_folder.write_report(
        folder, result, job.facts(now, scanned), pairs=pairs, load=library.pixels, collage_pairs=0, seed=0
    )
    say(f"report: {os.path.join(folder, 'report.html')}", setup=setup)


def apply(
    plan_file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A plan of `imkin clean --plan-out`.", show_default=False)
    ] = None,
    *,
    resume: Annotated[
        int | None, typer.Option("--resume", metavar="RUN", help="Instead: go on with a run that was stopped.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if an action failed.")] = False,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Apply a plan that was written with `imkin clean --plan-out`, reviewed, perhaps edited.

    Only the words after `do` may be changed in it. Each file is looked at again; one that changed is left.
    """
    from imkin import actions
    from imkin.cleaning import outcome_object
    from imkin.errors import UsageError
    from imkin.plan import read_plan

    if (plan_file is None) == (resume is None):
        raise UsageError("name a plan file, or a run with --resume")
    setup = Setup(catalogue=catalogue, quiet=quiet, strict=strict)
    plan = None if plan_file is None else read_plan(plan_file)
    with durable_database(setup) as database:
        if plan is not None:
            outcome = _applied(plan, database, setup)
        else:
            with progress_bar(setup) as progress:
                outcome = actions.resume(resume or 0, database=database, progress=progress)
    if as_json:
        write(json.dumps(outcome_object(outcome)) + "\n")
    _tell(outcome, setup)
    finish(setup, failures=outcome.count("failed"))


def undo(
    run: RunNumber = None,
    *,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Take a run back, by default the last one that changed files. Never overwrites what is there now."""
    from imkin import actions
    from imkin.cleaning import outcome_object
    from imkin.errors import EXIT_FAILURES

    setup = Setup(catalogue=catalogue, quiet=quiet)
    with durable_database(setup) as database, progress_bar(setup) as progress:
        outcome = actions.undo(run, database=database, progress=progress)
    if as_json:
        write(json.dumps(outcome_object(outcome)) + "\n")
    stuck = [row for row in outcome.rows if row.state == "done"]
    _rows(stuck, "not undone", setup)
    say(f"run {outcome.run}: {outcome.count('undone'):,} undone, {len(stuck):,} not", setup=setup)
    if stuck:
        raise typer.Exit(EXIT_FAILURES)


def history(
    run: RunNumber = None,
    *,
    catalogue: Catalogue = None,
    as_json: Json = False,
) -> None:
    """List the runs that changed files; with RUN, what became of each of its files."""
    from imkin import actions
    from imkin.cleaning import outcome_object

    with durable_database(Setup(catalogue=catalogue)) as database:
        found = [actions.look_up(run, database)] if run is not None else list(actions.history(database))
    if as_json:
        objects: Any = [outcome_object(outcome) for outcome in found]
        write(json.dumps(objects[0] if run is not None else objects) + "\n")
        return
    for line in _history_lines(found) if run is None else _run_lines(found[0]):
        write(line)


def purge(
    run: RunNumber = None,
    *,
    without_kept: Annotated[
        bool, typer.Option("--without-kept", help="Also where the kept file is gone or changed since.")
    ] = False,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
) -> None:
    """Remove for good what deleting and linking hold back, of all runs or of one. There is no undo after that.

    A file whose kept one is not where it was stays held.
    """
    from imkin import actions
    from imkin.report.html import byte_size

    setup = Setup(catalogue=catalogue, quiet=quiet)
    with durable_database(setup) as database:
        rows = actions.purge(run, database=database, without_kept=without_kept)
    gone = [row for row in rows if row.state == "purged"]
    _rows([row for row in rows if row.state != "purged"], "still held", setup)
    write(
        f"purged {len(gone):,} {'file' if len(gone) == 1 else 'files'} ({byte_size(sum(row.bytes for row in gone))})\n"
    )


def durable_database(setup: Setup) -> Database:
    """The catalogue that the options name, as the journal needs it."""
    from imkin.catalogue import Database, default_path

    return Database(None if setup.no_catalogue else setup.catalogue or default_path(), durable=True)


def _applied(plan: Plan, database: Database, setup: Setup) -> Outcome:
    from imkin import actions

    with progress_bar(setup) as progress:
        return actions.apply(plan, database=database, progress=progress)


def _plan_json(plan: Plan, outcome: Outcome | None) -> str:
    from imkin.cleaning import outcome_object
    from imkin.plan import plan_text

    did = json.dumps(outcome_object(outcome)) if outcome else "null"
    return f'{{"plan": {plan_text(plan).rstrip()},\n "outcome": {did}}}\n'


def _tell(outcome: Outcome, setup: Setup) -> None:
    from imkin.report.html import byte_size

    _rows([row for row in outcome.rows if row.state != "done"], "", setup)
    say(
        f"run {outcome.run}: {outcome.count('done'):,} done ({byte_size(outcome.bytes_won)}), "
        f"{outcome.count('skipped'):,} skipped, {outcome.count('failed'):,} failed"
        + (f"; to take it back: imkin undo {outcome.run}" if outcome.count("done") else ""),
        setup=setup,
    )
    if outcome.verb in ("delete", "hardlink", "reflink", "symlink") and outcome.count("done"):
        say("the old files are held, and use their room, until: imkin purge", setup=setup)


def _rows(rows: Sequence[Row], word: str, setup: Setup) -> None:
    from imkin.report.plan import shown_path

    for row in rows:
        say(f"{word or row.state}: {shown_path(row.path)}: {row.reason}", setup=setup)


def _history_lines(found: Sequence[Outcome]) -> Iterator[str]:
    from imkin.report.html import byte_size

    if not found:
        yield "no run has changed any file\n"
        return
    yield f"{'run':>4}  {'time':<19}  {'action':<8}  {'state':<13}  {'done':>7}  {'skipped':>7}  {'failed':>7}  bytes\n"
    for each in found:
        counts = "  ".join(f"{each.count(state):>7,}" for state in ("done", "skipped", "failed"))
        when = _when(each)
        yield f"{each.run:>4}  {when:<19}  {each.verb:<8}  {each.state:<13}  {counts}  {byte_size(each.bytes_won)}\n"


def _run_lines(outcome: Outcome) -> Iterator[str]:
    yield f"run {outcome.run}: {outcome.verb}, {outcome.state}, {_when(outcome)}\n"
    for row in outcome.rows:
        where = f" -> {row.dest}" if row.dest else ""
        yield f"  {row.state:<8}  {row.path}{where}{f'  ({row.reason})' if row.reason else ''}\n"


def _when(outcome: Outcome) -> str:
    return datetime.fromtimestamp(outcome.started_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
