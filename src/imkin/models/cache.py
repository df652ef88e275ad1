"""Where networks lie on the disk, and the ledger of what was put there.

models/NAME/FILE is the network, models/NAME/ledger.json says where it came from. The sha256 of the first file under a
name is held to for good: a later one with another sum is refused until `forget`, for it would give other vectors.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import platformdirs

from imkin.errors import OutputError, UsageError
from imkin.models.cards import Card

LEDGER = "ledger.json"
PARTIAL = ".partial-"

Trial = Callable[[str], object]
"""Opens a file as the network it should be; raises UsageError if it is not. Only then is a new file recorded."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger. commit: of the hub's repository; None: put there by hand, or imported."""

    source: str
    file: str
    commit: str | None
    sha256: str
    bytes: int
    how: Literal["downloaded", "put by hand", "imported"]
    when: str


def folder() -> str:
    """The folder of all networks, in the user's cache."""
    return os.path.join(platformdirs.user_cache_dir("imkin"), "models")


def path(card: Card) -> str:
    """Where a named network's file lies, or would."""
    return os.path.join(folder(), card.name, os.path.basename(card.files[0]) if card.files else f"{card.name}.onnx")


def recorded(card: Card) -> Entry | None:
    """The ledger's line of a network, kept when its file is removed. UsageError: the ledger is damaged."""
    where = os.path.join(folder(), card.name, LEDGER)
    try:
        with open(where, "rb") as file:
            return Entry(**json.loads(file.read()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{where} is damaged ({error}); `imkin models rm {card.name} --forget` removes it") from error


def expected(card: Card) -> str | None:
    """The sha256 that a network's file must have; None: the first one will be recorded."""
    entry = recorded(card)
    return card.sha256 or (entry.sha256 if entry else None)


def check(card: Card, sha256: str, *, what: str) -> None:
    """Raise UsageError unless a file may be used as this network. what: names the file."""
    wanted = expected(card)
    if wanted is None or sha256 == wanted:
        return
    why = "pinned by imkin" if card.sha256 else "of the first file, recorded in the ledger"
    raise UsageError(
        f"{what} is not the network `{card.name}`: its sha256 is {sha256}, not {wanted} ({why}); it is not used"
        + ("" if card.sha256 else f" (`imkin models rm {card.name} --forget` accepts another)")
    )


def verified(card: Card, trial: Trial) -> tuple[str, str] | None:
    """Path and sha256 of a network's file, checked; None: there is no file. One put there by hand is recorded."""
    where = path(card)
    if not os.path.isfile(where):
        return None
    digest = sha256_of(where)
    check(card, digest, what=where)
    if recorded(card) is None:
        trial(where)
        record(card, where, digest, commit=None, how="put by hand")
    return where, digest


def put(
    card: Card, file: str, trial: Trial, *, commit: str | None, how: Literal["downloaded", "imported"]
) -> tuple[str, str]:
    """Move a complete file into its place after its trial, and record it; path and sha256.

    UsageError: it is not the expected one, or fails the trial; nothing is moved then.
    """
    digest = sha256_of(file)
    check(card, digest, what=f"what the hub sent as {card.name}" if how == "downloaded" else file)
    trial(file)
    where = path(card)
    try:
        os.makedirs(os.path.dirname(where), exist_ok=True)
        os.replace(file, where)
    except OSError as error:
        raise OutputError(f"cannot write {where}: {error.strerror or error}") from error
    record(card, where, digest, commit=commit, how=how)
    return where, digest


def record(
    card: Card, where: str, sha256: str, *, commit: str | None, how: Literal["downloaded", "put by hand", "imported"]
) -> None:
    """Write a network's line of the ledger, whole or not at all."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(card.source, os.path.basename(where), commit, sha256, os.path.getsize(where), how, now)
    ledger = os.path.join(os.path.dirname(where), LEDGER)
    partial = f"{ledger}.{os.getpid()}.partial"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(asdict(entry), file, indent=1)
        os.replace(partial, ledger)
    except OSError as error:
        raise OutputError(f"cannot write {ledger}: {error.strerror or error}") from error


@contextmanager
def workplace() -> Iterator[str]:
    """A folder beside the networks for what is not complete; it is gone afterwards, whatever happens."""
    try:
        os.makedirs(folder(), exist_ok=True)
        place = tempfile.mkdtemp(prefix=PARTIAL, dir=folder())
    except OSError as error:
        raise OutputError(f"cannot write to {folder()}: {error.strerror or error}") from error
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def sweep() -> None:
    """Remove what interrupted downloads have left. Not while another download runs."""
    for place in glob.glob(os.path.join(glob.escape(folder()), f"{PARTIAL}*")):
        shutil.rmtree(place, ignore_errors=True)


def remove(card: Card, *, forget: bool = False) -> int:
    """Remove a network's file; the bytes that were freed. forget: its line of the ledger too."""
    where, freed = path(card), 0
    try:
        if os.path.isfile(where):
            freed = os.path.getsize(where)
            os.remove(where)
        if forget:
            shutil.rmtree(os.path.dirname(where), ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot remove {where}: {error.strerror or error}") from error
    return freed


def sha256_of(where: str) -> str:
    """Hex digest of a file."""
    try:
        with open(where, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror or error}") from error


# In a tensor's facts (protobuf, StringStringEntryProto): key `location`, then the name of the file with the weights.
_LOCATION = re.compile(rb"\x0a\x08location\x12(.)([ -\xff]{1,127})", re.DOTALL)


def model_digest(model: str) -> str:
    """Digest of an ONNX file and of the files beside it that hold its weights, if it has any. UsageError: one lacks."""
    own = sha256_of(model)
    with open(model, "rb") as file:
        data = file.read()
    names = {found[2][: found[1][0]] for found in _LOCATION.finditer(data)}
    if not names:
        return own
    beside = [os.path.join(os.path.dirname(model), os.fsdecode(name)) for name in sorted(names)]
    for part in beside:
        if not os.path.isfile(part):
            raise UsageError(f"{model} keeps its weights in {part}, which is not there; put it beside the model")
    return hashlib.sha256("".join([own, *map(sha256_of, beside)]).encode()).hexdigest()
