"""`imkin rank --out`: for every image one JSON file with the others by falling similarity."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from imkin.errors import OutputError
from imkin.report.files import name_bytes, shown, write_atomic

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


def write_rankings(folder: str, names: Sequence[str], rows: Iterable[Sequence[tuple[int, float]]]) -> list[str]:
    """Write `folder/NAME.json` for each image; returns the paths, in the order of names.

    names: of `display_names`. rows: for image 0, 1, … the places in names and similarities (0..1) of the others,
    in any order; the image itself may be among them. Each file holds the image itself with 1.0, then the others by
    falling similarity as written (four decimals), equal ones by name. folder is made if it is missing.
    Raises OutputError, before anything is written, if one of the files is there already.
    """
    paths = [os.path.join(folder, name) for name in _file_names(names)]
    try:
        os.makedirs(folder, exist_ok=True)
        present = {name.casefold() for name in os.listdir(folder)}
    except OSError as error:
        raise OutputError(f"cannot write {shown(folder)}: {error.strerror or error}") from error
    for path in paths:
        if os.path.basename(path).casefold() in present:
            raise OutputError(f"{shown(path)} is there already, and nothing is overwritten: name another folder")
    order = sorted(range(len(names)), key=names.__getitem__)
    quoted = [json.dumps(names[i]) for i in order]
    place = dict(zip(order, range(len(names)), strict=True))
    for i, row in zip(range(len(names)), rows, strict=True):
        write_atomic(paths[i], [_ranking(i, row, quoted=quoted, place=place)], sync=False)
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
    """A file name for each name: with _ for what file systems refuse, different also where case is not told apart."""
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
        result.append(f"{free}.json")
    return result
