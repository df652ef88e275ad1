"""`imkin mark` and `imkin decisions`: what a person knows better, remembered by content."""

from __future__ import annotations

import os
import sys
from itertools import combinations
from typing import Annotated

import typer

from imkin.cli.clean import Catalogue, Quiet
from imkin.cli.options import Setup
from imkin.cli.run import command, say, write


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "mark")(mark)
    decisions = typer.Typer(
        name="decisions", help="Move decisions of `imkin mark` between machines.", no_args_is_help=True
    )
    command(decisions, "export")(export_decisions)
    command(decisions, "import")(import_decisions)
    app.add_typer(decisions)


def mark(
    files: Annotated[list[str], typer.Argument(metavar="A B…", help="Two files or more.", show_default=False)],
    *,
    same: Annotated[
        bool | None, typer.Option("--same/--different", help="What they are to each other.", show_default=False)
    ] = None,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
) -> None:
    """Remember that files show the same, or do not, whatever is measured. Counts for their content, wherever it is."""
    from imkin.bundles import look
    from imkin.catalogue import Database, default_path
    from imkin.catalogue.decisions import DecisionStore
    from imkin.errors import MissingPathError, UsageError

    if same is None:
        raise UsageError("say what they are: --same or --different")
    if len(files) < 2:
        raise UsageError("name two files or more")
    seen = [look(os.path.abspath(path)) for path in files]
    for path, found in zip(files, seen, strict=True):
        if found is None:
            raise MissingPathError(f"cannot read {path}: no file there, or not a plain one")
    contents = sorted({found.sha256 for found in seen if found})
    if len(contents) < 2:
        raise UsageError("all these files have the same content, byte for byte: there is nothing to decide")
    with Database(catalogue or default_path(), durable=True) as database:
        store = DecisionStore(database)
        for a, b in combinations(contents, 2):
            store.mark(a, b, "same" if same else "different")
    count = len(contents) * (len(contents) - 1) // 2
    word = "same" if same else "different"
    say(f"remembered: {count:,} {'pair' if count == 1 else 'pairs'} {word}", setup=Setup(quiet=quiet))


def export_decisions(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to; - is stdout.")] = "-",
    *,
    catalogue: Catalogue = None,
) -> None:
    """Write all decisions as JSON lines."""
    from imkin.catalogue import Database, default_path
    from imkin.catalogue.decisions import DecisionStore, decision_lines
    from imkin.errors import OutputError
    from imkin.report.files import write_atomic

    with Database(catalogue or default_path()) as database:
        found = DecisionStore(database).all()
    if file == "-":
        for line in decision_lines(found):
            write(line)
        return
    if os.path.lexists(file):
        raise OutputError(f"cannot write {file}: there is something of that name; nothing is overwritten")
    write_atomic(file, (line.encode("ascii") for line in decision_lines(found)))


def import_decisions(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - is stdin.", show_default=False)],
    *,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
) -> None:
    """Take in decisions of another machine; of two about the same pictures the newer holds."""
    from imkin.catalogue import Database, default_path
    from imkin.catalogue.decisions import DecisionStore, parse_decisions
    from imkin.errors import MissingPathError, UsageError

    try:
        if file == "-":
            found = parse_decisions(sys.stdin, name="stdin")
        else:
            with open(file, encoding="utf-8") as lines:
                found = parse_decisions(lines, name=file)
    except OSError as error:
        raise MissingPathError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no export of decisions; nothing was imported") from None
    with Database(catalogue or default_path(), durable=True) as database:
        changed = DecisionStore(database).merge(found)
    say(f"{len(found):,} decisions read, {changed:,} of them new", setup=Setup(quiet=quiet))
