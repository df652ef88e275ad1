"""Train the built-in network: `python -m imkin.train.kin --photos DIR --out kin.onnx --minutes 97 --seed 0`.

Beside OUT it writes OUT's card (.json), and in the folder OUT.run the decoded photos, the checkpoint and the log (one
JSON object a line). Ctrl-C ends it with the best weights so far; `--resume` goes on from the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TextIO

from imkin.errors import EXIT_USAGE, ImkinError, MissingExtraError, OutputError, UsageError

LOG_EVERY = 10
DATA_SHEET = "docs/reference/kin-data-sheet.md"


def arguments(line: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m imkin.train.kin", description=__doc__.split("\n")[0])
    parser.add_argument("--photos", required=True, help="folder of photos, searched through")
    parser.add_argument("--out", required=True, help="the model to write, .onnx")
    parser.add_argument("--minutes", type=float, default=97.0, help="wall-clock minutes; the schedule follows them")
    parser.add_argument("--steps", type=int, default=0, help="steps instead of minutes: exact to the bit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint of a run with the same --out")
    return parser.parse_args(line)


def main(line: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    try:
        print(json.dumps(train_kin(arguments(line))))  # noqa: T201
    except ImkinError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    return 0


def train_kin(wanted: argparse.Namespace) -> dict[str, object]:
    """Train, export, and say what was reached. Raises ImkinError."""
    try:
        from imkin.train import export, loop
        from imkin.train.plan import Plan
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingExtraError("training", "train") from error
        raise
    from imkin.train.data import gather

    if wanted.steps < 0 or wanted.minutes <= 0 or wanted.threads < 1:
        raise UsageError("--minutes and --threads must be positive, --steps not negative")
    folder = wanted.out + ".run"
    photos, failures = gather(wanted.photos, folder)
    for failure in failures:
        print(f"left out: {failure.path}: {failure.reason}", file=sys.stderr)  # noqa: T201
    plan = Plan(minutes=wanted.minutes, steps=wanted.steps, seed=wanted.seed, threads=wanted.threads)
    run = loop.Run(photos, plan, os.path.join(folder, "checkpoint.pt"))
    if wanted.resume:
        run.load()
    with _log(os.path.join(folder, "log.jsonl"), keep=wanted.resume) as file:

        def log(facts: dict[str, float]) -> None:
            if "loss" in facts and facts["step"] % LOG_EVERY:
                return
            text = json.dumps({name: round(value, 5) for name, value in facts.items()})
            file.write(text + "\n")
            file.flush()
            print(text, file=sys.stderr)  # noqa: T201

        began = time.monotonic()
        best = loop.train(run, log=log)
    network = loop.network_of(best)
    card = loop.card(plan, best, photos=len(photos), data_sheet=DATA_SHEET)
    difference = export.export(network, wanted.out, side=plan.shipped_side, card=card)
    return {
        "out": wanted.out, "steps": best.step, "uAP": round(best.uap, 4), "largest_difference": difference,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }  # fmt: skip


def _log(path: str, *, keep: bool) -> TextIO:
    try:
        return open(path, "a" if keep else "w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
