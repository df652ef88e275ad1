"""What a threshold means for one's own pictures: edits of some of them, and all others as what is not to be found.

paths ─scan, each method─► pictures ─likely copies out─► n pictures of n(n-1)/2 different pairs
  └─ a sample ─edits─► edited pictures, fingerprinted like files ─similarity to all pictures─► recall, false pairs
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from imkin import join, metric, prints
from imkin.catalogue.thresholds import stored_path
from imkin.edits import EDITS
from imkin.engine import local
from imkin.errors import OutputError, UsageError
from imkin.library import Library, Sample
from imkin.measured import Calibrated, Calibration, Likeness, Point
from imkin.rates import FalseRate, Scores, false_rate
from imkin.report.files import write_atomic
from imkin.scan import Progress, Scan
from imkin.types import QUALITY_FLOOR, Fingerprinter, Prints

SCHEMA = 1
# 20 pictures are 190 pairs: with fewer hardly anything is counted, and the tail is fitted to a handful of pairs.
FEWEST = 20
# Edits are made of pictures of at least so many pixels on the shorter side, where there are as many: hashes and
# networks look at no more, and the sample fits on a small disk.
EDIT_SIDE = 512
# Methods that are asked whether two pictures of the folder are the same, whatever is calibrated.
WITNESSES = ("phash", "pdq", "kin")
# Methods that are not asked: at their own thresholds the hashes take hundreds in a million for the same by chance, and
# auto says again what pdq and kin say.
UNASKED = ("ahash", "dhash", "vote", "auto")
VOICES_NEEDED = 2
# Pairs of different pictures that came closest: shown, as some may be copies that only one method sees.
CLOSEST = 12
# Curves show what is of use: no more than a tenth of all pairs taken for the same.
MOST_SHOWN = 0.1


def calibrate(
    library: Library,
    paths: Sequence[str],
    by: Sequence[str | Fingerprinter] = (),
    *,
    turns: bool = False,
    false_per_million: float = 1.0,
    pictures: int = 1000,
    edited: int = 60,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Measure what thresholds mean for the pictures under paths, and recommend one for each method.

    by: methods, default all that compare fingerprints; turns: those that find turned copies, as they do then.
    pictures: so many at most, at random. edited: so many of them are edited, in every way of `edits.EDITS`.
    Raises UsageError for too few pictures and methods that cannot be calibrated, OutputError where the edited pictures
    find no room in the temporary folder.
    """
    if false_per_million <= 0:
        raise UsageError(f"the false pairs per million must be over 0, not {false_per_million:g}")
    if pictures < FEWEST or edited < 1:
        raise UsageError(f"calibrate at least {FEWEST} pictures and edit at least 1, not {pictures} and {edited}")
    chosen, left_out = _methods(by, turns=turns)
    witnesses = {name: prints.fingerprinter(name) for name in WITNESSES if name not in chosen}
    scans = {
        name: library.scan(paths, method, sample=Sample(seed=seed, most=pictures), progress=progress)
        for name, method in (chosen | witnesses).items()
    }
    folder = _Folder(library, scans)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(folder.paths), min(edited, len(folder.paths)), replace=False))
    engine_jobs = jobs or local.default_jobs()
    with tempfile.TemporaryDirectory(prefix="imkin-") as place, Library(jobs=jobs) as second:
        _write_edits(library, folder.paths, rows, place, seed=seed, jobs=engine_jobs, progress=progress)
        found = []
        for name, method in chosen.items():
            scanned = second.scan([place], method, progress=progress)
            found.append(_measured(folder, name, _Edited(scanned), wanted=false_per_million / 1e6))
    return Calibration(
        schema=SCHEMA,
        false_per_million=false_per_million,
        pictures=len(folder.paths),
        edited=len(rows),
        edits=tuple(edit.name for edit in EDITS),
        seed=seed,
        left_out=left_out,
        likely_same=folder.likely,
        methods=tuple(found),
    )


def store(found: Calibration, path: str | None = None) -> str:
    """Write a calibration where `threshold="auto"` looks for it, in place of the one before; returns the file.

    path: another one, for `auto:PATH`. OutputError.
    """
    path = path or stored_path()
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    write_atomic(path, [f"{json.dumps(asdict(found))}\n".encode()])
    return path


def _methods(by: Sequence[str | Fingerprinter], *, turns: bool) -> tuple[dict[str, Fingerprinter], dict[str, str]]:
    """The methods to calibrate by name, and why others are left out. UsageError: one is named that cannot be."""
    chosen: dict[str, Fingerprinter] = {}
    left_out: dict[str, str] = {}
    for each in by or prints.names():
        try:
            made = prints.fingerprinter(each, turns=turns) if isinstance(each, str) else each
        except UsageError:
            if by or not turns:
                raise
            left_out[str(each)] = "does not look at turned and mirrored pictures"
            continue
        reason = {
            "bytes": "compares bytes, so its threshold is 1 and it finds no edit",
            "gray image": "compares whole pictures, thousands of times dearer a pair than a fingerprint",
        }.get(made.spec.kind)
        if reason is None:
            chosen[made.spec.name] = made
        elif by:
            raise UsageError(f"`{made.spec.name}` cannot be calibrated: it {reason}")
        else:
            left_out[made.spec.name] = reason
    return chosen, left_out


class _Folder:
    """The pictures of a folder that every method can read and tell apart, and which of them are the same.

    paths: (n,) in the order of the files. label: (n,) int64, equal for pictures that are taken for the same.
    """

    def __init__(self, library: Library, scans: Mapping[str, Scan]) -> None:
        """Raises UsageError for fewer than FEWEST different pictures."""
        self._scans = scans
        good: list[dict[str, int]] = []
        for scanned in scans.values():
            fine = np.flatnonzero(scanned.prints.quality >= QUALITY_FLOOR).tolist()
            contents: dict[str, int] = {}
            for row in fine:
                contents.setdefault(scanned.files[row].sha256, row)
            good.append(contents)
        self.contents = [sha256 for sha256 in good[0] if all(sha256 in other for other in good)]
        if len(self.contents) < FEWEST:
            raise UsageError(
                f"{len(self.contents)} different pictures to compare; to tell what a threshold means takes "
                f"{FEWEST} at least, and some hundreds are better"
            )
        self._rows = {
            name: np.array([found[sha256] for sha256 in self.contents]) for name, found in zip(scans, good, strict=True)
        }
        first = next(iter(scans))
        self.paths = [scans[first].files[row].path for row in self._rows[first].tolist()]
        similar = {name: metric.similarity(self.prints(name), self.prints(name)) for name in scans}
        self.similar = similar
        self.label, self.likely = self._same(library)

    def prints(self, name: str) -> Prints:
        """One method's fingerprints of the pictures."""
        whole, rows = self._scans[name].prints, self._rows[name]
        return Prints(whole.spec, whole.values[rows], whole.quality[rows])

    def pair(self, a: int, b: int) -> Likeness:
        """Two pictures, and how alike each method finds them."""
        scores = {name: round(float(similar[a, b]), 4) for name, similar in self.similar.items()}
        return Likeness(self.paths[a], self.paths[b], scores)

    def closest(self, name: str) -> tuple[Likeness, ...]:
        """The most alike of the different pictures, by one method."""
        left, right = np.nonzero(np.triu(self.label[:, None] != self.label, 1))
        order = np.argsort(-self.similar[name][left, right], kind="stable")[:CLOSEST]
        return tuple(self.pair(int(left[at]), int(right[at])) for at in order)

    def _same(self, library: Library) -> tuple[NDArray[np.int64], tuple[Likeness, ...]]:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        voices = [
            similar >= self._scans[name].prints.spec.default_threshold
            for name, similar in self.similar.items()
            if name not in UNASKED
        ]
        same = np.sum(voices, axis=0) >= VOICES_NEEDED
        place = {sha256: at for at, sha256 in enumerate(self.contents)}
        for (a, b), verdict in library.decisions().items():
            if a in place and b in place:
                same[place[a], place[b]] = same[place[b], place[a]] = verdict == "same"
        left, right = np.nonzero(np.triu(same, 1))
        likely = tuple(self.pair(a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True))
        _, label = connected_components(csr_array(same), directed=False)
        return label.astype(np.int64), likely


class _Edited:
    """Edited pictures of a scan. picture, kind: (m,) int64, the row in the folder and in EDITS."""

    def __init__(self, scanned: Scan) -> None:
        self.prints = scanned.prints
        stems = [os.path.splitext(os.path.basename(file.path))[0].split("_") for file in scanned.files]
        self.picture = np.array([int(stem[0]) for stem in stems])
        self.kind = np.array([int(stem[1]) for stem in stems])


def _write_edits(
    library: Library,
    paths: Sequence[str],
    rows: NDArray[np.int64],
    place: str,
    *,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> None:
    """Write every edit of some pictures into a folder, as `row_kind.ext`."""

    def write(row: int) -> None:
        pixels = library.pixels(paths[row], EDIT_SIDE)
        if pixels is None:  # gone since it was scanned
            return
        for kind, edit in enumerate(EDITS):
            data = edit(pixels, np.random.default_rng((seed, row, kind)))
            with open(os.path.join(place, f"{row}_{kind}.{edit.form.lower()}"), "wb") as file:
                file.write(data)

    try:
        for done, _ in enumerate(local.threads(jobs)(write, rows.tolist()), 1):
            if progress:
                progress("editing pictures", done, len(rows))
    except OSError as error:
        raise OutputError(f"cannot write edited pictures into {place}: {error.strerror or error}") from error


def _measured(folder: _Folder, name: str, edited: _Edited, *, wanted: float) -> Calibrated:
    pictures = folder.prints(name)
    to_all = metric.similarity(edited.prints, pictures)
    # A join leaves out what is too blank to be told from others: such an edit is not found.
    to_all[edited.prints.quality < QUALITY_FLOOR] = 0
    rate = _false_rate(folder, name, edited, to_all)
    own = to_all[np.arange(len(to_all)), edited.picture]

    def point(threshold: float) -> Point:
        return Point(
            threshold, rate.at(threshold) * 1e6, rate.extrapolated(threshold), float((own >= threshold).mean())
        )

    def recall(threshold: float) -> dict[str, float]:
        return {
            edit.name: float((own[edited.kind == kind] >= threshold).mean())
            for kind, edit in enumerate(EDITS)
            if (edited.kind == kind).any()
        }

    best, default = rate.threshold(wanted), pictures.spec.default_threshold
    grid = 1 - np.arange(0, 1, rate.step) if rate.step else np.arange(100, 0, -1) / 100
    points = [point(float(threshold)) for threshold in grid]
    return Calibrated(
        name=name,
        spec=pictures.spec.id,
        recommended=None if best is None else point(best),
        own=point(default),
        recall={} if best is None else recall(best),
        own_recall=recall(default),
        comparisons=len(rate.scores),
        pairs=_pairs(folder),
        curve=tuple(each for each in points if each.false_per_million <= MOST_SHOWN * 1e6),
        closest=folder.closest(name),
    )


def _pairs(folder: _Folder) -> int:
    return int(np.triu(folder.label[:, None] != folder.label, 1).sum())


def _false_rate(folder: _Folder, name: str, edited: _Edited, to_all: NDArray[np.float32]) -> FalseRate:
    """From all comparisons of different pictures: of two pictures, and of an edited one with another."""
    different = np.triu(folder.label[:, None] != folder.label, 1)
    between = folder.similar[name]
    scores: Scores = np.concatenate([between[different], to_all[folder.label[edited.picture][:, None] != folder.label]])
    closest = between.copy()
    np.maximum.at(closest, edited.picture, to_all)
    closest = np.maximum(closest, closest.T)
    spec = folder.prints(name).spec
    return false_rate(scores, closest[different], step=1 / join.code_bits(spec) if spec.kind == "bits" else 0.0)
