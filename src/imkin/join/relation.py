"""How two pictures are related: what was done to one to make the other, with the evidence, out of their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from imkin.join import align, fused
from imkin.prints import TURNS, turn
from imkin.prints.auto import COLOURS, THUMB, Records
from imkin.result import Relation

# Up to so many of 256 bits apart two pictures show the same section: cuts of a tenth are 18 bits apart and more.
SAME_SECTION = 14
# Pictures that fit onto each other worse than this are only alike: photos of different things reach 0.73 in 1 of 10
# pairs and 0.84 in 1 of 100, edited copies less than 0.74 in 1 of 20 (seen when the weights of `fused` were fitted).
FITS = 0.74
# A whole that fits this much worse than the best part is still taken as whole.
HAIR = 0.03
# A part of more of the area is the whole, seen through a grid of 16 cells.
WHOLE_AREA = 0.9
# Gray levels: surroundings that vary by less are a border; blocks that differ by more are covered.
PLAIN, COVERED = 8.0, 40.0
# Of 64 blocks, so many can be covered and the rest still show the picture.
MOST_COVERED = 26
# Mean difference of chroma, or of the spread of light, in gray levels, from which a picture was recoloured.
CHROMA, LIGHT = 8.0, 12.0
# Sizes that agree within this are one size.
SIZES = 0.02

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


def relations(
    records: Records, sizes: NDArray[np.int64], left: Indices, right: Indices, contents: Sequence[str]
) -> list[Relation]:
    """The relation of each pair (left, right). sizes: (n, 2), width and height; contents: n digests of the bytes.

    Cost: 3 ms for each pair whose pictures are not of the same section.
    """
    made = []
    for draft, a, b in zip(drafts(records, left, right), left.tolist(), right.tolist(), strict=True):
        pixels = bytes(records.digests[a]) == bytes(records.digests[b])
        made.append(finished(draft, sizes[a], sizes[b], bytes_equal=contents[a] == contents[b], pixels_equal=pixels))
    return made


def drafts(records: Records, left: Indices, right: Indices) -> list[Relation]:
    """What the records alone tell of each pair: the relation, without a name where only the sizes give it one.

    Records of one digest are of the same pixels: what holds for one of them holds for all.
    """
    _, first, kind = np.unique(records.digests, axis=0, return_index=True, return_inverse=True)
    kinds = np.stack([kind.reshape(-1)[left], kind.reshape(-1)[right]], axis=1)
    different, at = np.unique(kinds, axis=0, return_inverse=True)
    told = [Relation("", bits=0)] * len(different)
    unlike = np.flatnonzero(different[:, 0] != different[:, 1])
    for row, draft in zip(
        unlike.tolist(), _drafts(records, first[different[unlike, 0]], first[different[unlike, 1]]), strict=True
    ):
        told[row] = draft
    return [told[row] for row in at.reshape(-1).tolist()]


def _drafts(records: Records, left: Indices, right: Indices) -> list[Relation]:
    """`drafts`, pair by pair."""
    bits, turns = fused.nearest_turn(records, records, left, right)
    far = np.flatnonzero(bits > SAME_SECTION)
    laid = align.align(align.details(records.thumbs[left[far]]), align.details(records.thumbs[right[far]]))
    place = {int(row): at for at, row in enumerate(far)}
    return [
        _named(records, a, b, _section(records, a, b, int(bits[row]), int(turns[row]), laid, place.get(row)))
        for row, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True))
    ]


def finished(
    draft: Relation, a: NDArray[np.int64], b: NDArray[np.int64], *, bytes_equal: bool, pixels_equal: bool
) -> Relation:
    """The relation of two pictures of sizes a and b, (2,) each: width and height."""
    if bytes_equal:
        return Relation("identical bytes", bits=0)
    if pixels_equal and (a == b).all():
        return Relation("identical pixels", bits=0)
    if draft.name:
        return draft
    other = b[::-1] if draft.turn % 2 else b
    return replace(draft, name="re-encoded" if (abs(a - other) <= SIZES * a).all() else "resized")


def reversed_(relation: Relation) -> Relation:
    """The relation of b and a, where this is that of a and b."""
    part = {"a": "b", "b": "a", None: None}[relation.part]
    return replace(relation, part=part, turn=fused.inverse(relation.turn))


def _section(
    records: Records, a: int, b: int, bits: int, turned: int, laid: align.Alignment, at: int | None
) -> Relation:
    """The geometry of a pair, as a relation without a name yet; named look-alike where nothing fits."""
    known = bits if bits <= fused.RADIUS else None
    if at is None:
        return Relation("", turn=turned, bits=known)
    fit, box = float(laid.score[at]), laid.box[at].astype(np.float64)
    if known is not None:
        details = align.details(records.thumbs[[a, b]])
        whole = float(align.overlay(details[:1], details[1:], np.array([turned]))[0])
        if whole >= fit - HAIR:
            return Relation("", turn=turned, bits=known, fit=round(whole, 4))
    if fit < FITS:
        return Relation("look-alike", bits=known, fit=round(fit, 4))
    # The turn is that of the part, wherever it lies; the evidence says it of b.
    inside = bool(laid.inside[at])
    turned = int(laid.turn[at]) if inside else fused.inverse(int(laid.turn[at]))
    area = (box[2] - box[0]) * (box[3] - box[1])
    if area >= WHOLE_AREA:
        return Relation("", turn=turned, bits=known, fit=round(fit, 4))
    corners = tuple(round(float(x), 4) for x in box)
    return Relation("", "b" if inside else "a", corners, turned, known, round(fit, 4))  # type: ignore[arg-type]


def _named(records: Records, a: int, b: int, section: Relation) -> Relation:
    if section.name:
        return section
    names = _turn_names(section.turn)
    if section.box is not None:
        ground = records.thumbs[a if section.part == "b" else b]
        names.append("bordered" if _plain_around(ground, section.box) else "cropped")
    else:
        if _covered(records.thumbs[a], turn(records.thumbs[b], section.turn)):
            names.append("overlaid")
        if _recoloured(records.colours[a], turn(records.colours[b], section.turn)):
            names.append("recoloured")
    return replace(section, name=", ".join(names))


def _turn_names(t: int) -> list[str]:
    """Turn 6 is upside down in a mirror: a mirror lying on the floor."""
    mirrored = t >= TURNS // 2
    return ["mirrored"] * mirrored + ["turned"] * (t in (1, 2, 3, 5, 7))


def _plain_around(thumb: NDArray[np.uint8], box: tuple[float, float, float, float]) -> bool:
    """Whether each strip beside a box is nearly of one gray; the pixels next to the box belong to neither."""
    left, top, right, bottom = (round(x * THUMB) for x in box)
    hair = 3
    strips = (
        thumb[: max(0, top - hair)],
        thumb[bottom + hair :],
        thumb[:, : max(0, left - hair)],
        thumb[:, right + hair :],
    )
    wide = [strip for strip in strips if strip.size]
    return bool(wide) and all(float(np.median(abs(s - np.median(s)))) < PLAIN and s.std() < 3 * PLAIN for s in wide)


def _covered(a: NDArray[np.uint8], b: NDArray[np.generic]) -> bool:
    """Whether some blocks of b differ much from a, made as light and as contrasty as it, while most do not."""
    x, y = a.astype(np.float64), np.asarray(b, np.float64)
    middle_x, middle_y = np.median(x), np.median(y)
    spread_x, spread_y = (max(1.0, float(np.median(abs(p - m)))) for p, m in ((x, middle_x), (y, middle_y)))
    x, y = (x - middle_x) / spread_x, (y - middle_y) / spread_y
    # Edges that lie a pixel aside, after a slight cut or a resize, cover nothing.
    shifts = [np.roll(y, shift, axis=(0, 1)) for shift in product((-1, 0, 1), repeat=2)]
    apart = np.min([abs(x - shifted) for shifted in shifts], axis=0) * min(spread_x, spread_y)
    blocks = apart.reshape(8, THUMB // 8, 8, THUMB // 8).mean(axis=(1, 3))
    covered = int((blocks > COVERED).sum())
    return 1 <= covered <= MOST_COVERED and float(np.median(blocks)) < COVERED / 4


def _recoloured(a: NDArray[np.uint8], b: NDArray[np.generic]) -> bool:
    x, y = (np.asarray(p, np.float64).reshape(COLOURS * COLOURS, 3) for p in (a, b))
    light_x, light_y = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    chroma = float(abs((x - light_x) - (y - light_y)).mean())
    return chroma > CHROMA or float(abs(light_x - light_y).mean()) > LIGHT
