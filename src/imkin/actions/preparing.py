"""What a plan rests on, gathered from the disk and the catalogue: bundles, hard links, facts, decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from imkin.bundles import FolderBundles
from imkin.catalogue import Database
from imkin.catalogue.decisions import DecisionStore, lookup
from imkin.errors import UsageError
from imkin.plan import LINK, Plan, Verb, inside, moved
from imkin.policy import DEFAULT_RULES, Facts, Rule, Terms, parse_rules, plan
from imkin.policy.planning import MOVED, NoBundles
from imkin.types import File


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for. roots: the folders and files to clean. reference: folders that are only looked at.

    target: the folder of the verb `move`. keep_per_folder: keep the best n of each folder of a group; 0: one a group.
    bundle: files that belong to an image go where it goes.
    """

    verb: Verb
    roots: tuple[str, ...]
    target: str = ""
    reference: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = parse_rules(DEFAULT_RULES)
    keep_per_folder: int = 0
    bundle: bool = True


def make_plan(
    groups: Sequence[Sequence[int]],
    files: Sequence[File],
    *,
    similarity: Callable[[int, int], float | None],
    wish: Wish,
    database: Database,
    facts: Callable[[File], Facts],
    chosen: AbstractSet[int] = frozenset(),
    method: str = "",
    threshold: float = 0.0,
) -> Plan:
    """A plan for groups of scanned files; reads their folders, companions and, for ties, the files. Changes nothing.

    groups: indices into files. similarity: of two of them, None if they are no near pair. facts: for the rules that
    need the file itself; asked once a content. chosen: files that a person keeps; in their groups the rules add none.
    database: holds the decisions. Raises UsageError.
    """
    known: dict[str, Facts] = {}

    def facts_of(file: File) -> Facts:
        if file.sha256 not in known:
            known[file.sha256] = facts(file)
        return known[file.sha256]

    target = os.path.realpath(wish.target) if wish.target else ""
    if target and inside(target, tuple(map(os.path.realpath, wish.reference))):
        raise UsageError(f"cannot move files to {wish.target}: it is in a reference folder, which is only looked at")
    roots = tuple(map(os.path.realpath, wish.roots))
    verdicts = lookup(DecisionStore(database).all())
    terms = Terms(
        verb=wish.verb,
        rules=wish.rules,
        roots=wish.roots,
        target=wish.target,
        reference_roots=wish.reference,
        keep_per_folder=wish.keep_per_folder,
        fixed={
            index: reason for group in groups for index in group if (reason := _fixed(files[index].path, target, roots))
        },
        facts=facts_of,
        chosen=chosen,
        decided=lambda a, b: verdicts.get((a, b) if a < b else (b, a)),
        same_file=_SameFile(files),
        bundles=FolderBundles() if wish.bundle else NoBundles(),
        method=method,
        threshold=threshold,
    )
    return plan(groups, files, similarity=similarity, terms=terms)


def _fixed(path: str, target: str, roots: tuple[str, ...]) -> str:
    """Why a scanned file is never acted on, as the disk tells it, or empty. target, or empty, and roots: real paths."""
    if os.path.islink(path):
        return LINK
    return MOVED if target and moved(os.path.realpath(path), target, roots) else ""


class _SameFile:
    """Whether two scanned files are one on the disk; each is looked at once."""

    def __init__(self, files: Sequence[File]) -> None:
        self._files = files
        self._ids: dict[int, tuple[int, int] | None] = {}

    def __call__(self, a: int, b: int) -> bool:
        return self._files[a].sha256 == self._files[b].sha256 and None is not self._id(a) == self._id(b)

    def _id(self, index: int) -> tuple[int, int] | None:
        if index not in self._ids:
            try:
                status = os.stat(self._files[index].path)
                self._ids[index] = (status.st_dev, status.st_ino)
            except OSError:
                self._ids[index] = None
        return self._ids[index]
