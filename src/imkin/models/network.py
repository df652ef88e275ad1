"""A network as a fingerprinter: pictures to unit vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.errors import MissingPathError, UsageError
from imkin.models import OWN, cache, download
from imkin.models.cards import CARDS, IMAGENET_MEAN, IMAGENET_STD, Fit, Recipe
from imkin.models.cut import penultimate
from imkin.models.own import OwnCard, channels, own_card
from imkin.prints import small
from imkin.prints.session import Runner, open_session, runner
from imkin.types import Pixels, Spec

VERSION = 1
# Of a network that takes any size and does not say its own: what most were trained at.
USUAL = 224
# Issue «Named and own networks»: `auto` does not enlarge what is smaller than this a side to twice its size.
SMALL = 112
Size = int | Literal["auto"] | None
Mean = float | Sequence[float] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What the network looks at. auto: pictures under SMALL pixels a side are given at SMALL pixels instead."""

    height: int
    width: int
    fit: Fit
    crop: float
    auto: bool

    def of(self, picture: Pixels) -> tuple[int, int]:
        """Height and width at which a picture is given."""
        return (SMALL, SMALL) if self.auto and max(picture.shape[:2]) < SMALL else (self.height, self.width)


@dataclass(frozen=True, slots=True)
class Network:
    """Fingerprinter of an ONNX network: one vector of length 1 a picture.

    mean, std: (channels,) float32, of pixels in 0..1; None: the network takes bytes as they are.
    """

    spec: Spec
    runner: Runner
    shape: Shape
    mean: NDArray[np.float32] | None
    std: NDArray[np.float32] | None

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values (n, dim) and quality (n,). What the network sees nothing in, or gives NaN for, has quality 0."""
        values = np.zeros((len(images), self.spec.dim), np.float32)
        sides = [self.shape.of(picture) for picture in images]
        for height, width in sorted(set(sides)):
            at = [i for i, side in enumerate(sides) if side == (height, width)]
            values[at] = self.vectors(np.stack([self._fitted(images[i], height, width) for i in at]))
        lengths = np.linalg.norm(values.astype(np.float64), axis=1)
        seen = np.isfinite(lengths) & (lengths > 0)
        values[~seen] = 0
        values[seen] /= lengths[seen, None]
        tiny = small.shrink(small.grays(images), width=9, height=8, turns=False)
        return values, np.where(seen, small.quality(images, tiny), 0).astype(np.float32)

    def vectors(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network gives, (n, dim), for pictures (n, height, width, channels)."""
        if self.mean is None or self.std is None:
            return self.runner.run(pictures)
        return self.runner.run((pictures.astype(np.float32) / np.float32(255) - self.mean) / self.std)

    def _fitted(self, picture: Pixels, height: int, width: int) -> NDArray[np.uint8]:
        fitted = image.area_rgb(picture, width=width, height=height, box=_box(picture, height, width, self.shape))
        return image.gray(fitted)[..., None] if self.runner.input.channels == 1 else fitted


def _box(picture: Pixels, height: int, width: int, shape: Shape) -> tuple[float, float, float, float] | None:
    """What part of a picture is looked at: left, top, right, bottom in pixels."""
    if shape.fit == "squeeze":
        return None
    high, wide = picture.shape[:2]
    scale = min(high / height, wide / width) * shape.crop
    left, top = (wide - scale * width) / 2, (high - scale * height) / 2
    return left, top, left + scale * width, top + scale * height


def fingerprinter(
    name: str,
    *,
    size: Size = None,
    mean: Mean = None,
    std: Mean = None,
    device: str = "auto",
    offline: bool = False,
    quiet: bool = False,
) -> Network:
    """The method of a named network, or of a file as `onnx:PATH`; a named one is downloaded when it is not here yet.

    size: pixels a side, or "auto"; mean, std: one number or three, where white is 1; they go before the card's. A file
    whose card and graph say nothing is given the whole picture at 224 pixels, normalised as ImageNet.
    device: auto, or see `session.present`. offline: download nothing. quiet: no progress bar.
    UsageError: an unknown name, a file that is no network of images, gives NaN, or contradicts its card or the options.
    """
    if isinstance(size, int) and size < 1:
        raise UsageError(f"--size is a number of pixels over 0, or auto, not {size}")
    wanted = Options(
        size,
        None if mean is None else channels(mean, "--mean"),
        None if std is None else channels(std, "--std", over_zero=True),
        device,
    )
    if name.startswith(OWN):
        return _own(name.removeprefix(OWN), wanted)
    if name not in CARDS:
        raise UsageError(f"unknown network `{name}`; known: {', '.join(CARDS)}, onnx:PATH")
    card = CARDS[name]

    def trial(path: str) -> Network:
        return _open(path, "", name, name, card.recipe, card.threshold, Options(device="cpu"))

    path, digest = download.fetch(card, trial, offline=offline, quiet=quiet)
    return _opened(path, digest, name, name, card.recipe, card.threshold, wanted)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said; it goes before the card. None: nothing."""

    size: Size = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    device: str = "auto"


def _own(path: str, wanted: Options) -> Network:
    if not os.path.isfile(path):
        raise MissingPathError(f"there is no network {path or '(empty path)'}; give --by onnx:PATH of an ONNX file")
    card, digest = own_card(path), cache.model_digest(path)
    if card.sha256 not in (None, cache.sha256_of(path)):
        raise UsageError(f"the model card {card.path} is of another file than {path}: their sha256 differ")
    name = f"{OWN}{os.path.basename(path)}"
    # Without a word about its size a network is given small pictures small.
    size = "auto" if wanted.size is None and card.recipe.size is None else wanted.size
    made = _opened(path, digest, name, path, card.recipe, card.threshold, replace(wanted, size=size))
    _check_card(card, made, path)
    return made


def _check_card(card: OwnCard, made: Network, path: str) -> None:
    if card.input is not None and card.input != made.runner.input.name:
        raise UsageError(f"the model card {card.path} names the input `{card.input}`; {path} has another")


def _open(path: str, digest: str, name: str, called: str, recipe: Recipe, threshold: float, wanted: Options) -> Network:
    """A network, tried on three pictures. called: what errors name it by."""
    output = recipe.output
    if recipe.cut:
        model, output = penultimate(path, name=called)
        session = open_session(model, name=called, device=wanted.device)
    else:
        session = open_session(path, name=called, device=wanted.device)
    run = runner(session, name=called, layout=recipe.layout, output=output, pooling=recipe.pooling)
    shape = _shape(run, recipe, wanted.size)
    mean, std = _scale(run, recipe, wanted)
    unnamed = Spec(name, VERSION, "unit vector", 1, threshold, 0)
    dim = _tried(Network(unnamed, run, shape, mean, std), recipe.dim)
    facts = {
        "model": digest[:16],
        "shape": [shape.height, shape.width],
        "fit": shape.fit,
        "crop": shape.crop,
        "small": SMALL if shape.auto else 0,
        "mean": None if mean is None else [float(x) for x in mean],
        "std": None if std is None else [float(x) for x in std],
        "output": run.output,
        "pooling": run.pooling,
        "layout": run.input.layout,
    }
    side = ceil(max(shape.height, shape.width) / (shape.crop if shape.fit == "crop" else 1))
    return Network(Spec(name, VERSION, "unit vector", dim, threshold, side, facts), run, shape, mean, std)


# A command asks for its method twice, and opening takes a second.
_opened = lru_cache(maxsize=4)(_open)


def _shape(run: Runner, recipe: Recipe, size: Size) -> Shape:
    """The graph's fixed size, else the user's, the card's, the usual one. UsageError: they contradict each other."""
    given = run.input
    said = size if isinstance(size, int) else recipe.size
    for side, fixed in (("height", given.height), ("width", given.width)):
        if fixed is not None and said is not None and said != fixed:
            who = "--size" if isinstance(size, int) else "its card"
            raise UsageError(f"{run.name} takes pictures of a {side} of {fixed} pixels alone; {who} says {said}")
    own = said or given.height or given.width or USUAL
    open_size = given.height is None and given.width is None
    auto = size == "auto" and open_size and own > SMALL
    return Shape(given.height or own, given.width or own, recipe.fit, recipe.crop, auto)


def _scale(
    run: Runner, recipe: Recipe, wanted: Options
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    count = run.input.channels
    if run.input.dtype == np.uint8:
        if wanted.mean or wanted.std or recipe.mean or recipe.std:
            raise UsageError(f"{run.name} takes bytes and scales them itself: leave out mean and std")
        return None, None

    def each(numbers: tuple[float, ...], what: str) -> NDArray[np.float32]:
        if len(numbers) not in (1, count):
            raise UsageError(f"{run.name} has {count} channels; {what} has {len(numbers)} numbers")
        return np.broadcast_to(np.array(numbers, np.float32), (count,))

    gray = count == 1
    mean = wanted.mean or recipe.mean or ((float(np.mean(IMAGENET_MEAN)),) if gray else IMAGENET_MEAN)
    std = wanted.std or recipe.std or ((float(np.mean(IMAGENET_STD)),) if gray else IMAGENET_STD)
    return each(mean, "mean"), each(std, "std")


def _tried(network: Network, dim: int | None) -> int:
    """The length of the network's vectors, seen on a drawn, a black and a white picture. UsageError: it is no good."""
    run, shape = network.runner, network.shape
    drawn = np.random.default_rng(0).integers(0, 256, (shape.height, shape.width, run.input.channels), dtype=np.uint8)
    found = network.vectors(np.stack([drawn, np.zeros_like(drawn), np.full_like(drawn, 255)]))
    if not np.isfinite(found).all():
        raise UsageError(f"{run.name} gives NaN or infinite numbers; it cannot be used")
    if not found[0].any():
        raise UsageError(f"{run.name} gives zeros alone; it cannot be used")
    if dim is not None and found.shape[1] != dim:
        raise UsageError(f"{run.name} gives {found.shape[1]} numbers a picture in `{run.output}`; its card says {dim}")
    if shape.auto:
        network.vectors(np.zeros((1, SMALL, SMALL, run.input.channels), np.uint8))
    return int(found.shape[1])
