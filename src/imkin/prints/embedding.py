"""kin: the built-in copy-detection network, on the whole picture and on regions of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from imkin import image
from imkin.prints import small
from imkin.prints.session import open_session
from imkin.types import Pixels, Spec

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
REGIONS: tuple[Box, ...] = (
    WHOLE,
    (0.0, 0.0, 0.5, 1.0),
    (0.5, 0.0, 1.0, 1.0),
    (0.0, 0.0, 1.0, 0.5),
    (0.0, 0.5, 1.0, 1.0),
    (0.15, 0.15, 0.85, 0.85),
)
# A region matches by chance more often than the whole picture does: there are more of them.
REGION_COST = 0.03
# The similarity that 2 of 100,000 pairs of different photos reach, of 400 photos held out of training and 3,400 edited
# copies of them (benchmarks/auto_fit.py makes them); with regions and without. Clothes before one wall are among them.
THRESHOLD, THRESHOLD_WHOLE = 0.87, 0.87
VERSION = 1


@dataclass(frozen=True, slots=True)
class Card:
    """What must be known to run the network. side: pixels; mean, std: of each channel, where white is 1."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dim: int
    sha256: str


@cache
def card() -> Card:
    """The shipped network's card."""
    facts = json.loads((files("imkin") / "models" / "kin.json").read_text(encoding="utf-8"))
    return Card(facts["size"], tuple(facts["mean"]), tuple(facts["std"]), facts["dim"], facts["sha256"])


@cache
def _session() -> onnxruntime.InferenceSession:
    return open_session((files("imkin") / "models" / "kin.onnx").read_bytes(), name="kin")


def squares(picture: Pixels, regions: Sequence[Box], *, side: int) -> NDArray[np.uint8]:
    """Regions of a picture, each squeezed into a square: (len(regions), side, side, 3) uint8."""
    height, width = picture.shape[:2]
    boxes = [(left * width, top * height, right * width, bottom * height) for left, top, right, bottom in regions]
    return image.areas_rgb(picture, width=side, height=side, boxes=boxes)


def planes(pictures: NDArray[np.uint8], *, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Squares (n, side, side, 3) as the network takes them: (n, 3, side, side), less the mean, by the deviation."""
    # Planes first: with colours last each of the steps would go three values at a time.
    scaled = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32)
    scaled /= np.float32(255)
    scaled -= np.array(mean, np.float32)[:, None, None]
    scaled /= np.array(std, np.float32)[:, None, None]
    return scaled


def embed(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors (n, dim) of squares (n, side, side, 3). The same bits however many squares come together."""
    given = planes(pictures, mean=card().mean, std=card().std)
    (vectors,) = _session().run(["vectors"], {"pictures": given})
    return np.asarray(vectors, np.float32)


@dataclass(frozen=True, slots=True)
class Kin:
    """Fingerprinter of the built-in network: one vector of the whole picture, then one of each further region."""

    spec: Spec
    regions: tuple[Box, ...]

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values (n, len(regions) * dim), each region's part of length 1, and quality (n,)."""
        side, dim = card().side, card().dim
        values = np.empty((len(images), len(self.regions) * dim), np.float32)
        for i, picture in enumerate(images):
            values[i] = embed(squares(picture, self.regions, side=side)).reshape(-1)
        # Blankness as the hashes measure it.
        tiny = small.shrink(small.grays(images), width=9, height=8, turns=False)
        return values, small.quality(images, tiny)


def kin_similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Similarity in 0..1 of two values of `Kin`, slow and obvious: the oracle of every join.

    a, b: (regions * dim,). The best of whole to whole, and of region to whole, REGION_COST off, in both directions.
    Two regions are never compared with each other: parts of different pictures look alike too often.
    """
    dim = card().dim
    ours, theirs = a.reshape(-1, dim), b.reshape(-1, dim)
    best = float(ours[0] @ theirs[0])
    for region in ours[1:]:
        best = max(best, float(region @ theirs[0]) - REGION_COST)
    for region in theirs[1:]:
        best = max(best, float(ours[0] @ region) - REGION_COST)
    return min(1.0, max(0.0, best))


def fingerprinter(*, regions: bool = True) -> Kin:
    """The method `kin`. regions: False leaves the vector of the whole picture alone, at a sixth of the time."""
    facts = card()
    boxes = REGIONS if regions else (WHOLE,)
    params = {
        "regions": len(boxes),
        "region_cost": REGION_COST,
        "boxes": [list(box) for box in boxes],
        "model": facts.sha256[:16],
    }
    threshold = THRESHOLD if regions else THRESHOLD_WHOLE
    return Kin(Spec("kin", VERSION, "unit vector", facts.dim * len(boxes), threshold, facts.side, params), boxes)
