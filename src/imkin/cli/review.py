"""`imkin review`: the page on which a person decides."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from imkin.cli.clean import durable_database
from imkin.cli.find import Job
from imkin.cli.options import Bundle, GroupingName, Method, Paths, Search, Setup
from imkin.cli.run import command, logged, progress_bar, report_failures, say, write


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "review")(review)


def review(
    paths: Paths,
    *,
    method: Method,
    search: Search,
    grouping: GroupingName = "transitive",
    keep: Annotated[
        str, typer.Option("--keep", metavar="RULES", help="Which file to suggest; each rule breaks ties.")
    ] = "resolution,quality,bytes,oldest,first",
    action: Annotated[
        str,
        typer.Option(
            "--action", metavar="trash|move:DIR|delete|hardlink|reflink|symlink", help="What the plan begins with."
        ),
    ] = "trash",
    bundle: Bundle = True,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in your browser.")] = True,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")] = 0,
    setup: Setup,
) -> None:
    """Look at the groups side by side in your browser, decide by keys or mouse, and apply the plan.

    Every decision is saved at once. No file changes before you apply the plan, and that can be undone. The page is
    served to this machine alone, until Ctrl-C.
    """
    from imkin.actions import Wish
    from imkin.errors import MissingExtraError, UsageError
    from imkin.grouping import grouping_of
    from imkin.image import Limits
    from imkin.plan import parse_action
    from imkin.policy import parse_rules

    try:
        from imkin.server.review.app import serve
    except ImportError:
        raise MissingExtraError("the review page", "serve") from None
    from imkin.review import open_session, thumbnails_of

    if setup.no_catalogue:
        raise UsageError("a review saves what you decide in the catalogue: leave out --no-catalogue")
    verb, target = parse_action(action)
    wish = Wish(
        verb,
        tuple(map(os.path.abspath, paths)),
        target=target,
        reference=tuple(map(os.path.abspath, search.reference or ())),
        rules=parse_rules(keep),
        bundle=bundle,
    )
    job, how = Job(paths, method, search), grouping_of(grouping)
    with logged(setup), setup.library() as library, durable_database(setup) as database:
        scanned = job.scan(library, setup)
        report_failures(scanned.failures, setup=setup)
        with progress_bar(setup) as progress:
            if progress:
                progress("comparing", 0, 0)
            session = open_session(
                library,
                scanned,
                wish=wish,
                threshold=job.threshold,
                database=database,
                grouping=how,
                scope=job.scope,
                limits=Limits(setup.max_pixels, tolerate_truncated=setup.tolerate_truncated),
                thumbnails=thumbnails_of(database.path),
            )
        found = len(session.groups)
        say(
            f"{found:,} {'group' if found == 1 else 'groups'}; what you decide is saved at once; end with Ctrl-C",
            setup=setup,
        )

        def tell(address: str) -> None:
            write(address + "\n")
            sys.stdout.flush()
            if browser:
                _open(address)

        try:
            serve(session, port=port, say=tell)
        except KeyboardInterrupt:
            # The ordinary end: the server has answered what was asked, and gives the signal on.
            say("ended; what you decided is saved", setup=setup)


def _open(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
