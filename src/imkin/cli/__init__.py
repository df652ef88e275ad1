"""The command line: a thin face over `imkin.library`.

options    every option, once        run     errors, interruption, progress, log
find       group, pairs              look    rank, compare, methods, demo
clean      clean, apply, undo, history, purge       decide  mark, decisions export, import
collection add, search, list, members, remove, delete, index
leaks      leaks                 catalogues  catalogue show, copy
gather     fetch, sort          lay     group --copy-to, --move-to, --link-to          models  list, show, pull, …
review     the page to decide on            serve      the HTTP service
film       frames, group --videos
scaled     group and pairs over shards, plan-join
judge      calibrate, evaluate          train   train
"""

import gc
import sys
from typing import Annotated, Any

import typer

from imkin.cli import (
    catalogues,
    clean,
    collection,
    decide,
    film,
    find,
    gather,
    judge,
    leaks,
    look,
    models,
    review,
    scaled,
    serve,
    train,
)
from imkin.cli.run import printable
from imkin.errors import EXIT_INTERRUPTED, EXIT_USAGE

# The class has no public name of its own in every release of typer.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="imkin",
    help="Finds the kin of your images: exact copies, edited copies and look-alikes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Framed help takes twice as long to come: its libraries alone 0.1 s.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
find.register(app)
look.register(app)
collection.register(app)
clean.register(app)
catalogues.register(app)
decide.register(app)
gather.register(app)
leaks.register(app)
film.register(app)
models.register(app)
review.register(app)
serve.register(app)
judge.register(app)
scaled.register(app)
train.register(app)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's way
    if wanted:
        from imkin import __version__

        typer.echo(f"imkin {__version__}")
        raise typer.Exit


@app.callback()
def _imkin(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the `imkin` command. An option that cannot be is one line, as every other error."""
    # What a command makes lives to its end: looking for garbage as often as Python does took a sixth of the time of
    # a second run over 20,000 files.
    gc.set_threshold(100_000, 50, 100)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no command: not a mistake, but a question
            error.show()
        else:
            where = error.ctx.command_path if error.ctx is not None else "imkin"
            typer.echo(f"imkin: {printable(error.format_message())} (see `{where} --help`)", err=True)
        sys.exit(EXIT_USAGE)
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)
