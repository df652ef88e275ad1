"""What is told about a session, as plain data: columns of files and groups, one group closely, a plan in short."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from imkin.plan import KEEP, Action, Plan
from imkin.report.files import shown
from imkin.result import rounded
from imkin.review.about import STATES
from imkin.review.session import Session

# Of a larger group, only similarities with the kept files are told: the list would grow with the square.
ALL_PAIRS_UP_TO = 32
# Rows of a plan that are told at once.
PLAN_ROWS = 300
# A content's name on the page: 96 bits of its sha256 are not met twice in any collection.
CONTENT_DIGITS = 24

Plain = dict[str, object]


def overview(session: Session) -> Plain:
    """All groups and the files in them, in columns; ids of files and groups are places in the session's lists."""
    with session.lock:
        files = sorted({at for members in session.groups for at in members})
        least, most = _extremes(session)
        folders: dict[str, int] = {}
        for at in files:
            folders.setdefault(_folder(session.files[at].path), len(folders))
        own = [session.files[at] for at in files]
        return {
            "revision": session.revision,
            "threshold": session.threshold,
            "folders": [shown(folder) for folder in folders],
            "files": {
                "id": files,
                "name": [shown(os.path.basename(file.path)) for file in own],
                "folder": [folders[_folder(file.path)] for file in own],
                "content": [file.sha256[:CONTENT_DIGITS] for file in own],
                "width": [file.width for file in own],
                "height": [file.height for file in own],
                "bytes": [file.size for file in own],
                "format": [file.format for file in own],
                "date": [file.mtime_ns // 10**9 for file in own],
            },
            "groups": {
                "members": session.groups,
                "least": [rounded(value) for value in least],
                "most": [rounded(value) for value in most],
                **_standings(session, range(len(session.groups))),
            },
            **progress(session),
        }


def _folder(path: str) -> str:
    return os.path.dirname(path) or "."


def _extremes(session: Session) -> tuple[list[float], list[float]]:
    """The least and the greatest similarity of a pair, a number each a group."""
    count = len(session.groups)
    least, most = np.full(count, 2.0), np.zeros(count)
    of_node = np.full(session.kin.count, -1, np.int64)
    for number, members in enumerate(session.groups):
        nodes = session.kin.node[list(members)]
        of_node[nodes] = number
        if len(np.unique(nodes)) < len(nodes):
            most[number] = 1.0
    pairs = session.kin.pairs
    inside = (of_node[pairs.left] == of_node[pairs.right]) & (of_node[pairs.left] >= 0)
    number = of_node[pairs.left][inside]
    np.minimum.at(least, number, pairs.similarity[inside])
    np.maximum.at(most, number, pairs.similarity[inside])
    least[least > 1] = 1.0
    return least.tolist(), np.maximum(most, np.where(most == 0, least, most)).tolist()


def _standings(session: Session, numbers: Iterable[int]) -> Plain:
    standings = [session.standings[number] for number in numbers]
    return {
        "state": [STATES.index(standing.state) for standing in standings],
        "keeper": [standing.keeper for standing in standings],
        "kept": [list(standing.kept) if standing.state != "open" else [] for standing in standings],
        "going": [list(standing.going) for standing in standings],
        "won": [sum(session.files[at].size for at in standing.going) for standing in standings],
    }


def changes(session: Session, numbers: Sequence[int]) -> Plain:
    """Where these groups stand now."""
    with session.lock:
        return {"groups": {"id": list(numbers), **_standings(session, numbers)}, **progress(session)}


def progress(session: Session) -> Plain:
    """How much is decided, and what would be undone."""
    decided = [standing for standing in session.standings if standing.state != "open"]
    return {
        "decided": len(decided),
        "total": len(session.groups),
        "going": sum(len(standing.going) for standing in decided),
        "winning": sum(session.files[at].size for standing in decided for at in standing.going),
        "undo": session.undoable,
    }


def group(session: Session, number: int) -> Plain:
    """One group closely: what would happen to each file and why, and how alike its files are."""
    planned = session.outlook([number])[number]
    with session.lock:
        members = session.members(number)
        kept = [at for at in members if at in planned and planned[at].do == KEEP]
        few = len(members) <= ALL_PAIRS_UP_TO
        couples = [
            (a, b)
            for a, b in _couples(members, kept, few=few)
            if session.measured(a, b) is not None or session.verdict(a, b)
        ]
        names = session.relations([(min(pair), max(pair)) for pair in couples])
        return {
            "id": number,
            "members": [
                {
                    "id": at,
                    "do": planned[at].do if at in planned else "leave",
                    "why": shown(planned[at].why if at in planned else session.stays(at)),
                    "fixed": shown(planned[at].fixed if at in planned else session.stays(at)),
                    "beside": [shown(os.path.basename(each.path)) for each in planned[at].bundle]
                    if at in planned
                    else [],
                }
                for at in members
            ],
            "pairs": [
                [a, b, None if (s := session.measured(a, b)) is None else rounded(s), session.verdict(a, b), name]
                for (a, b), name in zip(couples, names, strict=True)
            ],
            "keeper": kept[0] if kept else members[0],
        }


def _couples(members: Sequence[int], kept: Sequence[int], *, few: bool) -> Iterable[tuple[int, int]]:
    if few:
        return ((a, b) for at, a in enumerate(members) for b in members[at + 1 :])
    return ((a, b) for a in kept[:1] for b in members if b != a)


def relations(session: Session) -> list[list[str]]:
    """For each group, how its other files are related to its keeper, each relation once; empty where nobody tells."""
    with session.lock:
        ends = [(number, each.keeper) for number, each in enumerate(session.standings)]
        couples = [
            (number, (at, keeper) if at < keeper else (keeper, at))
            for number, keeper in ends
            for at in session.groups[number]
            if at != keeper and session.measured(at, keeper) is not None
        ]
    names = session.relations([pair for _, pair in couples])
    found: list[set[str]] = [set() for _ in ends]
    for (number, _), name in zip(couples, names, strict=True):
        found[number].update({name} - {""})
    return [sorted(each) for each in found]


def sharpness(session: Session, files: Sequence[int]) -> list[float | None]:
    """How sharp each file is, 0..1 (1 − the blur of `facts.blur`); None where it cannot be told."""
    blurs = [session.facts(session.files[at]).blur for at in files]
    return [None if blur is None else round(1 - blur, 3) for blur in blurs]


def plan(session: Session, made: Plan) -> Plain:
    """A plan in short: counts, the first of its actions, and what it leaves although a person let it go."""
    actions = made.actions
    left = [member for member in made.left if member.do != KEEP]
    return {
        "verb": made.verb,
        "target": shown(made.target),
        "count": len(actions),
        "bytes": sum(action.bytes_won for action in actions),
        "beside": sum(len(action.bundle) for action in actions),
        "kept": len({action.keep.path for action in actions}),
        "undecided": sum(standing.state == "open" for standing in session.standings),
        "actions": [_action(action) for action in actions[:PLAN_ROWS]],
        "left": [{"path": shown(member.file.path), "why": shown(member.why)} for member in left[:PLAN_ROWS]],
        "left_count": len(left),
    }


def _action(action: Action) -> Plain:
    return {
        "path": shown(action.file.path),
        "keep": shown(action.keep.path),
        "content": action.file.sha256[:CONTENT_DIGITS],
        "keep_content": action.keep.sha256[:CONTENT_DIGITS],
        "bytes": action.bytes_won,
        "similarity": None if action.similarity is None else rounded(action.similarity),
        "beside": [shown(os.path.basename(each.path)) for each in action.bundle],
    }
