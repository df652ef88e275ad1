"""From groups to a plan: what may go, because it is itself near a file that stays.

Files of one bundle (RAW and JPEG of one shot, sidecars, a Live Photo's video) are one *unit*: they stay or go
together, and a picture among them goes only if it is near a kept one too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Protocol

from imkin.plan import KEEP, LEAVE, LINK, Beside, Member, Own, Plan, Seen, Verb, check, inside, moved
from imkin.policy.keep import Measure, Rule, choose, family
from imkin.types import File

# Of groups up to this size the plan lists all direct pairs, so that a reviewer may put another file in the keeper's
# place; of a larger one, only the pairs with kept files (the list would grow with the square).
ALL_PAIRS_UP_TO = 32

# A link leaves the name of the file in its place, so nothing that goes by that name has to follow.
MOVING = ("trash", "move", "delete")

# Kinds of companions that hold what no other file does: they go only if the kept file has their very bytes beside it.
OWN_CONTENT = ("raw", "image", "video")

UNREADABLE = "a file that belongs to it cannot be read"
CHAINED = "only linked through others"


class Bundles(Protocol):
    """What belongs to an image; `imkin.bundles` reads it from the folders."""

    def of(self, path: str) -> tuple[Beside, ...]:
        """The files that belong to the image at path."""

    def seen(self, path: str) -> Seen | None:
        """A file as it is now; None if it cannot be read."""


class NoBundles:
    """Every image alone (`--no-bundle`)."""

    def of(self, path: str) -> tuple[Beside, ...]:  # noqa: ARG002
        """None."""
        return ()

    def seen(self, path: str) -> Seen | None:  # noqa: ARG002
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan rests on besides the groups.

    roots: absolute folders (or single files) whose files may go. reference: indices of files that never go and are
    preferred as keepers. fixed: index → why that file never goes; a file with the reason LINK is not kept either, so
    that nothing rests on it. decided: (sha256, sha256) → `same`, `different` or
    None. same_file: whether two indices are one file on the disk (hard links). keep_per_folder: keep the best n of
    each folder of a group; 0: one a group. chosen: indices of files that a person keeps; in their groups no rule adds
    another.
    """

    verb: Verb
    rules: Sequence[Rule]
    roots: tuple[str, ...]
    target: str = ""
    reference: AbstractSet[int] = frozenset()
    reference_roots: tuple[str, ...] = ()
    fixed: Mapping[int, str] = field(default_factory=dict)
    keep_per_folder: int = 0
    facts: Measure | None = None
    chosen: AbstractSet[int] = frozenset()
    decided: Callable[[str, str], str | None] = lambda _a, _b: None
    same_file: Callable[[int, int], bool] = lambda _a, _b: False
    bundles: Bundles = field(default_factory=NoBundles)
    method: str = ""
    threshold: float = 0.0


Similarity = Callable[[int, int], float | None]

REFERENCE = "in a reference folder"
CHOSEN = "you keep it"
MOVED = "already in the folder that files are moved to"


def plan(groups: Iterable[Sequence[int]], files: Sequence[File], *, similarity: Similarity, terms: Terms) -> Plan:
    """What to do with each file of each group.

    groups: indices into files, disjoint. similarity: of two indices, 0..1, or None if they are not themselves
    within the threshold of each other. In each group the keepers come first, then the others in their order. What
    is no file of its own (a video's frame, an archive's member) is left out, and so is what lies outside the roots.
    Raises UsageError if the plan would break its own rules.
    """
    terms = replace(
        terms,
        roots=tuple(map(os.path.abspath, terms.roots)),
        target=os.path.abspath(terms.target) if terms.target else "",
        reference_roots=tuple(map(os.path.abspath, terms.reference_roots)),
    )
    claims, made = _Claims({os.path.abspath(files[index].path) for index in terms.chosen}, set()), []
    for group in groups:
        known = {int(index): replace(files[index], path=os.path.abspath(files[index].path)) for index in group}
        if members := _Group(known, similarity, terms, claims).members():
            made.append(members)
    whole = Plan(
        verb=terms.verb,
        roots=terms.roots,
        groups=tuple(made),
        target=terms.target,
        reference_roots=terms.reference_roots,
        method=terms.method,
        threshold=float(terms.threshold),
    )
    check(whole)
    return whole


@dataclass(frozen=True, slots=True)
class _Claims:
    """Paths that earlier groups keep or let go: the RAW of a kept JPEG may well be in a group of RAW files."""

    kept: set[str]
    gone: set[str]


class _Group:
    """One group while its plan is made. A unit is a list of indices; the first of it stands for the others."""

    def __init__(self, files: Mapping[int, File], similarity: Similarity, terms: Terms, claims: _Claims) -> None:
        self._files, self._similarity, self._terms, self._claims = files, similarity, terms, claims
        roots = terms.roots + terms.reference_roots
        self._indices = [
            index
            for index, file in files.items()
            if file.source == "file" and inside(file.path, roots) and file.path not in claims.gone
        ]
        self._locked = {index: reason for index in self._indices if (reason := self._lock(index))}
        self._beside = {index: terms.bundles.of(files[index].path) for index in self._indices}
        self._units = self._make_units()
        self._unit_of = {index: unit for unit in self._units for index in unit}
        self._kept: dict[int, str] = {}
        """The first of each kept unit → why it is kept, in the order of the choice."""
        self._staying: set[int] = set()
        """Every index of a kept unit."""

    def members(self) -> tuple[Member, ...]:
        """The group as a plan lists it; empty if nothing of it is left to decide."""
        self._choose_keepers()
        out = {leader: (KEEP, reason) for leader, reason in self._kept.items()}
        for unit in self._units:
            if unit[0] not in self._kept:
                out[unit[0]] = self._verdict(unit)
        order = list(out)
        made = tuple(self._member(index, order, *out[index]) for index in order)
        for member in made:
            paths = {member.file.path, *(each.path for each in member.bundle)}
            (self._claims.gone if member.do == self._terms.verb else self._claims.kept).update(paths)
        return made if len(self._indices) > 1 else ()

    def _lock(self, index: int) -> str:
        """Why a file may never go, or empty."""
        file = self._files[index]
        if self._terms.fixed.get(index) == LINK:
            return LINK
        if index in self._terms.reference or inside(file.path, self._terms.reference_roots):
            return REFERENCE
        if file.path in self._claims.kept and index not in self._terms.chosen:
            return "it is kept in another group, or belongs to a file that is"
        if moved(file.path, self._terms.target, self._terms.roots):
            return MOVED
        return self._terms.fixed.get(index, "")

    def _make_units(self) -> list[list[int]]:
        """Pictures of one bundle together, in the order of their first."""
        at = {self._files[index].path: index for index in self._indices}
        units: dict[int, list[int]] = {}
        first_of: dict[int, int] = {}
        for index in self._indices:
            mates = (at[beside.path] for beside in self._beside[index] if beside.path in at)
            first_of[index] = min((first_of[mate] for mate in mates if mate in first_of), default=index)
            units.setdefault(first_of[index], []).append(index)
        return list(units.values())

    def _choose_keepers(self) -> None:
        referenced = [index for index in self._indices if self._locked.get(index) == REFERENCE]
        own = [index for index in self._indices if self._locked.get(index) != LINK]
        if any(index in self._terms.chosen for index in self._indices):
            # Of a bundle that is kept one file stands for all. Where only a link was chosen, nothing goes.
            for index in own:
                if index in self._terms.chosen and index not in self._staying:
                    self._keep(index, CHOSEN)
        elif own:
            self._keep_best(referenced or own)
        for index in referenced:
            if index not in self._staying:
                self._keep(index, REFERENCE)
        folders: dict[str, list[int]] = {}
        for index in own:
            folders.setdefault(os.path.dirname(self._files[index].path), []).append(index)
        for folder in folders.values():
            while any(index not in self._staying for index in folder):
                if len({self._unit_of[index][0] for index in folder if index in self._staying}) >= (
                    self._terms.keep_per_folder
                ):
                    break
                self._keep_best([index for index in folder if index not in self._staying])

    def _keep_best(self, among: list[int]) -> None:
        chosen, reason = choose([self._files[index] for index in among], self._terms.rules, facts=self._terms.facts)
        if self._locked.get(among[chosen]) == REFERENCE:
            reason = f"{REFERENCE}; {reason}" if len(among) > 1 else REFERENCE
        self._keep(among[chosen], reason)

    def _keep(self, index: int, reason: str) -> None:
        unit = self._unit_of[index]
        unit.remove(index)
        unit.insert(0, index)
        self._kept[index] = reason
        self._staying.update(unit)

    def _verdict(self, unit: list[int]) -> tuple[str, str]:
        """Do and why of a unit that is not kept."""
        for index in unit:
            if index in self._locked:
                return LEAVE, self._locked[index]
        for leader in self._kept:
            if any(self._terms.same_file(index, leader) for index in unit):
                return LEAVE, f"a hard link of {self._files[leader].path}: nothing to win"
        near = [(leader, similarity) for leader in self._kept for similarity in self._near(unit[0], leader)]
        if not near:
            return LEAVE, self._why_not(unit[0])
        leader, similarity = max(near, key=lambda pair: 1.0 if pair[1] is None else pair[1])
        if veto := self._veto(unit, self._unit_of[leader]):
            return LEAVE, veto
        how = "marked as the same as" if similarity is None else f"{similarity:.4f} to"
        return self._terms.verb, f"{how} {self._files[leader].path}"

    def _near(self, a: int, b: int) -> list[float | None]:
        """The similarity of two files that are near, [None] if a person said so, [] if they are not."""
        decision = self._terms.decided(self._files[a].sha256, self._files[b].sha256)
        similarity = self._similarity(a, b)
        if decision == "different":
            return []
        return [similarity] if similarity is not None or decision == "same" else []

    def _why_not(self, index: int) -> str:
        for leader in self._kept:
            if self._terms.decided(self._files[index].sha256, self._files[leader].sha256) == "different":
                return f"marked as different from {self._files[leader].path}"
        return CHAINED

    def _veto(self, unit: list[int], keeper: list[int]) -> str:
        """Why a unit stays although its first file is near the keeper: it holds something that the keeper lacks."""
        if self._terms.verb not in MOVING:
            return ""
        for index in unit[1:]:
            if not any(self._near(index, leader) for leader in keeper):
                return f"{self._files[index].path}, which belongs to it, is near no kept file"
        there = {self._files[index].sha256 for index in keeper}
        there |= {each.sha256 for each in self._bundle(keeper) or ()}
        bundle = self._bundle(unit)
        sha256 = {each.path: each.sha256 for each in bundle or ()}
        inner = {self._files[index].path for index in unit}
        for beside in (each for index in unit for each in self._beside[index]):
            if beside.path in self._claims.kept:
                return f"{beside.path}, which belongs to it, is kept in another group"
            if beside.path in inner or beside.kind not in OWN_CONTENT or beside.path not in sha256:
                continue
            if sha256[beside.path] not in there:
                return f"{beside.path}, which belongs to it, has no counterpart of the same bytes beside the kept file"
        return UNREADABLE if bundle is None else ""

    def _bundle(self, unit: list[int]) -> tuple[Seen, ...] | None:
        """The other files of a unit as they are; None if one cannot be read."""
        seen = [_seen(self._files[index]) for index in unit[1:]]
        known = {self._files[index].path for index in unit}
        for index in unit:
            for beside in self._beside[index]:
                if beside.path not in known and beside.path not in self._claims.gone:
                    known.add(beside.path)
                    found = self._terms.bundles.seen(beside.path)
                    if found is None:
                        return None
                    seen.append(found)
        return tuple(seen)

    def _member(self, index: int, order: list[int], do: str, why: str) -> Member:
        places = [at for at, other in enumerate(order) if other != index]
        if len(order) > ALL_PAIRS_UP_TO:
            places = [at for at in places if order[at] in self._kept]
        near = tuple((at, similarity) for at in places for similarity in self._near(index, order[at]))
        fixed, bundle = self._locked.get(index, ""), None
        if self._terms.verb in MOVING:
            bundle = self._bundle(self._unit_of[index])
            fixed = fixed or (UNREADABLE if bundle is None else "")
        own = tuple(self._own(self._unit_of[index], bundle or (), {at: order[at] for at in places}))
        return Member(_seen(self._files[index]), do, why, fixed, bundle or (), near, own)

    def _own(self, unit: list[int], bundle: tuple[Seen, ...], places: dict[int, int]) -> Iterator[Own]:
        """What of a bundle holds content of its own; places: those of the other units in the group → their first."""
        inner = {self._files[index].path: index for index in unit[1:]}
        kinds = {beside.path: beside.kind for index in unit for beside in self._beside[index]}
        for path in (each.path for each in bundle):
            if path in inner:
                index = inner[path]
                near = (at for at, first in places.items() if any(self._near(index, to) for to in self._unit_of[first]))
                yield Own(path, "raw" if family(self._files[index]) == "raw" else "image", tuple(near))
            elif kinds[path] in OWN_CONTENT:
                yield Own(path, kinds[path])


def _seen(file: File) -> Seen:
    return Seen(file.path, file.size, file.mtime_ns, file.sha256)
