"""The report folder: report.json, pairs.csv, report.html and collage.jpg of one run, in a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from imkin import image
from imkin.errors import OutputError
from imkin.report.collage import collage, sample_pairs
from imkin.report.csv import write_csv
from imkin.report.files import all_or_none, write_atomic
from imkin.report.html import write_html
from imkin.report.json import Run, write_json
from imkin.result import Pair, Result
from imkin.types import Pixels

Load = Callable[[str, int], Pixels | None]
"""Pixels of the image at a path, its shorter side at least so long where it has that much; None if unreadable."""

DEFAULT_PARENT = "imkin-out"
THUMBNAIL_SIDE = 160
# Pictures in the collage are shown up to 360 × 270.
COLLAGE_SIDE = 270


@contextmanager
def prepared(folder: str | None, *, now: datetime) -> Iterator[str]:
    """Make the folder for a report; before the work, so that nobody waits for a refusal.

    folder: None for `imkin-out/<timestamp>`. What is made here is removed again if the work fails and it is empty.
    Raises OutputError where it cannot be made or written, or holds a report already.
    """
    if folder is None:
        stamp = os.path.join(DEFAULT_PARENT, now.strftime("%Y-%m-%dT%H-%M-%S"))
        folder, number = stamp, 2
        while os.path.lexists(folder):
            folder, number = f"{stamp}-{number}", number + 1
    with all_or_none(folder):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write into the folder {folder}: permission denied")
        if os.path.lexists(os.path.join(folder, "report.json")):
            raise OutputError(f"{folder} holds a report already; name a new folder, or move the old report away")
        yield folder


def write_report(
    folder: str,
    result: Result,
    run: Run,
    *,
    pairs: Iterable[Pair],
    load: Load,
    collage_pairs: int,
    seed: int,
) -> None:
    """Write all files of the report, or none; report.json last, so that its presence means a whole report.

    collage_pairs: pairs in the collage at most, drawn with seed; 0 or no pairs, no collage. Raises OutputError.
    """
    listed = pairs if isinstance(pairs, Sequence) else list(pairs)
    parts = _parts(result, run, listed, load, collage_pairs=collage_pairs, seed=seed)
    with all_or_none(folder) as written:
        for name, put in parts.items():
            path = os.path.join(folder, name)
            put(path)
            written.append(path)


def _parts(
    result: Result, run: Run, pairs: Sequence[Pair], load: Load, *, collage_pairs: int, seed: int
) -> dict[str, Callable[[str], None]]:
    """The files of a report, and what writes each, in their order."""
    removable = [member.path for member in result.removable]
    parts: dict[str, Callable[[str], None]] = {
        "pairs.csv": lambda path: write_csv(path, pairs),
        "report.html": lambda path: write_html(
            path,
            result,
            thumbnail=lambda member: _thumbnail(load(member, THUMBNAIL_SIDE)),
            title="imkin report",
            about={
                "Folders": ", ".join(run.folder_list),
                "Made": run.timestamp.strftime("%Y-%m-%d %H:%M"),
            },
            removable=set(removable),
        ),
    }
    chosen = sample_pairs(pairs, collage_pairs, seed=seed)
    if chosen:
        parts["collage.jpg"] = lambda path: write_atomic(
            path, [image.encode_jpeg(collage(chosen, load=lambda member: load(member, COLLAGE_SIDE)))]
        )
    parts["report.json"] = lambda path: write_json(path, result, run, removable=removable)
    return parts


def _thumbnail(pixels: Pixels | None) -> bytes | None:
    return None if pixels is None else image.encode_jpeg(image.thumbnail(pixels, side=THUMBNAIL_SIDE), quality=75)
