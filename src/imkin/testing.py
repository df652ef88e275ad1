"""The acceptance test of a fingerprinter, ours or a plugin's: `check_fingerprinter(my_factory())` in its tests."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin import metric
from imkin.errors import UsageError
from imkin.prints import TURNS, turn
from imkin.types import QUALITY_FLOOR, Fingerprinter, Pixels, Prints, Spec

SIZES = ((300, 400), (240, 240), (97, 131), (8, 9), (3, 5), (1, 1), (1, 40), (40, 1), (2, 3000), (1500, 7))


def check_fingerprinter(made: Fingerprinter) -> None:
    """Raise AssertionError, with what is wrong in words, unless `made` keeps the contract of `types.Fingerprinter`.

    Pictures of any size get values of the spec's form and a quality in 0..1; the same pictures the same values in any
    order, batch and thread; nothing is written into them; blank and tiny ones are of low quality; a picture is 1 like
    itself, more like a noisy copy than like another one, and with turns like its turns.
    """
    _check(isinstance(made.spec, Spec), "spec is a types.Spec")
    _check(made.spec.id == made.spec.id, "spec.id is the same each time")
    if made.spec.kind == "bytes":
        _check_of_files(made)
        return
    pictures = [scene(seed, height, width) for seed, (height, width) in enumerate(SIZES)]
    whole = _embed(made, pictures)
    _check_form(made.spec, whole, len(pictures))
    _check_sameness(made, pictures, whole)
    _check_quality(made)
    _check_similarity(made)


def scene(seed: int, height: int, width: int) -> Pixels:
    """A drawn picture (height, width, 3): a slope and twelve coloured discs; its parts scale with its size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    picture: Pixels = (x[..., None] * rng.integers(0, 128, 3) + y[..., None] * rng.integers(0, 128, 3)).astype(np.uint8)
    for _ in range(12):
        (down, across), radius = rng.random(2), rng.uniform(0.05, 0.25)
        picture[(y - down) ** 2 + (x - across) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return picture


def _check(holds: bool, claim: str) -> None:  # noqa: FBT001
    # Not `assert`: the check must hold under `python -O` too.
    if not holds:
        raise AssertionError(f"a fingerprinter must keep this: {claim}")


def _check_of_files(made: Fingerprinter) -> None:
    try:
        made.embed_batch([scene(0, 9, 9)])
    except UsageError:
        return
    _check(False, "kind `bytes` compares files, so embed_batch raises UsageError")  # noqa: FBT003


def _embed(made: Fingerprinter, pictures: list[Pixels]) -> Prints:
    values, quality = made.embed_batch(pictures)
    _check(len(values) == len(quality) == len(pictures), "as many values and qualities as pictures")
    return Prints(made.spec, values, quality)


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _check_form(spec: Spec, prints: Prints, n: int) -> None:
    values, quality = prints.values, prints.quality
    _check(quality.dtype == np.float32 and quality.shape == (n,), "quality is (n,) float32")
    _check(bool(((quality >= 0) & (quality <= 1)).all()), "quality is in 0..1")
    if spec.kind in ("bits", "record"):
        _check(values.dtype == np.uint8 and values.shape == (n, spec.dim // 8), "bits are (n, dim // 8) uint8")
    elif spec.kind == "unit vector":
        _check(values.dtype == np.float32 and values.shape == (n, spec.dim), "vectors are (n, dim) float32")
        regions = int(str(spec.params.get("regions", 1)))
        lengths = np.linalg.norm(values.reshape(n, regions, -1).astype(np.float64), axis=2)
        _check(bool((abs(lengths[quality >= QUALITY_FLOOR] - 1) < 1e-3).all()), "each region's vector has length 1")
    else:
        _check(values.dtype == object and values.shape == (n,), "gray images are (n,) objects")
        _check(all(v.dtype == np.uint8 and v.ndim == 2 for v in values), "gray images are (h, w) uint8")


def _check_sameness(made: Fingerprinter, pictures: list[Pixels], whole: Prints) -> None:
    for picture in pictures:
        picture.flags.writeable = False
    values, quality = whole.values, whole.quality
    singly = [_embed(made, [picture]) for picture in pictures]
    _check(
        all(_same(one.values, values[i : i + 1]) for i, one in enumerate(singly)), "one by one gives the same values"
    )
    _check(all(one.quality[0] == quality[i] for i, one in enumerate(singly)), "one by one gives the same quality")
    backwards = _embed(made, pictures[::-1])
    _check(_same(backwards.values[::-1], values), "values come in the order of the pictures")
    views = [np.repeat(picture, 2, axis=1)[:, ::2] for picture in pictures]
    _check(_same(_embed(made, views).values, values), "a view that is not contiguous gives the same values")
    _check(len(_embed(made, [])) == 0, "no pictures give no values")
    found: list[Prints] = []
    threads = [threading.Thread(target=lambda: found.append(_embed(made, pictures))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _check(len(found) == 2 and all(_same(one.values, values) for one in found), "two threads get the same values")


def _check_quality(made: Fingerprinter) -> None:
    good = _embed(made, [scene(seed, 300, 400) for seed in range(4)])
    _check(bool((good.quality >= QUALITY_FLOOR).all()), f"a varied picture's quality is at least {QUALITY_FLOOR}")
    tiny = _embed(made, [scene(0, 1, 1)])
    _check(bool((tiny.quality < QUALITY_FLOOR).all()), f"a picture of one pixel has a quality below {QUALITY_FLOOR}")
    if made.spec.kind != "gray image":  # gray images are compared themselves: two blank ones do look the same
        blank = _embed(made, [np.full((200, 300, 3), level, np.uint8) for level in (0, 128, 255)])
        _check(bool((blank.quality < QUALITY_FLOOR).all()), f"a blank picture's quality is below {QUALITY_FLOOR}")


def _check_similarity(made: Fingerprinter) -> None:
    pictures = [scene(seed, 300, 400) for seed in range(4)]
    noise = np.random.default_rng(0).integers(-3, 4, (300, 400, 3))
    noisy = [(picture.astype(np.int64) + noise).clip(0, 255).astype(np.uint8) for picture in pictures]
    before, after = _embed(made, pictures), _embed(made, noisy)
    _check(bool((metric.similarity(before, before).diagonal() == 1).all()), "a picture is 1 like itself")
    alike = metric.similarity(before, after)
    others = np.where(np.eye(len(pictures), dtype=bool), -1, alike).max(axis=1)
    _check(bool((alike.diagonal() > others).all()), "a noisy copy is nearer than any other picture")
    threshold = made.spec.default_threshold
    if made.spec.kind == "bits":
        _check(bool((alike.diagonal() >= threshold).all()), "a noisy copy is found at the default threshold")
    if made.spec.params.get("turns") == TURNS:
        turns = [np.ascontiguousarray(turn(pictures[0], t)).astype(np.uint8) for t in range(TURNS)]
        found = metric.similarity(_embed(made, pictures[:1]), _embed(made, turns))
        _check(bool((found >= threshold).all()), "each turn of a picture is found at the default threshold")
