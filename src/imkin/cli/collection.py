"""`imkin collection`: named sets of images that are kept, and searched for one image after the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imkin.cli.clean import Catalogue, Quiet
from imkin.cli.options import FailIfFound, Json, Method, Paths, Setup
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.collection import Collection, Match
    from imkin.types import File

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    collection = typer.Typer(
        name="collection", help="Keep named sets of images, and look for others in them.", no_args_is_help=True
    )
    command(collection, "add")(add)
    command(collection, "search")(search)
    command(collection, "list")(list_all)
    command(collection, "members")(members)
    command(collection, "remove")(remove)
    command(collection, "delete")(delete)
    command(collection, "index")(index)
    app.add_typer(collection)


def add(name: Name, paths: Paths, *, method: Method, setup: Setup) -> None:
    """Add the images of PATHS to a collection; it is made if there is none of that name.

    Only what is new is read. A file whose content has changed replaces what was under its path. --by counts for a new
    collection; one that is there keeps its method.
    """
    from imkin.catalogue.collections import CollectionStore
    from imkin.collection import Collection

    with logged(setup), setup.library() as library:
        new = CollectionStore(library.database).find(name) is None
        collection = Collection(library, name, method.fingerprinter() if new else None, turns=method.turns and new)
        with progress_bar(setup) as progress:
            done = collection.add(paths, progress=progress)
        replaced = f", {done.replaced:,} replaced" if done.replaced else ""
        say(
            f"{name}: {done.added:,} added, {done.known:,} known{replaced}; {len(collection):,} images by "
            f"{collection.method}",
            setup=setup,
        )
        if done.low_quality:
            say(f"{len(done.low_quality):,} too blank or small: found by their bytes alone", setup=setup)
        report_failures(done.failures, setup=setup)
    finish(setup, failures=len(done.failures))


def search(
    name: Name,
    paths: Paths,
    *,
    top: Annotated[
        int | None, typer.Option("--top", metavar="K", help="At most so many; default 10, with a threshold all.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", metavar="0..1", help="Only members of at least this similarity.")
    ] = None,
    as_json: Json = False,
    fail_if_found: FailIfFound = False,
    setup: Setup,
) -> None:
    """Find the members of a collection that are most like each image of PATHS.

    Without --threshold the most similar ones, those marked * that the method calls alike. With --fail-if-found only
    what is alike counts, by --threshold or the method's own.
    """
    from imkin.collection import Collection
    from imkin.types import Failure

    found, failures = 0, []
    with logged(setup), setup.library() as library:
        collection = Collection(library, name, create=False)
        limit = threshold if threshold is not None else collection.spec.default_threshold
        with progress_bar(setup) as progress:
            for entry in collection.search_each(paths, top=top, threshold=threshold, progress=progress):
                if isinstance(entry, Failure):
                    failures.append(entry)
                    continue
                file, low, matches = entry
                found += any(match.similarity >= limit for match in matches)
                write(_json_line(file, matches, low=low) if as_json else _lines(file, matches, limit, low=low))
        report_failures(failures, setup=setup)
    finish(setup, failures=len(failures), found=fail_if_found and bool(found))


def list_all(*, as_json: Json = False, catalogue: Catalogue = None) -> None:
    """List the collections."""
    from imkin.collection import Collection

    with Setup(catalogue=catalogue).library() as library:
        rows: list[dict[str, Any]] = [
            {"name": each.name, "method": each.method, "images": len(each)} for each in Collection.all(library)
        ]
    if as_json:
        write(json.dumps(rows) + "\n")
        return
    for row in rows:
        write(f"{row['name']}  {row['images']:,} images by {row['method']}\n")


def members(name: Name, *, as_json: Json = False, catalogue: Catalogue = None) -> None:
    """List the members of a collection in the order of adding: sha256 and name."""
    from imkin.collection import Collection

    with Setup(catalogue=catalogue).library() as library:
        for member in Collection(library, name, create=False).members():
            row = {"name": member.name, "sha256": member.sha256}
            write(json.dumps(row) + "\n" if as_json else f"{member.sha256}  {member.name}\n")


def remove(
    name: Name,
    paths: Annotated[
        list[str], typer.Argument(metavar="MEMBER...", help="Paths, folders, or sha256.", show_default=False)
    ],
    *,
    catalogue: Catalogue = None,
    quiet: Quiet = False,
) -> None:
    """Take members out of a collection, by path, by folder or by sha256. No image is touched."""
    with Setup(catalogue=catalogue).library() as library:
        collection = _there(library, name)
        count = collection.remove(paths)
        say(f"{name}: {count:,} removed; {len(collection):,} images", setup=Setup(quiet=quiet))


def delete(name: Name, *, catalogue: Catalogue = None, quiet: Quiet = False) -> None:
    """Forget a collection. No image is touched."""
    with Setup(catalogue=catalogue).library() as library:
        _there(library, name).delete()
        say(f"{name}: deleted", setup=Setup(quiet=quiet))


def index(name: Name, *, setup: Setup) -> None:
    """Make the graphs anew where they are missing. Adding makes them by itself; only many vectors need them."""
    from imkin.collection import Collection

    with logged(setup), setup.library() as library, progress_bar(setup) as progress:
        Collection(library, name, create=False).index(progress=progress)


def _there(library: Any, name: str) -> Collection:
    from imkin.collection import Collection

    return Collection(library, name, create=False)


def _lines(file: File, matches: tuple[Match, ...], limit: float, *, low: bool) -> str:
    from imkin.result import rounded

    head = f"{file.path}{'  (too blank or small: by its bytes alone)' if low else ''}\n"
    rows = (f"{'*' if m.similarity >= limit else ' '} {rounded(m.similarity):.4f}  {m.name}\n" for m in matches)
    return head + "".join(rows)


def _json_line(file: File, matches: tuple[Match, ...], *, low: bool) -> str:
    from imkin.result import rounded

    found = [{"name": m.name, "sha256": m.sha256, "similarity": rounded(m.similarity)} for m in matches]
    return json.dumps({"path": file.path, "sha256": file.sha256, "low_quality": low, "matches": found}) + "\n"
