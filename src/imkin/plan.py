"""The plan of a clean-up: what would happen to which file, because of which kept file. Written, reviewed, read back.

In a plan file a person may change one thing: the word `do` of a file, to `keep`, `leave` or the plan's own verb.
All the rest (paths, sizes, times, checksums, similarities, roots) is covered by a digest. A changed file is refused
whole, and so is one that, after the edit, would remove a file that is near no kept one, or a RAW or video that nothing
beside the kept one equals.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from imkin.errors import MissingPathError, UsageError

SCHEMA = 1

Verb = Literal["trash", "move", "delete", "hardlink", "reflink", "symlink"]
VERBS: tuple[Verb, ...] = get_args(Verb)

KEEP, LEAVE = "keep", "leave"

# Why a symbolic link is never acted on; nothing rests on one either, since what it leads to may change or go.
LINK = "a symbolic link"

# Where files wait that were deleted or replaced by links; hidden, so that no scan finds them.
HELD = ".imkin-held"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when the plan was made; path is absolute and normal."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A file that belongs to an image. kind: raw, image, video, sidecar or label."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Own:
    """A file of a bundle that holds content of its own: it goes only if what is kept holds that content too.

    kind: raw, image or video. near: places in the group, from 0, of the members that, themselves or with one of their
    bundle, it is a near pair of; empty for what was not compared.
    """

    path: str
    kind: str
    near: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a group in a plan.

    do: `keep`, `leave` or the plan's verb. why: one line for a person. fixed: why this file is never acted on, or
    empty. bundle: the files that go where it goes. near: (place in the group from 0, similarity in 0..1, or None if
    a person marked the two as the same) of the members that it is itself a near pair of. own: those of the bundle
    that hold content of their own.
    """

    file: Seen
    do: str
    why: str
    fixed: str = ""
    bundle: tuple[Seen, ...] = ()
    near: tuple[tuple[int, float | None], ...] = ()
    own: tuple[Own, ...] = ()

    def lost(self, keep: Member, *, at: int) -> str:
        """The first file of the bundle whose content would be lost if this goes and keep, at place `at`, stays."""
        there = {keep.file.sha256, *(each.sha256 for each in keep.bundle)}
        sha256 = {each.path: each.sha256 for each in self.bundle}
        return next((own.path for own in self.own if at not in own.near and sha256[own.path] not in there), "")


@dataclass(frozen=True, slots=True)
class Action:
    """One file to go, with its bundle, because `keep` stays. similarity: 0..1, or None if marked as the same."""

    verb: Verb
    file: Seen
    keep: Seen
    similarity: float | None
    reason: str
    bundle: tuple[Seen, ...] = ()

    @property
    def bytes_won(self) -> int:
        """Size of the file and its bundle."""
        return self.file.size + sum(each.size for each in self.bundle)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the groups of one run. roots: only files under these go; all paths are absolute.

    reference_roots: only looked at. target: the folder of the verb `move`, else empty.
    """

    verb: Verb
    roots: tuple[str, ...]
    groups: tuple[tuple[Member, ...], ...]
    target: str = ""
    reference_roots: tuple[str, ...] = ()
    method: str = ""
    threshold: float = 0.0

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions in the order of the groups.

        Raises UsageError for a file that is near no kept one, or whose RAW or video has no equal beside that one.
        """
        return tuple(action for number, group in enumerate(self.groups, 1) for action in self._actions(number, group))

    @property
    def left(self) -> tuple[Member, ...]:
        """The files that are neither kept nor acted on, each with its reason."""
        return tuple(member for group in self.groups for member in group if member.do == LEAVE)

    def _actions(self, number: int, group: tuple[Member, ...]) -> Iterator[Action]:
        for member in group:
            if member.do == self.verb:
                near = [
                    (s, -at)
                    for at, s in ((at, 1.0 if s is None else s) for at, s in member.near)
                    if group[at].do == KEEP and group[at].fixed != LINK
                ]
                if not near:
                    raise UsageError(
                        f"group {number}: {member.file.path} is near no file that is kept; leave it or keep it"
                    )
                at = -max(near)[1]
                if lost := member.lost(group[at], at=at):
                    raise UsageError(
                        f"group {number}: {lost}, which belongs to {member.file.path}, has no counterpart of the same "
                        f"bytes beside {group[at].file.path}, which is kept; leave it or keep it"
                    )
                similarity = dict(member.near)[at]
                yield Action(self.verb, member.file, group[at].file, similarity, member.why, member.bundle)


def parse_action(text: str) -> tuple[Verb, str]:
    """Verb and folder (empty but for `move:DIR`) of an --action. Raises UsageError naming the known ones."""
    verb, colon, folder = text.partition(":")
    known = ", ".join("move:DIR" if each == "move" else each for each in VERBS)
    if verb not in VERBS:
        raise UsageError(f"unknown action `{text}`; known: {known}")
    if (verb == "move") != bool(folder) or (colon and verb != "move"):
        raise UsageError(f"the action `{text}` is written `{'move:DIR' if verb == 'move' else verb}`")
    return verb, os.path.abspath(folder) if folder else ""


def inside(path: str, roots: Sequence[str]) -> bool:
    """Whether an absolute, normal path is one of the roots or under one; by its letters alone."""
    return any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def moved(path: str, target: str, roots: Sequence[str]) -> bool:
    """Whether a path lies below the folder that files are moved to (or empty), and that one within a cleaned one."""
    return bool(target) and target not in roots and inside(target, roots) and inside(path, (target,))


def check(plan: Plan) -> None:
    """Raise UsageError unless the plan keeps its own rules.

    Every file lies inside its roots, no file goes twice, none goes that is kept anywhere or fixed, and each that
    goes is near a file that stays; nor does a RAW or video go with it that has no equal beside that file.
    """
    for path in (*plan.roots, *plan.reference_roots, *([plan.target] if plan.target else [])):
        if not os.path.isabs(path) or os.path.normpath(path) != path:
            raise UsageError(f"the plan names the folder {path}, which is not an absolute, plain path")
    if (plan.verb == "move") != bool(plan.target):
        raise UsageError("the plan has a target folder without the verb move, or the other way round")
    if plan.target and inside(plan.target, plan.reference_roots):
        raise UsageError(f"cannot move files to {plan.target}: it is in a reference folder, which is only looked at")
    everywhere = plan.roots + plan.reference_roots
    kept: set[str] = set()
    gone: set[str] = set()
    for number, group in enumerate(plan.groups, 1):
        for member in group:
            _check_member(plan, number, member, size=len(group))
            acted, path = member.do == plan.verb, member.file.path
            if os.path.normpath(path) != path or not inside(path, plan.roots if acted else everywhere):
                raise UsageError(f"the plan names {path}, which is outside its roots")
            beside = [each.path for each in member.bundle]
            for other in beside:
                if os.path.dirname(other) != os.path.dirname(path) or os.path.normpath(other) != other:
                    raise UsageError(f"the plan names {other}, which does not lie beside {path}")
            for each in (path, *beside):
                if acted and moved(each, plan.target, plan.roots):
                    raise UsageError(f"the plan acts on {each}, which is already in the folder that files are moved to")
                if acted and (each in gone or inside(each, plan.reference_roots)):
                    raise UsageError(f"the plan acts twice on {each}, or it lies in a reference folder")
                (gone if acted else kept).add(each)
    if both := sorted(kept & gone):
        raise UsageError(f"the plan both keeps and removes {both[0]}")
    _ = plan.actions


def _check_member(plan: Plan, number: int, member: Member, *, size: int) -> None:
    if member.do not in (KEEP, LEAVE, plan.verb):
        path = member.file.path
        raise UsageError(f"group {number}: unknown word `{member.do}` for {path}; known: {KEEP}, {LEAVE}, {plan.verb}")
    if member.fixed and member.do == plan.verb:
        raise UsageError(f"group {number}: {member.file.path} must stay: {member.fixed}")
    if any(not 0 <= at < size for at, _ in member.near):
        raise UsageError(f"group {number}: {member.file.path} is said to be near a file that is not there")
    if strange := {own.path for own in member.own} - {each.path for each in member.bundle}:
        raise UsageError(f"group {number}: {min(strange)} is not among what belongs to {member.file.path}")


def plan_text(plan: Plan) -> str:
    """The plan file: JSON, ASCII only, a file a line; names that are not UTF-8 are kept as lone surrogates."""
    head = _head(plan)
    head["digest"] = _digest(head, [[_member(member) for member in group] for group in plan.groups])
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    groups = [",\n".join(f"  {json.dumps(_member(member))}" for member in group) for group in plan.groups]
    body = ",\n".join(f" [\n{group}\n ]" for group in groups)
    return "{\n" + "\n".join(lines) + f'\n "groups": [\n{body}\n ]\n}}\n'


def read_plan(path: str) -> Plan:
    """The plan in a file. Raises MissingPathError; UsageError if it is damaged, changed or of another version."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise MissingPathError(f"cannot read the plan {path}: {error.strerror}") from None
    return parse_plan(content, name=path)


def parse_plan(text: str | bytes, *, name: str) -> Plan:
    """The plan that `plan_text` wrote. Raises UsageError as `read_plan` does, naming `name`."""
    try:
        whole = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no plan: {error}") from None
    try:
        plan = _plan(whole)
        check(plan)
    except UsageError as error:
        raise UsageError(f"{name} is refused, nothing was done: {error}") from None
    return plan


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that stands in it twice a person means one, and nobody can tell which."""
    whole = dict(pairs)
    if len(whole) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"`{next(name for name in names if names.count(name) > 1)}` stands twice in one object")
    return whole


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of a plan")


def _head(plan: Plan) -> dict[str, Any]:
    return {
        "imkin_plan": SCHEMA,
        "edit": f"change only the words after `do`: {KEEP}, {LEAVE} or {plan.verb}",
        "verb": plan.verb,
        "target": plan.target,
        "roots": list(plan.roots),
        "reference_roots": list(plan.reference_roots),
        "method": plan.method,
        "threshold": plan.threshold,
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "do": member.do,
        **asdict(member.file),
        "why": member.why,
        "near": [[at + 1, similarity] for at, similarity in member.near],
        "fixed": member.fixed,
        "bundle": [asdict(each) for each in member.bundle],
        "own": [{"path": own.path, "kind": own.kind, "near": [at + 1 for at in own.near]} for own in member.own],
    }


def _digest(head: dict[str, Any], groups: list[list[dict[str, Any]]]) -> str:
    """sha256 over all but the words that a person may change. It shows a changed file, not who changed it."""
    digest = hashlib.sha256()
    rest = {key: value for key, value in head.items() if key != "digest"}
    digest.update(json.dumps(rest, sort_keys=True).encode())
    for group in groups:
        facts = [{key: value for key, value in member.items() if key != "do"} for member in group]
        digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _plan(whole: Any) -> Plan:
    if not isinstance(whole, dict) or "imkin_plan" not in whole:
        raise UsageError("this is not a plan of imkin")
    if whole["imkin_plan"] != SCHEMA:
        raise UsageError(f"it is of plan version {whole['imkin_plan']}, this imkin knows {SCHEMA}; make it anew")
    try:
        groups = whole.pop("groups")
        if _digest(whole, groups) != whole["digest"]:
            raise UsageError("more was changed in it than the words after `do`; make it anew")
        if whole["verb"] not in VERBS:
            raise UsageError(f"unknown verb `{whole['verb']}`; known: {', '.join(VERBS)}")
        plan = Plan(
            verb=whole["verb"],
            roots=tuple(_text(root) for root in whole["roots"]),
            groups=tuple(tuple(_read_member(member) for member in group) for group in groups),
            target=_text(whole["target"]),
            reference_roots=tuple(_text(root) for root in whole["reference_roots"]),
            method=_text(whole["method"]),
            threshold=float(whole["threshold"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"its parts are not those of a plan ({type(error).__name__}: {error})") from None
    return plan


def _read_member(raw: dict[str, Any]) -> Member:
    return Member(
        file=_seen(raw),
        do=_text(raw["do"]),
        why=_text(raw["why"]),
        fixed=_text(raw["fixed"]),
        bundle=tuple(_seen(each) for each in raw["bundle"]),
        near=tuple((int(at) - 1, None if similarity is None else float(similarity)) for at, similarity in raw["near"]),
        own=tuple(
            Own(_text(own["path"]), _text(own["kind"]), tuple(int(at) - 1 for at in own["near"])) for own in raw["own"]
        ),
    )


def _seen(raw: dict[str, Any]) -> Seen:
    seen = Seen(_text(raw["path"]), int(raw["size"]), int(raw["mtime_ns"]), _text(raw["sha256"]))
    if len(bytes.fromhex(seen.sha256)) != 32 or not os.path.isabs(seen.path) or "\0" in seen.path:
        raise ValueError(f"{seen.path} has no absolute path or no checksum")
    return seen


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def edited(plan: Plan, words: dict[str, str]) -> Plan:
    """The plan with the word `do` of some files (by path) changed, checked. Raises UsageError; KeyError if unknown."""
    unknown = set(words) - {member.file.path for group in plan.groups for member in group}
    if unknown:
        raise KeyError(min(unknown))
    groups = tuple(
        tuple(replace(member, do=words.get(member.file.path, member.do)) for member in group) for group in plan.groups
    )
    changed = replace(plan, groups=groups)
    check(changed)
    return changed
