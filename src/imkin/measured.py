"""What `imkin calibrate` and `imkin evaluate` found: attribute = JSON key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold does. false_per_million: of pairs of different pictures. recall: share of edits found, 0..1.

    extrapolated: so few different pictures came so close that the rate is not counted, but an exponential tail.
    """

    threshold: float
    false_per_million: float
    extrapolated: bool
    recall: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One method. spec: the id of its fingerprints, which the thresholds hold for.

    recommended: the least threshold with at most the wanted rate; None where even 1 has a higher one, or where that
    cannot be told from so few pictures. own: the method's own threshold. recall: of each kind of edit, at the
    recommended threshold and at the method's own. comparisons: similarities looked at; pairs: pairs of different
    pictures among them. closest: the most alike of the pictures taken for different.
    """

    name: str
    spec: str
    recommended: Point | None
    own: Point
    recall: Mapping[str, float]
    own_recall: Mapping[str, float]
    comparisons: int
    pairs: int
    curve: tuple[Point, ...]
    closest: tuple[Likeness, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two pictures of the folder, and how alike the methods find them."""

    a: str
    b: str
    similarities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `imkin calibrate` found; `calibration.json` holds the same.

    likely_same: pictures of the folder that are taken for the same, by two methods or a person's decision:
    their pairs are not among the false ones. left_out: methods, and why.
    """

    schema: int
    false_per_million: float
    pictures: int
    edited: int
    edits: tuple[str, ...]
    seed: int
    left_out: Mapping[str, str]
    likely_same: tuple[Likeness, ...]
    methods: tuple[Calibrated, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """How right the pairs at or above a threshold are. precision: None where nothing is found."""

    threshold: float
    precision: float | None
    recall: float
    f1: float
    true_found: int
    false_found: int


@dataclass(frozen=True, slots=True)
class Judged:
    """One pair of images and its similarity."""

    a: str
    b: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `imkin evaluate` found.

    unknown: images without truth, left aside; missing: rows of the truth without an image. uap: micro average
    precision over all pairs, ties counted against. recall_at_fpr: the share of true pairs above the similarity
    `fpr_threshold` that lets the share `fpr` of the false pairs through, the mean over `recall_by_kind` where the truth
    names kinds. at: the threshold in use; best: the one with the highest F1. false_matches: the most alike of the
    false pairs; misses: the least alike of the true ones.
    """

    schema: int
    method: str
    images: int
    unknown: int
    missing: int
    true_pairs: int
    false_pairs: int
    uap: float
    fpr: float
    fpr_threshold: float
    recall_at_fpr: float
    recall_by_kind: Mapping[str, float]
    at: Score
    best: Score
    thresholds: tuple[Score, ...]
    false_matches: tuple[Judged, ...]
    misses: tuple[Judged, ...]
