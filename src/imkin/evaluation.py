"""How right a method is where the truth is known: precision, recall, F1 by threshold, uAP, the worst errors.

Every pair counts, so the cost grows with the square of the images; similarities are looked at in blocks and only the
counts and the worst pairs are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from imkin import metric, truth
from imkin.errors import UsageError
from imkin.library import Library, threshold_of
from imkin.measured import Evaluation, Judged, Score
from imkin.scan import Progress, Scan
from imkin.types import QUALITY_FLOOR, Fingerprinter, Prints

SCHEMA = 1
# 1 false pair in 100,000: the measure of recall beside uAP that benchmarks of this project report.
FPR = 1e-5
WORST = 50
BLOCK_PAIRS = 1 << 22
GRID = np.arange(50, 101, 5) / 100

Indices = NDArray[np.int64]
Values = NDArray[np.float32]


def evaluate(
    library: Library,
    paths: Sequence[str],
    known: str,
    by: str | Fingerprinter,
    *,
    turns: bool = False,
    threshold: float | str | None = None,
    max_bits: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Hold a method against the truth. known: a CSV (see `truth.read_groups`), or `decisions` of the catalogue.

    Without roles every two images of the truth are a pair, with roles every query and every image of the database.
    Of decisions the decided pairs alone count. Raises UsageError where no pair is known to be the same.
    """
    limit = threshold_of(by, turns=turns, threshold=threshold, max_bits=max_bits)
    groups = None if known == truth.DECISIONS else truth.read_groups(known)
    scanned = library.scan(paths, by, turns=turns, progress=progress)
    likeness = _Likeness(library, scanned)
    if groups is None:
        pairs: _Pairs | _Groups = _Pairs(library, likeness, scanned)
    else:
        beside = os.path.dirname(os.path.abspath(known))
        pairs = _Groups(groups, likeness, scanned, beside=beside, roots=paths, progress=progress)
    if not len(pairs.true):
        raise UsageError("no two of these images are known to be the same: there is nothing to find")
    grid = np.unique(np.concatenate([GRID, [limit], np.unique(pairs.true)]).astype(np.float64))
    return _judged(pairs, scanned, limit, grid)


class _Likeness:
    """The similarity of any images of a scan, as a join sees it: none for the blank, 1 for equal bytes."""

    def __init__(self, library: Library, scanned: Scan) -> None:
        self._prints = library.prints(scanned)
        self._poor = scanned.prints.quality < QUALITY_FLOOR
        _, self.content = np.unique([file.sha256 for file in scanned.files], return_inverse=True)

    def between(self, rows: Indices, columns: Indices) -> Values:
        """(len(rows), len(columns))."""
        similar = metric.similarity(self._part(rows), self._part(columns))
        similar[self._poor[rows]] = 0
        similar[:, self._poor[columns]] = 0
        similar[self.content[rows][:, None] == self.content[columns]] = 1
        return similar

    def _part(self, rows: Indices) -> Prints:
        whole = self._prints
        return Prints(whole.spec, whole.values[rows], whole.quality[rows])


class _Groups:
    """All pairs of a table of groups. true: (m,) similarities of true pairs, true_at: (m, 2) their images."""

    def __init__(
        self,
        known: Sequence[truth.Known],
        likeness: _Likeness,
        scanned: Scan,
        *,
        beside: str,
        roots: Sequence[str],
        progress: Progress | None,
    ) -> None:
        place = truth.places(known, [file.path for file in scanned.files], beside=beside, roots=roots)
        if not place:
            raise UsageError("none of the images is named in the truth: paths count from its folder or from PATHS")
        of_image = {at: known[row] for row, at in place.items()}
        rows = np.array(sorted(of_image), np.int64)
        self.missing, self.unknown = len(known) - len(place), len(scanned.files) - len(rows)
        self.images = len(rows)
        _, self._label = np.unique([of_image[at].group for at in rows.tolist()], return_inverse=True)
        roles = np.array([of_image[at].role for at in rows.tolist()])
        self._rows, self._likeness, self._progress = rows, likeness, progress
        self._roles = bool(roles[0])
        self._query = np.flatnonzero(roles != "database")
        self._database = np.flatnonzero(roles != "query")
        self.kinds = [of_image[at].kind for at in rows.tolist()]
        self.true, self.true_at = self._true()
        self.true_kind = [self.kinds[at] for at in self.true_at[:, 0].tolist()] if self._roles else []
        self.true_at = rows[self.true_at]
        self.false_count = self._count()

    def _true(self) -> tuple[Values, Indices]:
        values, at = [np.empty(0, np.float32)], [np.empty((0, 2), np.int64)]
        order = np.argsort(self._label, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(self._label[order])) + 1):
            queries = members[np.isin(members, self._query)]
            database = members[np.isin(members, self._database)]
            if not len(queries) or not len(database):
                continue
            similar = self._likeness.between(self._rows[queries], self._rows[database])
            i, j = np.nonzero(self._counts(queries, database))
            values.append(similar[i, j])
            at.append(np.stack([queries[i], database[j]], axis=1))
        return np.concatenate(values), np.concatenate(at)

    def _counts(self, queries: Indices, database: Indices) -> NDArray[np.bool_]:
        """Which of these are pairs: without roles each two once."""
        if self._roles:
            return np.ones((len(queries), len(database)), bool)
        return queries[:, None] < database

    def _count(self) -> int:
        whole = len(self._query) * len(self._database) if self._roles else self.images * (self.images - 1) // 2
        return whole - len(self.true)

    def false(self) -> Iterator[tuple[Values, Indices]]:
        """Similarities of the false pairs and their images, a block at a time."""
        step = max(1, BLOCK_PAIRS // max(1, len(self._database)))
        for start in range(0, len(self._query), step):
            queries = self._query[start : start + step]
            similar = self._likeness.between(self._rows[queries], self._rows[self._database])
            counts = self._counts(queries, self._database)
            i, j = np.nonzero(counts & (self._label[queries][:, None] != self._label[self._database]))
            yield similar[i, j], np.stack([self._rows[queries[i]], self._rows[self._database[j]]], axis=1)
            if self._progress:
                self._progress("comparing", min(start + step, len(self._query)), len(self._query))


class _Pairs:
    """The pairs that a person decided on; fields as `_Groups`."""

    def __init__(self, library: Library, likeness: _Likeness, scanned: Scan) -> None:
        first: dict[str, int] = {}
        for at, file in enumerate(scanned.files):
            first.setdefault(file.sha256, at)
        decided = [
            (first[a], first[b], verdict)
            for (a, b), verdict in library.decisions().items()
            if a in first and b in first
        ]
        self.images = len({at for a, b, _ in decided for at in (a, b)})
        self.unknown, self.missing = len(first) - self.images, len(library.decisions()) - len(decided)
        places = np.array([sorted(pair[:2]) for pair in decided], np.int64).reshape(-1, 2)
        values = [likeness.between(pair[:1], pair[1:])[0, 0] for pair in places]
        same = np.array([verdict == "same" for *_, verdict in decided], bool)
        similar = np.array(values, np.float32)
        self.true, self.true_at, self.true_kind = similar[same], places[same], list[str]()
        self._false = similar[~same], places[~same]
        self.false_count = int((~same).sum())

    def false(self) -> Iterator[tuple[Values, Indices]]:
        """As `_Groups.false`, in one block."""
        yield self._false


def _judged(pairs: _Groups | _Pairs, scanned: Scan, limit: float, grid: NDArray[np.float64]) -> Evaluation:
    """grid: rising similarities that hold all of the true pairs'."""
    keep = max(WORST, int(FPR * pairs.false_count) + 1)
    top, top_at = np.empty(0, np.float32), np.empty((0, 2), np.int64)
    counts = np.zeros(len(grid) + 1, np.int64)
    for values, at in pairs.false():
        counts += np.bincount(np.searchsorted(grid, values, side="right"), minlength=len(grid) + 1)
        top, top_at = np.concatenate([top, values]), np.concatenate([top_at, at])
        order = np.argsort(-top, kind="stable")[:keep]
        top, top_at = top[order], top_at[order]
    # Bin i holds values of at least grid[i - 1] and under grid[i].
    false_from = counts[::-1].cumsum()[::-1][1:]
    place = np.searchsorted(grid, pairs.true)
    true_at = np.bincount(place, minlength=len(grid))
    true_from = true_at[::-1].cumsum()[::-1]
    scores = [
        _score(float(threshold), int(hits), int(misses), len(pairs.true))
        for threshold, hits, misses in zip(grid, true_from, false_from, strict=True)
    ]
    shown = {*GRID.tolist()}
    fpr_threshold = float(top[int(FPR * pairs.false_count)]) if pairs.false_count else 0.0
    kinds = _by_kind(pairs, fpr_threshold)
    worst = np.argsort(pairs.true, kind="stable")[:WORST]
    names = [file.path for file in scanned.files]
    return Evaluation(
        schema=SCHEMA,
        method=scanned.prints.spec.name,
        images=pairs.images,
        unknown=pairs.unknown,
        missing=pairs.missing,
        true_pairs=len(pairs.true),
        false_pairs=pairs.false_count,
        uap=_average_precision(true_at, true_from, false_from),
        fpr=FPR,
        fpr_threshold=fpr_threshold,
        recall_at_fpr=float(np.mean(list(kinds.values()))) if kinds else float((pairs.true > fpr_threshold).mean()),
        recall_by_kind=kinds,
        at=next(score for score in scores if score.threshold == limit),
        best=max(scores, key=lambda score: score.f1),
        thresholds=tuple(score for score in scores if score.threshold in shown),
        false_matches=_named(top[:WORST], top_at[:WORST], names),
        misses=_named(pairs.true[worst], pairs.true_at[worst], names),
    )


def _score(threshold: float, hits: int, wrong: int, true: int) -> Score:
    precision = hits / (hits + wrong) if hits + wrong else None
    return Score(threshold, precision, hits / true, 2 * hits / (hits + wrong + true), hits, wrong)


def _average_precision(true_at: Indices, true_from: Indices, false_from: Indices) -> float:
    """Micro average precision (Douze et al. 2021): the mean over true pairs of the precision at their rank.

    Of pairs with one similarity the false ones come first.
    """
    total = 0.0
    for here, hits, wrong in zip(true_at.tolist(), true_from.tolist(), false_from.tolist(), strict=True):
        ranks = np.arange(hits - here + 1, hits + 1)
        total += float((ranks / (ranks + wrong)).sum())
    return total / int(true_at.sum())


def _by_kind(pairs: _Groups | _Pairs, limit: float) -> dict[str, float]:
    kinds = np.array(pairs.true_kind)
    named = sorted({kind for kind in pairs.true_kind if kind})
    return {kind: float((pairs.true[kinds == kind] > limit).mean()) for kind in named}


def _named(values: Values, at: Indices, names: Sequence[str]) -> tuple[Judged, ...]:
    return tuple(
        Judged(names[a], names[b], round(float(value), 6)) for value, (a, b) in zip(values, at.tolist(), strict=True)
    )
