"""`imkin train`: a network of one's own."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from imkin.cli.clean import Catalogue, Quiet
from imkin.cli.options import Json, Setup
from imkin.cli.run import command, progress_bar, say, write

# Lines of progress: often enough to see that it goes on, rare enough to be read.
SAY_EVERY_S = 15.0


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "train")(train)


def train(
    photos: Annotated[str, typer.Argument(metavar="PHOTOS", help="A folder of pictures.", show_default=False)],
    *,
    out: Annotated[str, typer.Option("--out", metavar="MODEL.onnx", help="The model to write.", show_default=False)],
    loss: Annotated[str, typer.Option("--loss", metavar="ssl|triplet", help="What is made small.")] = "ssl",
    backbone: Annotated[
        str,
        typer.Option("--backbone", metavar="kin|efficientnet-b0|mobilenet-v3|resnet50", help="The network to train."),
    ] = "kin",
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="none|folders|decisions",
            help="What shows the same: edits of one picture; also all of one subfolder; also what was decided to be.",
        ),
    ] = "none",
    minutes: Annotated[float, typer.Option("--minutes", metavar="N", help="How long; the schedule follows.")] = 0.0,
    epochs: Annotated[int, typer.Option("--epochs", metavar="N", help="Instead: so many times over all.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run of the same options.")] = False,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Pairs in a step.")] = 128,
    patience: Annotated[
        int, typer.Option("--patience", metavar="N", help="End after N looks without a better result; 0: never.")
    ] = 10,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random choice.")] = 0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", metavar="N", help="Threads; default: one a processor.")
    ] = (None),
    catalogue: Catalogue = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a network on your own pictures, for --by onnx:MODEL.onnx. Needs the extra `train`.

    Writes the model and its card, checked against each other. Ctrl-C ends it with the best so far; --resume goes on,
    and ends in the same bits as a run that was never stopped. A second Ctrl-C ends it at once.
    """
    from imkin.engine import local
    from imkin.errors import MissingExtraError

    try:
        from imkin.train import own
    except ModuleNotFoundError as error:
        if error.name in ("torch", "onnx"):
            raise MissingExtraError("training", "train") from None
        raise
    setup = Setup(quiet=quiet)
    wish = own.Wish(
        photos=photos,
        out=out,
        loss=loss,
        backbone=backbone,
        labels=labels,
        minutes=minutes if minutes or epochs else 60.0,
        epochs=epochs,
        seed=seed,
        pairs=batch,
        patience=patience,
        threads=jobs or local.default_jobs(),
        device=device,
        resume=resume,
    )
    decisions = _decisions(catalogue) if labels == "decisions" else None
    with _stopping() as stop, progress_bar(setup) as progress:
        found = own.train(
            wish,
            decisions=decisions,
            log=_teller(setup),
            progress=progress and (lambda done, total: progress("decoding", done, total)),
            stop=stop,
        )
    if as_json:
        write(json.dumps(asdict(found)) + "\n")
    else:
        write(
            f"{found.out}: {found.backbone} by {found.loss} on {found.photos:,} pictures, "
            f"best of {found.steps:,} steps at {found.best_step:,}\n"
            f"uAP {found.uap:.4f} on held-out pictures; threshold {found.threshold:.4f}; "
            f"differs from torch by {found.largest_difference:.1g} at most\n"
        )
    say(f"use it: imkin group PHOTOS --by onnx:{found.out}", setup=setup)
    if not found.finished:
        say("stopped before its end; to go on: the same command with --resume", setup=setup)


def _decisions(catalogue: str | None) -> Mapping[tuple[str, str], str]:
    from imkin.catalogue import default_path
    from imkin.library import Library

    with Library(catalogue or default_path()) as library:
        return dict(library.decisions())


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Make the first Ctrl-C a wish to stop between two steps; the second one interrupts as always."""
    wanted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wanted.is_set
        return

    def on_interrupt(*_: object) -> None:
        if wanted.is_set():
            raise KeyboardInterrupt
        wanted.set()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield wanted.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _teller(setup: Setup) -> Callable[[Mapping[str, float]], None]:
    """Says what a person wants to know, not every step."""
    last = 0.0

    def tell(facts: Mapping[str, float]) -> None:
        nonlocal last
        if "loss" in facts:
            if time.monotonic() - last < SAY_EVERY_S:
                return
            last = time.monotonic()
            words = f"{facts['done']:.0%}, loss {facts['loss']:.3f}, {facts['accuracy']:.0%} of the batch right"
        elif "uAP" in facts:
            words = f"validation uAP {facts['uAP']:.4f}, recall {facts['R@FPR']:.4f}"
        else:
            words = ", ".join(name for name in facts if name != "step")
        say(f"step {facts['step']:,}: {words}", setup=setup)

    return tell
