"""`imkin group --copy-to | --move-to | --link-to DIR`: each group in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Setup
from imkin.cli.run import progress_bar, say

if TYPE_CHECKING:
    from imkin.actions import Outcome
    from imkin.actions.layout import Mode
    from imkin.catalogue import Database
    from imkin.result import Result
    from imkin.scan import Scan

_PANEL = "Lay out"

CopyTo = Annotated[
    str | None,
    typer.Option("--copy-to", metavar="DIR", help="Copy each group into a folder of its own.", rich_help_panel=_PANEL),
]
MoveTo = Annotated[
    str | None, typer.Option("--move-to", metavar="DIR", help="Instead: move; can be undone.", rich_help_panel=_PANEL)
]
LinkTo = Annotated[
    str | None, typer.Option("--link-to", metavar="DIR", help="Instead: symbolic links.", rich_help_panel=_PANEL)
]
Singles = Annotated[
    bool, typer.Option("--singles", help="Also the images without kin, each alone.", rich_help_panel=_PANEL)
]
IntoExisting = Annotated[
    bool,
    typer.Option("--into-existing", help="DIR may hold files; none is overwritten.", rich_help_panel=_PANEL),
]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where to lay groups out, and how."""

    folder: str
    mode: Mode
    singles: bool
    into_existing: bool


def layout_of(
    copy_to: str | None, move_to: str | None, link_to: str | None, *, singles: bool, into_existing: bool, setup: Setup
) -> Layout | None:
    """What the options ask for, or None. Raises UsageError for two at once, and for what is no empty folder."""
    from imkin.errors import UsageError

    asked: list[tuple[str | None, Mode]] = [(copy_to, "copy"), (move_to, "move"), (link_to, "link")]
    given = [(folder, mode) for folder, mode in asked if folder is not None]
    if not given:
        if singles or into_existing:
            raise UsageError("--singles and --into-existing go with --copy-to, --move-to or --link-to")
        return None
    if len(given) > 1:
        raise UsageError("give one of --copy-to, --move-to and --link-to")
    ((folder, mode),) = given
    if not folder:
        raise UsageError(f"--{mode}-to needs the name of a folder")
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is a file, not a folder; name a new folder")
    if os.path.isdir(folder) and os.listdir(folder) and not into_existing:
        raise UsageError(f"{folder} is not empty; name a new folder, or add --into-existing (nothing is overwritten)")
    if mode == "move" and setup.no_catalogue:
        raise UsageError("--move-to needs the catalogue, which holds the journal: leave out --no-catalogue")
    return Layout(folder, mode, singles, into_existing)


def lay_out(layout: Layout, result: Result, scanned: Scan, *, references: int, bundle: bool, setup: Setup) -> Outcome:
    """Lay a result's groups out, and say on stderr what came of it.

    references: how many of the scan's roots, the first ones, are reference folders: their files are not moved.
    """
    from imkin import actions
    from imkin.bundles import FolderBundles

    place = {file.path: at for at, file in enumerate(scanned.files)}
    groups = [[scanned.files[place[member.path]] for member in group.members] for group in result.groups]
    grouped = {member.path for group in result.groups for member in group.members}
    others = [file for file in scanned.files if file.path not in grouped] if layout.singles else []
    rows = zip(scanned.files, scanned.root.tolist(), strict=True)
    fixed = {os.path.abspath(file.path) for file, root in rows if root < references}
    with _database(layout, setup) as database, progress_bar(setup) as progress:
        outcome = actions.layout(
            groups,
            layout.folder,
            mode=layout.mode,
            database=database,
            singles=others,
            into_existing=layout.into_existing,
            fixed=fixed,
            bundles=FolderBundles() if bundle else None,
            progress=progress,
        )
    for row in outcome.rows:
        if row.state != "done":
            say(f"{row.state}: {row.path}: {row.reason}", setup=setup)
    back = f"; to take it back: imkin undo {outcome.run}" if outcome.run and outcome.count("done") else ""
    say(f"{outcome.count('done'):,} files laid out in {layout.folder}{back}", setup=setup)
    return outcome


@contextmanager
def _database(layout: Layout, setup: Setup) -> Iterator[Database]:
    from imkin.catalogue import Database, default_path

    path = (setup.catalogue or default_path()) if layout.mode == "move" else None
    with Database(path, durable=True) as database:
        yield database
