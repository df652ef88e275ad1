"""The library: a catalogue and the path of the data over it. The only composer.

paths ─scan─► Scan ─kin─► Kin ─group─► Result
                ├─ pairs ─► Pair, Pair, …
                └─ rank ─► Ranking, Ranking, …
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imkin import findings, image, join, prints
from imkin import grouping as grouping_
from imkin.catalogue import Database, thresholds
from imkin.catalogue.decisions import DecisionStore, Verdict, lookup
from imkin.engine import local
from imkin.errors import UsageError
from imkin.grouping import Grouping, Kin
from imkin.join.ssim_store import GrayStore
from imkin.policy import DEFAULT_RULES, Rule, parse_rules, respect
from imkin.result import Pair, Ranking, Result
from imkin.scan import Progress, Scan, Stop, scan
from imkin.sources import Filter, Item, place, places
from imkin.sources.places import Passed
from imkin.types import QUALITY_FLOOR, Failure, Fingerprinter, Pixels, Prints, Spec

# What images are compared by where nothing is said.
DEFAULT_METHOD = "auto"

# Rows of a ranking that are compared at once with all images: 64 × 1,000,000 similarities are 256 MB.
RANK_ROWS = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """A random share of the files, the same for the same seed. ratio: over 0 and at most 1. most: files; None: all."""

    ratio: float = 1.0
    seed: int = 0
    most: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio <= 1.0:
            raise UsageError(f"a sample must be over 0 and at most 1, not {self.ratio}")

    def drawn(self, count: int) -> list[int]:
        """Which of so many files are looked at, in any order."""
        wanted = min(count, max(1, round(count * self.ratio)))
        if self.most is not None:
            wanted = min(wanted, self.most)
        return random.Random(self.seed).sample(range(count), wanted)  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files are compared.

    across: only files of different roots (train and test folders, say). reference: folders whose files are
    compared with the others only, are kept, and are never proposed for removal.
    """

    across: bool = False
    reference: tuple[str, ...] = ()


class Library:
    """Scans, pairs, groups and ranks images; remembers fingerprints in a catalogue.

    catalogue: a file (see `default_catalogue`), or None to remember nothing beyond this object.
    jobs: threads, default one a processor. Close it, or use it in a `with` statement.
    """

    def __init__(
        self,
        catalogue: str | None = None,
        *,
        jobs: int | None = None,
        limits: image.Limits = image.Limits(),
        wanted: Filter = Filter(),
    ) -> None:
        if jobs is not None and jobs < 1:
            raise UsageError(f"jobs must be at least 1, not {jobs}")
        self._database = Database(catalogue)
        self._jobs = jobs
        self._limits = limits
        self._wanted = wanted
        self._open: list[GrayStore] = []
        # What is no file of its own (an archive's entry, a table's row), so that a report can show it.
        self._readers: dict[str, Item] = {}

    def close(self) -> None:
        """Give the catalogue back, and the temporary files of pictures being compared."""
        for grays in self._open:
            grays.close()
        self._database.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scan(
        self,
        paths: Sequence[str],
        by: str | Fingerprinter = DEFAULT_METHOD,
        *,
        turns: bool = False,
        scope: Scope = Scope(),
        sample: Sample = Sample(),
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> Scan:
        """Find and fingerprint the images in folders, files, archives, tables of URLs and videos.

        by: a method's name, or a fingerprinter itself.

        Raises MissingPathError for a path that is not there, UsageError for an unknown method, or no images at all.
        """
        fingerprinter = _fingerprinter(by, turns=turns)
        if scope.across and len(paths) < 2:
            raise UsageError("comparing across folders needs at least two of them")
        items: list[Item] = []
        failures: list[Failure] = []
        # The reference comes first, so that a file in both is the reference's.
        passed = Passed()
        listing = places.walk(
            [*scope.reference, *paths], self._wanted, limits=self._limits, progress=progress, passed=passed
        )
        for entry in listing:
            if isinstance(entry, Failure):
                failures.append(entry)
            else:
                items.append(entry)
                self._remember(entry)
                if progress and len(items) % 1000 == 0:
                    progress("listing", len(items), 0)
        found = len(items)
        if not items and not failures:
            beside = f" but {passed}, which must be named" if passed else ""
            videos = "; `imkin group --videos` compares videos" if passed.videos else ""
            raise UsageError(f"no images in {', '.join(paths) or 'no paths'}{beside}{videos}")
        chosen = _sampled(items, sample, spared=len(scope.reference))
        return replace(self._scan(chosen, fingerprinter, found, failures, progress, stop), passed=passed)

    def fingerprint(
        self,
        paths: Iterable[str],
        by: str | Fingerprinter = DEFAULT_METHOD,
        *,
        turns: bool = False,
        progress: Progress | None = None,
    ) -> Scan:
        """Fingerprint files in the order given, each as often as it is named; a folder means the images below it."""
        items: list[Item] = []
        failures: list[Failure] = []
        for number, path in enumerate(paths):
            for entry in places.walk([path], self._wanted, limits=self._limits, first=number, progress=progress):
                if isinstance(entry, Failure):
                    failures.append(entry)
                else:
                    items.append(entry)
                    self._remember(entry)
        return self._scan(items, _fingerprinter(by, turns=turns), len(items), failures, progress, None)

    @property
    def database(self) -> Database:
        """The catalogue."""
        return self._database

    @property
    def jobs(self) -> int | None:
        """Threads, None for one a processor."""
        return self._jobs

    @property
    def limits(self) -> image.Limits:
        """What is refused."""
        return self._limits

    def items(self, paths: Sequence[str]) -> Iterator[Item | Failure]:
        """The images of folders, files, archives, tables and videos, none of them read yet; see `scan`."""
        return places.walk(paths, self._wanted, limits=self._limits)

    def scan_items(
        self,
        items: Sequence[Item],
        by: Fingerprinter,
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> Scan:
        """Fingerprint images that were listed before."""
        return self._scan(items, by, len(items), (), progress, stop)

    def _remember(self, item: Item) -> None:
        if item.source != "file":
            self._readers[item.path] = item

    def _scan(
        self,
        items: Sequence[Item],
        fingerprinter: Fingerprinter,
        found: int,
        failures: Sequence[Failure],
        progress: Progress | None,
        stop: Stop | None,
    ) -> Scan:
        grays = None
        if fingerprinter.spec.kind == "gray image":
            grays = GrayStore()
            self._open.append(grays)
        return scan(
            items,
            fingerprinter,
            database=self._database,
            limits=self._limits,
            engine=local.threads(self._jobs),
            found=found,
            grays=grays,
            failures=failures,
            progress=progress,
            stop=stop,
        )

    def kin(
        self,
        scanned: Scan,
        threshold: float,
        *,
        scope: Scope = Scope(),
        connect_only: bool = False,
        verdicts: Mapping[tuple[str, str], str] | None = None,
    ) -> Kin:
        """Which files of a scan are alike: equal bytes always, and all pairs with similarity ≥ threshold.

        Files below the quality floor are compared by their bytes alone. connect_only: where a pair is dear (ssim),
        only so many pairs that the same files are connected, which is all that transitive groups need.
        What a person decided about a pair counts more than what is measured. verdicts: (sha256, sha256) in rising
        order → `same` or `different`; default: as the catalogue remembers them.
        """
        _check_threshold(threshold)
        if verdicts is None:
            verdicts = self.decisions()
        sha256 = np.frombuffer(bytes.fromhex("".join(file.sha256 for file in scanned.files)), np.uint8).reshape(-1, 32)
        first, content = join.distinct(sha256)
        good = np.flatnonzero(scanned.prints.quality[first] >= QUALITY_FLOOR)
        chosen = _subset(scanned.prints, first[good])
        if scanned.grays is None:
            same_good, near = join.near(chosen, threshold, jobs=self._jobs)
        else:
            # Across labels, and where a verdict may cut a pair, every pair counts: which of them connect is not known.
            few = connect_only and not scope.across and not scope.reference and not verdicts
            same_good, near = join.near_grays(
                scanned.grays, findings.gray_indices(chosen), threshold, jobs=self._jobs, connect_only=few
            )
        same = np.empty(len(first), np.int64)
        same[good] = same_good
        classes = int(same_good.max()) + 1 if len(good) else 0
        poor = np.setdiff1d(np.arange(len(first)), good, assume_unique=True)
        same[poor] = np.arange(classes, classes + len(poor))
        kin = grouping_.find_kin(same[content], near, _labels(scanned.root, scope))
        return respect(kin, scanned.files, verdicts)

    def pairs(self, scanned: Scan, kin: Kin) -> Iterator[Pair]:
        """The pairs of files, by the order of the files. Sets of equals are compact (see `grouping.expand`)."""
        return findings.named(grouping_.expand(kin), scanned.files, findings.relating(scanned))

    def group(
        self,
        scanned: Scan,
        kin: Kin,
        *,
        threshold: float,
        grouping: Grouping = "transitive",
        scope: Scope = Scope(),
        rules: Sequence[Rule] = (),
    ) -> Result:
        """Groups of files with a suggested keeper each. rules: keep rules, default `DEFAULT_RULES`.

        The files are not opened again: `quality` and `exif` decide nothing here. A plan to clean up measures them.
        """
        return findings.result(
            scanned,
            kin,
            threshold=threshold,
            grouping=grouping,
            references=len(scope.reference),
            rules=rules or parse_rules(DEFAULT_RULES),
        )

    def decisions(self) -> dict[tuple[str, str], Verdict]:
        """What a person decided about two contents, as the catalogue remembers it: (sha256, sha256) → verdict."""
        return lookup(DecisionStore(self._database).all())

    def pixels(self, path: str, side: int) -> Pixels | None:
        """Pixels of a file, its shorter side at least `side` where it has that much; None if it cannot be read."""
        try:
            data = self._readers[path].read() if path in self._readers else place.read_bytes(path)
        except OSError:
            return None
        decoded = image.decode(data, path=path, side=side, limits=self._limits)
        return None if isinstance(decoded, Failure) else decoded.pixels

    def prints(self, scanned: Scan) -> Prints:
        """The fingerprints of a scan, gray images in memory."""
        if scanned.grays is None:
            return scanned.prints
        values = np.empty(len(scanned.files), object)
        for at, picture in enumerate(scanned.grays.load(findings.gray_indices(scanned.prints).tolist())):
            values[at] = picture
        whole = scanned.prints
        return Prints(whole.spec, values, whole.quality, whole.paths, whole.failures)

    def positions(self, scanned: Scan, paths: Sequence[str]) -> list[int]:
        """Where the files at or below paths stand in a scan. UsageError for a path with none."""
        real = [places.identity(file.path) for file in scanned.files]
        place = {path: at for at, path in reversed(list(enumerate(real)))}
        failed = {places.identity(failure.path): failure.reason for failure in scanned.failures}
        found: list[int] = []
        for path in paths:
            own = places.identity(path)
            inside = (own + os.sep, own + places.INSIDE)
            below = [place[own]] if own in place else [at for at, p in enumerate(real) if p.startswith(inside)]
            if not below:
                raise UsageError(f"no fingerprint of {path}: {failed.get(own, 'no image there')}")
            found += below
        return found

    def rank(self, scanned: Scan, *, query: Sequence[int] | None = None, top: int | None = None) -> Iterator[Ranking]:
        """For each file (or those of `query`, by position) all files by falling similarity, itself first.

        Equal similarities stand in the order of the files. top: so many others at most.
        """
        from imkin import metric

        rows = range(len(scanned.files)) if query is None else query
        indices = findings.gray_indices(scanned.prints) if scanned.grays is not None else np.empty(0, np.int64)
        for start in range(0, len(rows), RANK_ROWS):
            chunk = np.array(rows[start : start + RANK_ROWS], np.int64)
            similar = (
                metric.similarity(_subset(scanned.prints, chunk), scanned.prints)
                if scanned.grays is None
                else join.gray_similarities(scanned.grays, indices[chunk], indices, jobs=self._jobs)
            )
            similar[np.arange(len(chunk)), chunk] = 2.0
            for at, row in zip(chunk.tolist(), similar, strict=True):
                order = np.argsort(-row, kind="stable")[: None if top is None else top + 1]
                yield Ranking(at, tuple((int(i), min(1.0, float(row[i]))) for i in order))


def _fingerprinter(by: str | Fingerprinter, *, turns: bool) -> Fingerprinter:
    if isinstance(by, str):
        return prints.fingerprinter(by, turns=turns)
    if turns:
        raise UsageError("ask the fingerprinter for its turns when it is made")
    return by


def threshold_of(
    by: str | Fingerprinter, *, turns: bool = False, threshold: float | str | None = None, max_bits: int | None = None
) -> float:
    """The similarity to use: the one given, the one that means `max_bits` different bits, or the method's default.

    threshold: 0..1, also as text; `auto` for what `imkin calibrate --save` found, `auto:FILE` for a calibration.json.
    Raises UsageError for an unknown method, a threshold outside 0..1, bits that the method does not have, and where
    there is no calibration.
    """
    spec = _fingerprinter(by, turns=turns).spec
    if max_bits is None:
        chosen = spec.default_threshold if threshold is None else _similarity(threshold, spec)
        _check_threshold(chosen)
        return chosen
    if threshold is not None:
        raise UsageError("give a threshold or a number of bits, not both")
    if spec.kind != "bits":
        raise UsageError(f"method `{spec.name}` has no bits; give a threshold in 0..1")
    bits = join.code_bits(spec)
    if not 0 <= max_bits <= bits:
        raise UsageError(f"`{spec.name}` has {bits} bits; the number that may differ is 0..{bits}, not {max_bits}")
    return 1 - max_bits / bits


def _similarity(threshold: float | str, spec: Spec) -> float:
    if isinstance(threshold, float | int):
        return threshold
    word, _, path = threshold.partition(":")
    if word == thresholds.AUTO:
        return thresholds.threshold_in(path or None, spec)
    try:
        return float(threshold)
    except ValueError:
        raise UsageError(f"a threshold is a similarity in 0..1, `auto` or `auto:FILE`, not `{threshold}`") from None


def _check_threshold(threshold: float) -> None:
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"a threshold is a similarity in 0..1, not {threshold}")


def _sampled(items: list[Item], sample: Sample, *, spared: int) -> list[Item]:
    """A random share of the items, in their order; those of the first `spared` roots all stay."""
    if sample.ratio == 1.0 and sample.most is None:
        return items
    drawn_from = [at for at, item in enumerate(items) if item.root >= spared]
    chosen = {drawn_from[at] for at in sample.drawn(len(drawn_from))}
    return [item for at, item in enumerate(items) if item.root < spared or at in chosen]


def _labels(root: NDArray[np.int64], scope: Scope) -> NDArray[np.int64] | None:
    if scope.reference:
        return (root < len(scope.reference)).astype(np.int64)
    return root if scope.across else None


def _subset(whole: Prints, rows: NDArray[np.int64]) -> Prints:
    return Prints(whole.spec, whole.values[rows], whole.quality[rows])


def default_catalogue() -> str:
    """The catalogue in the user's cache folder, which the command line uses."""
    from imkin.catalogue import default_path

    return os.fspath(default_path())
