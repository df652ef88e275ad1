"""What is known to be the same: a CSV of groups, or the decisions of a person."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass

from imkin.errors import MissingPathError, UsageError

DECISIONS = "decisions"
PATH_NAMES = ("path", "file", "filename", "image", "name")
GROUP_NAMES = ("group", "label", "cluster", "identity")
ROLES = ("query", "database")


@dataclass(frozen=True, slots=True)
class Known:
    """One image of a table of groups. role: query, database, or empty for both. kind: what was done to it, or empty."""

    path: str
    group: str
    role: str = ""
    kind: str = ""


def read_groups(path: str) -> list[Known]:
    """Rows of a CSV with the columns path and group, and role and kind where there are such.

    Raises MissingPathError where it cannot be read, UsageError for other columns, a role that is none, no rows.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise MissingPathError(f"cannot read the truth {path}: {error.strerror or error}") from None
    except csv.Error as error:
        raise UsageError(f"the truth {path} is no CSV: {error}") from None
    if not rows:
        raise UsageError(f"the truth {path} is empty; it needs the columns path and group")
    head = [name.strip().lower() for name in rows[0]]
    at = _column(head, PATH_NAMES, path), _column(head, GROUP_NAMES, path)
    role, kind = (head.index(name) if name in head else None for name in ("role", "kind"))
    known = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(at):
            raise UsageError(f"the truth {path}, line {number}, has {len(row)} cells; path and group are wanted")
        found = Known(row[at[0]], row[at[1]].strip(), _cell(row, role).lower(), _cell(row, kind))
        if found.role not in ("", *ROLES):
            raise UsageError(f"the truth {path}, line {number}: a role is query or database, not `{found.role}`")
        known.append(found)
    if not known:
        raise UsageError(f"the truth {path} holds no rows")
    if len({bool(each.role) for each in known}) > 1:
        raise UsageError(f"the truth {path} has rows with a role and rows without; give every row one, or none")
    return known


def _column(head: Sequence[str], names: Sequence[str], path: str) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise UsageError(f"the truth {path} has no column {names[0]}; its columns are {', '.join(head)}")


def _cell(row: Sequence[str], at: int | None) -> str:
    return row[at].strip() if at is not None and at < len(row) else ""


def places(known: Sequence[Known], files: Sequence[str], *, beside: str, roots: Sequence[str]) -> dict[int, int]:
    """Where the rows of a truth are among files: row of known → row of files; rows without a file are not in it.

    A path counts as it is, from the folder `beside` of the truth, from each root, or as a file name that is there once.
    """
    place: dict[str, int] = {}
    names: dict[str, list[int]] = {}
    for at, file in enumerate(files):
        place.setdefault(os.path.realpath(file), at)
        place.setdefault(file, at)
        names.setdefault(os.path.basename(file), []).append(at)
    found = {}
    for row, each in enumerate(known):
        tried = [each.path, *(os.path.realpath(os.path.join(root, each.path)) for root in (beside, *roots, "."))]
        hits = [place[path] for path in tried if path in place]
        alone = names.get(each.path, [])
        if hits:
            found[row] = hits[0]
        elif len(alone) == 1:
            found[row] = alone[0]
    return found
