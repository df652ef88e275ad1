"""The groups of a scan at a threshold that a person moves, and what they decide, saved as it is decided.

Groups are those that were measured: a verdict `different` stands beside its pair and takes nothing out of view, so
that it can be seen and taken back. What would happen to a file is asked of the policy that makes plans, and of
nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imkin import facts as facts_
from imkin import grouping as grouping_
from imkin import image
from imkin.actions import Wish, make_plan
from imkin.catalogue import Database
from imkin.catalogue.choices import Choice
from imkin.catalogue.decisions import DecisionStore, Verdict
from imkin.errors import UsageError
from imkin.findings import relating
from imkin.grouping import Grouping, Kin, Similarities
from imkin.library import Library, Scope
from imkin.plan import Member, Plan, Verb
from imkin.policy import Facts, choose
from imkin.review.about import About, Relate, Standing
from imkin.review.pictures import Pictures
from imkin.review.remembered import Remembered, pair_of
from imkin.scan import Scan
from imkin.types import File, Pairs

# How far below the threshold of the run a person can look. Pairs are measured once, down to here.
REACH = 0.1
# Thresholds whose groups are counted ahead, from the lowest to 1.
STOPS = 21


def open_session(
    library: Library,
    scanned: Scan,
    *,
    wish: Wish,
    threshold: float,
    database: Database,
    grouping: Grouping = "transitive",
    scope: Scope = Scope(),
    limits: image.Limits = image.Limits(),
    thumbnails: str | None = None,
) -> Session:
    """A session on a scan. database: durable, holds decisions and the journal. thumbnails: a folder to keep them in."""
    same = {(each.first, each.second): each.verdict for each in DecisionStore(database).all() if each.verdict == "same"}
    floor = threshold if scanned.prints.spec.kind == "bytes" else max(0.0, threshold - REACH)
    kin = library.kin(scanned, floor, scope=scope, verdicts=same)
    about = About(wish, scanned.prints.spec.name, threshold, floor, grouping, len(scope.reference), limits)
    pictures = Pictures(library.pixels, folder=thumbnails)
    return Session(scanned, kin, about=about, database=database, pictures=pictures, relate=relating(scanned))


class Session:
    """One person at work on one scan. All methods may be called from any thread."""

    def __init__(
        self,
        scanned: Scan,
        kin: Kin,
        *,
        about: About,
        database: Database,
        pictures: Pictures,
        relate: Relate | None = None,
    ) -> None:
        self.relate = relate
        self.scanned, self.about, self.database, self.pictures = scanned, about, database, pictures
        self.lock = threading.RLock()
        self.files: tuple[File, ...] = scanned.files
        self.revision = 0
        self.threshold = about.threshold
        self.gone: set[int] = set()
        self._kin = kin
        self._paths = [os.path.abspath(file.path) for file in self.files]
        scope = "\n".join(sorted(about.wish.roots))
        self.said = Remembered(database, self.files, self._paths, scope=scope)
        self._suggested: dict[tuple[int, ...], int] = {}
        self._facts: dict[str, Facts] = {}
        self._related: dict[tuple[int, int], str] = {}
        self.regroup(about.threshold)

    # ---- the groups at a threshold

    def regroup(self, threshold: float) -> None:
        """Group anew at a threshold, no lower than `about.floor`, without what is gone. Raises UsageError outside."""
        if not self.about.floor - 1e-9 <= threshold <= 1.0:
            raise UsageError(f"the threshold of this review is {self.about.floor:g} to 1, not {threshold:g}")
        with self.lock:
            self.threshold = threshold
            self.kin = self._cut(threshold)
            self._near = Similarities(self.kin)
            self.groups = [
                left
                for members in grouping_.group(self.kin, self.about.grouping)
                if len(left := tuple(at for at in members.tolist() if at not in self.gone)) > 1
            ]
            self._group_of = {at: number for number, members in enumerate(self.groups) for at in members}
            self.standings = [self._standing(members) for members in self.groups]
            self.revision += 1

    def _cut(self, threshold: float) -> Kin:
        pairs = self._kin.pairs
        # Similarities are float32: what is at the threshold in them may lie below it in a double.
        near = pairs.similarity >= np.float32(threshold)
        return Kin(self._kin.node, self._kin.label, Pairs(pairs.left[near], pairs.right[near], pairs.similarity[near]))

    def stops(self) -> list[tuple[float, int, int]]:
        """(threshold, groups, files in them) from the lowest threshold to 1."""
        found = []
        for threshold in np.linspace(self.about.floor, 1.0, STOPS).tolist():
            groups = grouping_.group(self._cut(threshold), self.about.grouping)
            found.append((threshold, len(groups), sum(map(len, groups))))
        return found

    def similarity(self, a: int, b: int) -> float | None:
        """How alike two files are, None where they are no pair, or a person said that they are different."""
        verdict = self.said.verdict(a, b)
        if verdict == "different":
            return None
        measured = self._near(a, b)
        return 1.0 if measured is None and verdict == "same" else measured

    def measured(self, a: int, b: int) -> float | None:
        """How alike two files are, whatever a person said; None where they are no pair."""
        return self._near(a, b)

    def verdict(self, a: int, b: int) -> str | None:
        """`same`, `different`, or None where nobody said."""
        return self.said.verdict(a, b)

    def relations(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """How the two files of each pair are related, in words; empty where the method does not tell."""
        if self.relate is None:
            return [""] * len(pairs)
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._related]
        if missing:
            left, right = (np.array([pair[side] for pair in missing], np.int64) for side in (0, 1))
            self._related.update(zip(missing, (each.name for each in self.relate(left, right)), strict=True))
        return [self._related[pair] for pair in pairs]

    def stays(self, at: int) -> str:
        """Why a file never goes, as far as the scan tells, or empty."""
        if self.scanned.root[at] < self.about.references:
            return "in a reference folder"
        return "" if self.files[at].source == "file" else "no file of its own: it is only looked at"

    # ---- where a group stands

    def _standing(self, members: Sequence[int]) -> Standing:
        choices = self.said.choices
        kept = tuple(at for at in members if at in choices and choices[at].word == "keep")
        contents = {self.files[at].sha256 for at in kept}
        parted = any(self.files[at].sha256 in self.said.parted for at in members) and self._all_parted(members)
        if parted:
            return Standing("different", members[0], tuple(members), ())
        if kept and all(self._is_settled(at, contents) for at in members):
            going = tuple(at for at in members if at not in kept)
            return Standing("kept" if going else "all", kept[0], kept, going)
        keeper = kept[0] if kept else self._suggestion(tuple(members))
        going = tuple(
            at
            for at in members
            if at != keeper and at not in kept and not self.stays(at) and self.similarity(at, keeper) is not None
        )
        return Standing("open", keeper, kept, going)

    def _is_settled(self, at: int, kept: Collection[str]) -> bool:
        choice = self.said.choices.get(at)
        return choice is not None and (choice.word == "keep" or choice.instead in kept)

    def _all_parted(self, members: Sequence[int]) -> bool:
        """Whether a person told every pair of a group apart; of equal bytes nobody can."""
        return not any(self.similarity(a, b) is not None for at, a in enumerate(members) for b in members[at + 1 :])

    def _suggestion(self, members: tuple[int, ...]) -> int:
        """By the rules that need no reading of files; the group's own view asks all of them."""
        if members not in self._suggested:
            own = [at for at in members if self.stays(at) == "in a reference folder"] or list(members)
            chosen, _ = choose([self.files[at] for at in own], self.about.wish.rules)
            self._suggested[members] = own[chosen]
        return self._suggested[members]

    def members(self, number: int) -> tuple[int, ...]:
        """The files of a group. Raises UsageError for one that is not there."""
        if not 0 <= number < len(self.groups):
            raise UsageError(f"there is no group {number}")
        return self.groups[number]

    # ---- deciding

    def keep(self, number: int, kept: Collection[int]) -> list[int]:
        """Keep these files of a group, and let go what is near one of them; returns the groups that changed."""
        return self.keep_each({number: kept}, what="Keep")

    def keep_each(self, kept: Mapping[int, Collection[int]], *, what: str) -> list[int]:
        """Keep these files of each group, as one step."""
        with self.lock:
            choices: dict[int, Choice] = {}
            for number, chosen in kept.items():
                members = self.members(number)
                if not set(chosen) <= set(members) or not chosen:
                    raise UsageError("keep one file of the group at least")
                choices |= self._settled(members, set(chosen))
            return self._take(what, list(kept), choices, {})

    def keep_all(self, numbers: Sequence[int]) -> list[int]:
        """Keep every file of these groups."""
        return self.keep_each({number: self.members(number) for number in numbers}, what="Keep all")

    def part(self, numbers: Sequence[int], *, file: int | None = None) -> list[int]:
        """Tell apart the files of these groups, or one file from all others of its group."""
        with self.lock:
            verdicts: dict[tuple[str, str], Verdict | None] = {}
            choices: dict[int, Choice | None] = {}
            for number in numbers:
                members = self.members(number)
                if file is not None and file not in members:
                    raise UsageError("that file is not in the group")
                for a, b in _pairs(members, file):
                    one, other = self.files[a].sha256, self.files[b].sha256
                    if one != other and self.similarity(a, b) is not None:
                        verdicts[pair_of(one, other)] = "different"
                # What was decided about the group rested on its pairs.
                choices |= {at: None for at in members if at in self.said.choices}
            if not verdicts:
                raise UsageError("there is no pair to tell apart: equal bytes are the same; keep all of them instead")
            return self._take("Different", numbers, choices, verdicts)

    def reopen(self, numbers: Sequence[int]) -> list[int]:
        """Forget what was decided about these groups."""
        with self.lock:
            choices: dict[int, Choice | None] = {}
            verdicts: dict[tuple[str, str], Verdict | None] = {}
            for number in numbers:
                members = self.members(number)
                choices |= {at: None for at in members if at in self.said.choices}
                contents = {self.files[at].sha256 for at in members}
                verdicts |= {
                    pair: None
                    for pair, one in self.said.decisions.items()
                    if one.verdict == "different" and contents.issuperset(pair)
                }
            return self._take("Open again", numbers, choices, verdicts)

    def undo(self) -> tuple[str, int, list[int]]:
        """Take the last decision back: what it was, a file it was about, the groups that changed.

        Raises UsageError if there is none.
        """
        with self.lock:
            what, at, touched = self.said.undo()
            return what, at, self._restand(touched)

    @property
    def undoable(self) -> str:
        """What would be undone, or empty."""
        return self.said.undoable

    def _settled(self, members: Sequence[int], kept: set[int]) -> dict[int, Choice]:
        """A choice for every member: what is near none of the kept files stays as well."""
        found: dict[int, Choice] = {}
        lasting = [at for at in members if at in kept and self.files[at].source == "file"]
        for at in members:
            near = [(s, -k, k) for k in lasting if (s := self.similarity(at, k)) is not None]
            path, sha256 = self._paths[at], self.files[at].sha256
            if at in kept or self.stays(at) or not near:
                found[at] = Choice(path, sha256, "keep")
            else:
                found[at] = Choice(path, sha256, "go", self.files[max(near)[2]].sha256)
        return found

    def _take(
        self,
        what: str,
        numbers: Sequence[int],
        choices: Mapping[int, Choice | None],
        verdicts: Mapping[tuple[str, str], Verdict | None],
    ) -> list[int]:
        """Write a decision down, and see where the groups stand now."""
        if not numbers:
            return []
        return self._restand(self.said.take(what, self.members(numbers[0])[0], choices, verdicts))

    def _restand(self, touched: Collection[int]) -> list[int]:
        """Where the groups of these files stand now; returns those that stand elsewhere than before."""
        changed = []
        for number in sorted({self._group_of[at] for at in touched if at in self._group_of}):
            now = self._standing(self.groups[number])
            if now != self.standings[number]:
                self.standings[number] = now
                changed.append(number)
        return changed

    # ---- what the policy says

    def outlook(self, numbers: Sequence[int]) -> dict[int, dict[int, Member]]:
        """For each group, what a plan would do with each file: as decided, or as suggested where nothing is.

        The rules may read the files. What is no file of its own is in no plan.
        """
        with self.lock:
            chosen = {at for number in numbers for at in self.standings[number].kept}
            groups = {number: self.members(number) for number in numbers}
        plan = self._plan(list(groups.values()), chosen, verb=self.about.wish.verb)
        owner = {at: number for number, members in groups.items() for at in members}
        found: dict[int, dict[int, Member]] = {number: {} for number in numbers}
        for planned in plan.groups:
            for member in planned:
                (at,) = self.where([member.file.path])
                found[owner[at]][at] = member
        return found

    def decided_plan(self, verb: Verb, target: str = "") -> Plan:
        """The plan of all groups that are decided; target: the folder of `move`. Changes nothing."""
        with self.lock:
            decided = [n for n, standing in enumerate(self.standings) if standing.state != "open"]
            groups = [self.groups[n] for n in decided]
            chosen = {at for n in decided for at in self.standings[n].kept}
        return self._plan(groups, chosen, verb=verb, target=target)

    def _plan(self, groups: Sequence[Sequence[int]], chosen: Collection[int], *, verb: Verb, target: str = "") -> Plan:
        wish = self.about.wish
        same = verb == wish.verb and target in ("", wish.target)
        return make_plan(
            groups,
            self.files,
            similarity=self._near,
            wish=wish if same else replace(wish, verb=verb, target=target),
            database=self.database,
            facts=self.facts,
            chosen=frozenset(chosen),
            method=self.about.method,
            threshold=self.threshold,
        )

    def facts(self, file: File) -> Facts:
        """What only the file tells, read once a content."""
        if file.sha256 not in self._facts:
            known = facts_.measure(file, limits=self.about.limits) if file.source == "file" else Facts()
            self._facts[file.sha256] = known
        return self._facts[file.sha256]

    def where(self, paths: Collection[str]) -> set[int]:
        """The files of the scan at these absolute paths."""
        return {at for path in paths if (at := self.said.where(path)) is not None}


def _pairs(members: Sequence[int], file: int | None) -> list[tuple[int, int]]:
    if file is not None:
        return [(file, other) for other in members if other != file]
    return [(a, b) for at, a in enumerate(members) for b in members[at + 1 :]]
