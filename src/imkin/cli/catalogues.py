"""`imkin catalogue`: what a catalogue holds, and copies of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from imkin.cli.clean import Catalogue, Quiet
from imkin.cli.options import Json, Setup
from imkin.cli.run import command, progress_bar, say, write


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="catalogue", help="See and copy what imkin remembers.", no_args_is_help=True)
    command(group, "show")(show)
    command(group, "copy")(copy)
    app.add_typer(group)


def show(*, catalogue: Catalogue = None, as_json: Json = False) -> None:
    """Say where the catalogue is and how many rows its tables have."""
    from imkin.catalogue import Database, default_path
    from imkin.catalogue.transfer import counts

    with Database(catalogue or default_path()) as database:
        found, path = counts(database), database.path
    if as_json:
        write(json.dumps({"catalogue": path, "rows": found}) + "\n")
        return
    write(f"{path}\n")
    for table, number in found.items():
        write(f"  {table:<12}{number:>12,}\n")


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A file or postgresql://….", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TO", help="A file or postgresql://….", show_default=False)],
    *,
    quiet: Quiet = False,
) -> None:
    """Copy a catalogue into another, from a file to PostgreSQL or back; what TO has already stays.

    Safe to repeat: an interrupted copy goes on. Of decisions, collections and runs the newer hold; collections of one
    name become one.
    """
    import os

    from imkin.catalogue import Database
    from imkin.catalogue.database import is_server
    from imkin.catalogue.transfer import copy as transfer
    from imkin.errors import MissingPathError

    if not is_server(source) and not os.path.isfile(source):
        raise MissingPathError(f"cannot read the catalogue {source}: there is no such file")
    setup = Setup(quiet=quiet)
    with Database(source) as a, Database(target, durable=True) as b, progress_bar(setup) as progress:
        done = transfer(a, b, progress=progress)
    say(", ".join(f"{number:,} {table}" for table, number in done.rows.items()), setup=setup)
    if done.renumbered:
        say(f"{done.renumbered:,} runs have another number there: see `imkin history --catalogue TO`", setup=setup)
