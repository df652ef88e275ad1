"""What `imkin rank` writes: for every image a JSON file of the others by falling similarity, and its fingerprint."""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from imkin.errors import OutputError
from imkin.report.files import all_or_none, name_bytes, shown, write_atomic
from imkin.types import Prints

# File names of over 255 bytes are refused by most file systems; room is left for a suffix.
_NAME_BYTES = 200
# Similarities have four decimals; texts of 1, 0.9999, … 0.
_STEPS = 10_000
_SCORES = [str((_STEPS - step) / _STEPS) for step in range(_STEPS + 1)]

_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def display_names(paths: Sequence[str], roots: Sequence[str]) -> list[str]:
    """A name for each path, all different: the file name without suffix, or as much more as it takes.

    Images that would share a name get their path relative to the root that holds them (the first, where roots lie
    in each other), with its suffix and with slashes; where that too is shared, the path as given.
    paths must be different. Cost: linear.
    """
    tiers = [_tiers(path, roots) for path in paths]
    tier = [0] * len(paths)
    while True:
        names = [tiers[i][level] for i, level in enumerate(tier)]
        uses = Counter(names)
        clashing = [i for i, name in enumerate(names) if uses[name] > 1 and tier[i] + 1 < len(tiers[i])]
        if not clashing:
            return names
        for i in clashing:
            tier[i] += 1


def write_rankings(
    folder: str,
    names: Sequence[str],
    rows: Iterable[Sequence[tuple[int, float]]],
    *,
    own: Sequence[int] | None = None,
) -> list[str]:
    """Write `folder/NAME.json` for each ranked image; returns the paths, in the order of rows.

    names: of `display_names`. rows: for each ranked image the places in names and the similarities (0..1) of the
    others, in any order; the image itself may be among them. own: places of the ranked images, by default all.
    Each file holds the image itself with 1.0, then the others by falling similarity as written (four decimals),
    equal ones by name. folder is made if it is missing.
    Raises OutputError, before anything is written, if one of the files is there already.
    """
    own = range(len(names)) if own is None else own
    order = sorted(range(len(names)), key=names.__getitem__)
    quoted = [json.dumps(names[i]) for i in order]
    place = dict(zip(order, range(len(names)), strict=True))
    with all_or_none(folder) as written:
        paths = _targets(folder, names, own, suffix=".json")
        for i, path, row in zip(own, paths, rows, strict=True):
            write_atomic(path, [_ranking(i, row, quoted=quoted, place=place)], sync=False)
            written.append(path)
    return paths


def write_vectors(folder: str, names: Sequence[str], prints: Prints) -> list[str]:
    """Write each image's raw fingerprint, a row of `prints.values`, as `folder/NAME.npy`; returns the paths.

    names: of `display_names`, one a row. Raises OutputError as `write_rankings` does.
    """
    with all_or_none(folder) as written:
        paths = _targets(folder, names, range(len(names)), suffix=".npy")
        for path, value in zip(paths, prints.values, strict=True):
            stream = io.BytesIO()
            np.save(stream, value, allow_pickle=False)
            write_atomic(path, [stream.getvalue()], sync=False)
            written.append(path)
    return paths


def _targets(folder: str, names: Sequence[str], own: Sequence[int], *, suffix: str) -> list[str]:
    """Paths of the files to write, none of which is there."""
    files = _file_names(names)
    paths = [os.path.join(folder, f"{files[i]}{suffix}") for i in own]
    present = {name.casefold() for name in os.listdir(folder)}
    for path in paths:
        if os.path.basename(path).casefold() in present:
            raise OutputError(f"{shown(path)} is there already, and nothing is overwritten: name another folder")
    return paths


def _ranking(own: int, row: Sequence[tuple[int, float]], *, quoted: Sequence[str], place: Mapping[int, int]) -> bytes:
    """JSON. quoted: names in their order as JSON text; place: of each image in that order.

    One integer holds an image's score and name and sorts by both: 3 times as fast as tuples, and there are n * n.
    """
    n = len(quoted)
    keys = sorted([(_STEPS - round(similarity * _STEPS)) * n + place[i] for i, similarity in row if i != own])
    lines = [f'{{"similarity": {_SCORES[key // n]}, "filename": {quoted[key % n]}}}' for key in keys]
    return "".join(
        ["[", ",\n ".join([f'{{"similarity": 1.0, "filename": {quoted[place[own]]}}}', *lines]), "]\n"]
    ).encode()


def _tiers(path: str, roots: Sequence[str]) -> tuple[str, ...]:
    stem = os.path.splitext(os.path.basename(path))[0]
    for root in roots:
        start = os.path.join(root, "")
        if path.startswith(start):
            return stem, path[len(start) :].replace(os.sep, "/"), path
    return stem, path


def _file_names(names: Sequence[str]) -> list[str]:
    """File names without suffix: _ for what file systems refuse, and different also where case is not told apart."""
    taken: set[str] = set()
    result = []
    for name in names:
        safe = _NOT_IN_NAMES.sub("_", name).rstrip(". ") or "_"
        if _RESERVED.fullmatch(safe):
            safe = f"{safe}_"
        while len(name_bytes(safe)) > _NAME_BYTES:
            safe = safe[:-1]
        free, number = safe, 2
        while free.casefold() in taken:
            free, number = f"{safe}-{number}", number + 1
        taken.add(free.casefold())
        result.append(free)
    return result
