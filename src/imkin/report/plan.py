"""A plan and what became of it, for a person and for the page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imkin.errors import OutputError
from imkin.plan import KEEP, LEAVE, Action, Member, Plan, plan_text
from imkin.report.files import one_line, write_atomic
from imkin.report.html import byte_size
from imkin.result import Group, Result


def write_plan(path: str, plan: Plan) -> None:
    """Write a plan file. Raises OutputError, also if there is anything at path."""
    if os.path.lexists(path):
        raise OutputError(f"cannot write {path}: there is something of that name; nothing is overwritten")
    write_atomic(path, [plan_text(plan).encode("ascii")])


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan for a terminal: each group's kept files and why, what happens to the others, and what it would win."""
    actions = {action.file.path: action for action in plan.actions}
    for number, group in enumerate(plan.groups, 1):
        yield f"group {number}\n"
        for member in group:
            yield from _member_lines(member, actions.get(member.file.path))
    if plan.groups:
        yield "\n"
    won = sum(action.bytes_won for action in actions.values())
    where = f" to {shown_path(plan.target)}" if plan.target else ""
    noun = "file" if len(actions) == 1 else "files"
    yield f"{plan.verb}{where}: {len(actions):,} {noun} ({byte_size(won)}); left: {len(plan.left):,}\n"


def _member_lines(member: Member, action: Action | None) -> Iterator[str]:
    name = shown_path(member.file.path)
    if action is None:
        yield f"  {member.do:<8} {'':6}  {name}  ({_short(member.why)})\n"
        return
    similarity = "  same" if action.similarity is None else f"{action.similarity:6.3f}"
    yield f"  {action.verb:<8} {similarity}  {name}  {byte_size(action.bytes_won)}\n"
    for beside in action.bundle:
        yield f"  {'':8} {'':6}  + {shown_path(beside.path)}\n"


def shown_path(path: str) -> str:
    """A path as a person would write it, on one line: relative below the working folder, else absolute."""
    here = os.getcwd()
    return one_line(os.path.relpath(path, here) if path.startswith(here.rstrip(os.sep) + os.sep) else path)


def _short(why: str) -> str:
    here = os.getcwd().rstrip(os.sep) + os.sep
    return one_line(why.replace(here, ""))


def planned(result: Result, plan: Plan) -> Result:
    """The result as the plan sees it: its keepers first, its reasons, and removable what it acts on."""
    place = {os.path.abspath(member.path): member for group in result.groups for member in group.members}
    of_group = {os.path.abspath(member.path): at for at, group in enumerate(result.groups) for member in group.members}
    acted = {path for action in plan.actions for path in (action.file.path, *(b.path for b in action.bundle))}
    groups: dict[int, Group] = {}
    for members in plan.groups:
        known = [member for member in members if member.file.path in place]
        if known:
            number = of_group[known[0].file.path]
            groups[number] = _planned(result.groups[number], known, acted)
    left_out = (
        replace(group, members=tuple(replace(m, removable=False) for m in group.members)) for group in result.groups
    )
    shown = tuple(groups.get(at, group) for at, group in enumerate(left_out))
    removable = [member for group in shown for member in group.members if member.removable]
    summary = replace(
        result.summary, removable=len(removable), removable_bytes=sum(member.bytes for member in removable)
    )
    return replace(result, groups=shown, summary=summary)


def _untouched(group: Group) -> Group:
    return replace(group, members=tuple(replace(member, removable=False) for member in group.members))


def _planned(group: Group, members: Sequence[Member], acted: set[str]) -> Group:
    order = {member.file.path: at for at, member in enumerate(members)}
    near = {members[at].file.path: similarity for at, similarity in members[0].near}
    rows = sorted(group.members, key=lambda row: order.get(os.path.abspath(row.path), len(order)))
    shown = []
    for row in rows:
        path = os.path.abspath(row.path)
        similarity = 1.0 if path == members[0].file.path else near.get(path, row.similarity)
        shown.append(replace(row, removable=path in acted, similarity=similarity))
    parts = [f"keep: {members[0].why}"]
    parts += [f"also keep {shown_path(m.file.path)}: {_short(m.why)}" for m in members[1:] if m.do == KEEP]
    parts += [f"leave {shown_path(m.file.path)}: {_short(m.why)}" for m in members if m.do == LEAVE]
    return replace(group, keeper=shown[0].path, reason="; ".join(parts), members=tuple(shown))
