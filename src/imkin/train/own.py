"""Train a network on one's own photos, from a folder to a model that `--by onnx:PATH` takes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imkin.errors import ImkinError, OutputError, UsageError
from imkin.train import export, loop
from imkin.train.backbones import BACKBONES, build
from imkin.train.data import Photos, gather
from imkin.train.plan import LOSSES, Plan
from imkin.train.pool import Pool

LABELS = ("none", "folders", "decisions")
# Drawn pictures beside the photos: so many at most, and at most half as many as there are photos.
MOST_DRAWN = 1200
# With fewer there is no choice of negatives, nor anything to hold out.
FEWEST_IDENTITIES = 4
FEWEST_PAIRS = 2

Log = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to train. minutes and epochs: one of them is over 0. pairs: in a batch. patience: see `plan.Plan`."""

    photos: str
    out: str
    loss: str = "ssl"
    backbone: str = "kin"
    labels: str = "none"
    minutes: float = 0.0
    epochs: int = 0
    seed: int = 0
    pairs: int = 128
    patience: int = 10
    threads: int = 2
    device: str = "auto"
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it. uap: on held-out photos. largest_difference: of a vector's component, torch against ONNX."""

    out: str
    card: str
    backbone: str
    loss: str
    photos: int
    steps: int
    best_step: int
    uap: float
    threshold: float
    largest_difference: float
    finished: bool
    minutes: float


def train(
    wish: Wish,
    *,
    network: nn.Module | None = None,
    decisions: Mapping[tuple[str, str], str] | None = None,
    log: Log = lambda _: None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train, export and check.

    network: in place of the backbone; unit vectors (n, dim) of pictures (n, 3, h, w). decisions: (sha256, sha256) →
    verdict, for labels of that kind. log: called after each step and each look at the held-out photos.

    What a run needs to go on lies in the folder OUT.run until it has ended by itself. Raises UsageError for options
    that cannot be, too few photos, a run that is there already or a checkpoint of another one, OutputError for what
    cannot be written; the model and its card are written together, or neither.
    """
    _check(wish)
    began = time.monotonic()
    folder = wish.out + ".run"
    checkpoint = os.path.join(folder, "checkpoint.pt")
    if not wish.resume and os.path.exists(checkpoint):
        raise UsageError(f"{folder} holds a run that was stopped: go on with --resume, or remove that folder")
    if wish.resume and not os.path.exists(checkpoint):
        raise UsageError(f"there is no run to go on with in {folder}; leave out --resume")
    network = network or build(wish.backbone, seed=wish.seed)
    try:
        photos, failures = gather(wish.photos, folder, progress=progress)
        photos = labelled(photos, wish, decisions or {})
    except ImkinError:
        if not wish.resume:
            _clear(folder)
        raise
    for failure in failures:
        log({"step": 0, f"left out: {failure.path}: {failure.reason}": 1})
    plan = plan_of(wish, photos)
    run = loop.Run(photos, plan, checkpoint, network=network, key=_key(wish, photos))
    if wish.resume:
        run.load()
    with _log_file(os.path.join(folder, "log.jsonl"), log, keep=wish.resume) as both:
        best = loop.train(run, log=both, stop=stop)
    # Similarities of different pictures reach it once in 100,000: what `--by onnx:…` takes where nothing is said.
    threshold = round(min(1.0, max(0.01, best.limit)), 4)
    card = loop.card(plan, best, photos=len(photos), data_sheet="") | {
        "threshold": threshold, "loss": wish.loss, "backbone": wish.backbone, "labels": wish.labels,
    }  # fmt: skip
    card.pop("data_sheet")
    difference = export.export(run.best_network(), wish.out, side=plan.shipped_side, card=card)
    if run.over:
        _clear(folder)
    return Trained(
        wish.out, export.card_path(wish.out), wish.backbone, wish.loss, len(photos), run.step, best.step,
        round(best.uap, 4), threshold, difference, run.over, round((time.monotonic() - began) / 60, 1),
    )  # fmt: skip


def _check(wish: Wish) -> None:
    """Refuse before any photo is decoded what would be refused after hours."""
    for word, value, known in (("loss", wish.loss, LOSSES), ("labels", wish.labels, LABELS)):
        if value not in known:
            raise UsageError(f"unknown --{word} `{value}`; known: {', '.join(known)}")
    if wish.backbone not in BACKBONES:
        raise UsageError(f"unknown --backbone `{wish.backbone}`; known: {', '.join(BACKBONES)}")
    if (wish.minutes > 0) == (wish.epochs > 0) or wish.minutes < 0 or wish.epochs < 0:
        raise UsageError("say how long to train: --minutes or --epochs, one of them and over 0")
    if wish.pairs < 4 or wish.threads < 1 or wish.patience < 0:
        raise UsageError("--batch must be at least 4, --jobs at least 1, --patience not negative")
    if wish.device not in ("auto", "cpu", "cuda") or (wish.device == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"there is no device `{wish.device}` to train on here; give auto or cpu")
    if not wish.out.endswith(".onnx"):
        raise UsageError(f"--out names the model to write and ends in .onnx, not {wish.out}")
    parent = os.path.dirname(os.path.abspath(wish.out))
    if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {wish.out}: {parent} is no folder that can be written into")


def labelled(photos: Photos, wish: Wish, decisions: Mapping[tuple[str, str], str]) -> Photos:
    """The photos with what each shows, as the wish says. UsageError: labels that leave nothing to learn from."""
    if wish.labels == "none":
        return photos
    if wish.labels == "folders":
        names = [os.path.relpath(path, wish.photos).split(os.sep) for path in photos.paths]
        # A file beside the folders shows something of its own.
        shown = [parts[0] + os.sep if len(parts) > 1 else os.sep.join(parts) for parts in names]
        label = np.unique(shown, return_inverse=True)[1].astype(np.int64)
        if len(np.unique(label)) < FEWEST_IDENTITIES:
            raise UsageError(
                f"{wish.photos} has {len(np.unique(label))} subfolders with pictures; --labels folders wants one for "
                f"each thing that is shown, at least {FEWEST_IDENTITIES}"
            )
        return replace(photos, label=label)
    label = _decided(photos.paths, decisions)
    joined = len(label) - len(np.unique(label))
    if joined < FEWEST_PAIRS:
        raise UsageError(
            f"{joined} pairs of these pictures were decided to be the same; --labels decisions wants "
            f"{FEWEST_PAIRS} at least (see `imkin mark --same`)"
        )
    return replace(photos, label=label)


def _decided(paths: Sequence[str], decisions: Mapping[tuple[str, str], str]) -> NDArray[np.int64]:
    """(n,) label of each file: equal for those that decisions make the same, or that have the same bytes."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    digests = []
    for path in paths:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    contents, which = np.unique(digests, return_inverse=True)
    place = {sha256: at for at, sha256 in enumerate(contents.tolist())}
    same = [
        (place[a], place[b]) for (a, b), verdict in decisions.items() if verdict == "same" and {a, b} <= place.keys()
    ]
    left, right = (np.array([pair[side] for pair in same], np.int64) for side in (0, 1))
    graph = csr_array((np.ones(len(same), np.int8), (left, right)), shape=(len(contents), len(contents)))
    return np.asarray(connected_components(graph, directed=False)[1][which], np.int64)


def plan_of(wish: Wish, photos: Photos) -> Plan:
    """How the run goes."""
    side, shipped = BACKBONES[wish.backbone].sides
    cuda = wish.device == "cuda" or (wish.device == "auto" and torch.cuda.is_available())
    plan = Plan(
        minutes=wish.minutes or 1.0,
        seed=wish.seed,
        pairs=wish.pairs,
        sides=((0.0, side),),
        shipped_side=shipped,
        drawn=min(MOST_DRAWN, len(photos) // 2),
        # One after the other on a GPU, which is shared by all threads.
        threads=1 if cuda else wish.threads,
        loss=wish.loss,
        patience=wish.patience,
        device="cuda" if cuda else "cpu",
        save_every_s=min(600.0, max(20.0, wish.minutes * 3)),
    )
    if not wish.epochs:
        return plan
    _, rest = loop.held_out(photos, seed=wish.seed)
    per_epoch = Pool(photos.take(rest), plan).steps_per_epoch
    steps = wish.epochs * per_epoch
    return replace(plan, steps=steps, examine_every=per_epoch, warm_steps=min(plan.warm_steps, max(1, steps // 5)))


def _key(wish: Wish, photos: Photos) -> str:
    """What a checkpoint must agree with to be gone on with: all but how it is run."""
    facts = asdict(replace(wish, out="", resume=False, patience=0, device="", photos=os.path.abspath(wish.photos)))
    label = None if photos.label is None else photos.label.tolist()
    text = json.dumps([facts, photos.paths, photos.aspect.tolist(), label])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@contextlib.contextmanager
def _log_file(path: str, log: Log, *, keep: bool):  # type: ignore[no-untyped-def]
    """A log that also goes to a file, one JSON object a line. OutputError: it cannot be written."""
    try:
        with open(path, "a" if keep else "w", encoding="utf-8") as file:

            def both(facts: dict[str, float]) -> None:
                file.write(json.dumps({name: round(value, 5) for name, value in facts.items()}) + "\n")
                file.flush()
                log(facts)

            yield both
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _clear(folder: str) -> None:
    """Remove the decoded photos and the checkpoint; the log stays, and with it the folder."""
    for name in ("photos.npy", "photos.json", "checkpoint.pt"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, name))
    with contextlib.suppress(OSError):  # there is a log, or no folder
        os.rmdir(folder)
