"""`imkin models`: the networks that can be compared by, and what of them is on this disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imkin.cli.options import Json, Offline
from imkin.cli.run import command, write

if TYPE_CHECKING:
    from imkin.models.cards import Card
    from imkin.types import Fingerprinter

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of networks.", show_default=False)]


def network(
    by: str,
    *,
    size: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    device: str = "auto",
    offline: bool = False,
    quiet: bool = False,
) -> str | Fingerprinter:
    """What to compare by: the network that a method names, with these options; any other method's name as it is.

    UsageError: an option of networks for a method that is none, or one that is no number.
    """
    from imkin.errors import UsageError
    from imkin.models import OWN, fingerprinter
    from imkin.models.cards import CARDS

    if by not in CARDS and not by.startswith(OWN):
        given = [f"--{key}" for key, value in (("size", size), ("mean", mean), ("std", std)) if value is not None]
        if given:
            raise UsageError(f"{given[0]} goes with a network, not with `{by}` (see `imkin models list`)")
        return by
    if size is not None and size != "auto" and not size.isdecimal():
        raise UsageError(f"--size is a number of pixels or auto, not {size}")
    pixels: int | Literal["auto"] | None = "auto" if size == "auto" else int(size) if size else None
    return fingerprinter(
        by,
        size=pixels,
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
        device=device,
        offline=offline,
        quiet=quiet,
    )


def _numbers(text: str | None, option: str) -> list[float] | None:
    from imkin.errors import UsageError

    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} is one number, or three with commas, not {text}") from None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    models = typer.Typer(help="List, fetch and remove the networks to compare by.", no_args_is_help=True)
    command(models, "list")(list_models)
    command(models, "show")(show)
    command(models, "pull")(pull)
    command(models, "import")(import_model)
    command(models, "rm")(rm)
    app.add_typer(models, name="models")


def list_models(*, as_json: Json = False) -> None:
    """List the networks: which are here, how large, at which threshold pictures are alike."""
    from imkin.models import cache
    from imkin.models.cards import CARDS

    rows = [_kin()] + [_row(card) for card in CARDS.values()]
    if as_json:
        write(json.dumps(rows) + "\n")
        return
    write(f"{'network':<17}{'state':<15}{'MB':>5} {'dim':>5}  {'threshold':<10}{'licence':<12}what it is\n")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.0f}" if isinstance(row["bytes"], int) else "?"
        write(
            f"{row['name']:<17}{row['state']:<15}{size:>5} {row['dim']:>5}  {row['threshold']:<10}"
            f"{row['licence']:<12}{row['about']}\n"
        )
    write(
        f"onnx:PATH        a network of your own (see `imkin models show onnx:PATH`); files are in {cache.folder()}\n"
    )


def _kin() -> dict[str, object]:
    import os
    from importlib.resources import as_file, files

    from imkin import prints

    with as_file(files("imkin") / "models" / "kin.onnx") as file:
        size = os.path.getsize(file)
    spec = prints.spec("kin") if "kin" in prints.names() else None
    return {
        "name": "kin",
        "state": "built in",
        "bytes": size,
        "dim": spec.dim if spec else "",
        "threshold": spec.default_threshold if spec else "",
        "licence": "Apache-2.0",
        "about": "imkin's own copy detection; needs no download",
    }


def _row(card: Card) -> dict[str, object]:
    import os

    from imkin.models import cache

    path = cache.path(card)
    here = os.path.isfile(path)
    return {
        "name": card.name,
        "state": "here" if here else "to download" if card.files else "to import",
        "bytes": os.path.getsize(path) if here else card.bytes,
        "dim": card.recipe.dim,
        "threshold": card.threshold,
        "licence": card.licence,
        "about": card.about,
    }


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A network, or onnx:PATH.", show_default=False)],
    *,
    as_json: Json = False,
) -> None:
    """Show all that is known of a network: its card, its file, its pins; of onnx:PATH how it will be used."""
    from imkin.models import OWN

    facts = _own_facts(name) if name.startswith(OWN) else _card_facts(name)
    if as_json:
        write(json.dumps(facts) + "\n")
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        write(f"{key:<{width}}  {'-' if value is None else value}\n")


def _card_facts(name: str) -> dict[str, object]:
    from dataclasses import asdict

    from imkin.models import cache

    card = _card(name)
    facts = asdict(card)
    recipe: dict[str, object] = facts.pop("recipe")
    entry = cache.recorded(card)
    recorded = {f"recorded {key}": value for key, value in asdict(entry).items()} if entry else {}
    return facts | recipe | {"state": _row(card)["state"], "path": cache.path(card)} | recorded


def _own_facts(name: str) -> dict[str, object]:
    from imkin.models import fingerprinter

    made = fingerprinter(name)
    spec = made.spec
    facts = {"name": spec.name, "id": spec.id, "dim": spec.dim, "threshold": spec.default_threshold}
    return facts | {"input": made.runner.input.name, "bytes as they are": made.mean is None} | dict(spec.params)


def pull(
    names: Names,
    *,
    offline: Offline = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Fetch networks now, and try each: later runs need no network then. Those that are here are checked."""
    from imkin.models import cache, fingerprinter

    cards = [_card(name) for name in names]
    for card in cards:
        made = fingerprinter(card.name, device="cpu", offline=offline, quiet=quiet)
        entry = cache.recorded(card)
        write(f"{card.name}  {made.spec.dim} numbers  sha256 {entry.sha256 if entry else '?'}  {cache.path(card)}\n")


def import_model(
    name: Annotated[str, typer.Argument(metavar="sscd", help="The network that the file holds.", show_default=False)],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Its TorchScript file.", show_default=False)],
) -> None:
    """Convert a network that is published in another form than ONNX, and keep it."""
    from imkin.errors import UsageError
    from imkin.models.convert import NAME, import_sscd

    if name != NAME:
        raise UsageError(f"only `{NAME}` is imported, not `{name}`; use an ONNX file as --by onnx:PATH")
    path, difference = import_sscd(file)
    write(f"{name}  differs from {file} by {difference:.1g} at most  {path}\n")


def rm(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Names of networks.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also forget their sha256: another file may come in their place.")
    ] = False,
) -> None:
    """Remove the files of networks. What is known of them stays, so that only the same file comes back."""
    from imkin.errors import UsageError
    from imkin.models import cache
    from imkin.models.cards import CARDS

    if every == bool(names):
        raise UsageError("say which networks to remove, or --all")
    freed = 0
    if every:
        cache.sweep()
    for card in list(CARDS.values()) if every else [_card(name) for name in names or ()]:
        freed += cache.remove(card, forget=forget)
    write(f"{freed / 1e6:.1f} MB freed\n")


def _card(name: str) -> Card:
    from imkin.errors import UsageError
    from imkin.models.cards import CARDS

    if name == "kin":
        raise UsageError("`kin` is part of imkin: it is neither fetched nor removed")
    if name not in CARDS:
        raise UsageError(f"unknown network `{name}`; known: {', '.join(CARDS)} (see `imkin models list`)")
    return CARDS[name]
