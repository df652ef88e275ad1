"""Edits of pictures as tensor operations over a whole batch: what people do to pictures, in milliseconds.

Every edit takes a `strength` in 0..1 that scales both how often it happens and how far it goes. With all edits at
full strength from the start the network does not learn at all; growing it from 0.15 to 1 over the first half does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEAST_AREA = 0.25
LEAST_OVERLAP = 0.4
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Scrapbook:
    """What edits paste in. letters: (m, h, w) uint8 masks, 0 or 1."""

    letters: Tensor


def uniform(shape: tuple[int, ...], low: float, high: float, *, generator: torch.Generator) -> Tensor:
    """float32 drawn evenly from low..high."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def chance(count: int, probability: float, *, generator: torch.Generator) -> Tensor:
    """(count,) bool, each true with `probability`."""
    return torch.rand(count, generator=generator) < probability


def some(count: int, share: float, *, generator: torch.Generator) -> Tensor:
    """Indices of a fixed share of `count` rows, in random order: the cost of a batch never varies."""
    return torch.randperm(count, generator=generator)[: round(count * share)]


def crop_boxes(strength: Tensor, *, generator: torch.Generator) -> Tensor:
    """Boxes to cut out, one a row: (n, 4) of centre x, y and half width, height, where the picture is -1..1.

    strength: (n,) in 0..1; at 1 the area falls to LEAST_AREA, evenly in its logarithm, and the shape varies twofold.
    """
    n = len(strength)
    cut = chance(n, 0.85, generator=generator)
    area = (1 - (1 - LEAST_AREA) * strength) ** (uniform((n,), 0, 1, generator=generator) * cut)
    shape = (uniform((n,), -0.7, 0.7, generator=generator) * strength * cut).exp()
    half_width = (area * shape).sqrt().clamp(0.3, 1)
    half_height = (area / half_width).clamp(0.3, 1)
    # A third of the cuts end at an edge of the picture, as the cuts of people do.
    where = (uniform((n, 2), -1.5, 1.5, generator=generator)).clamp(-1, 1)
    return torch.stack([where[:, 0] * (1 - half_width), where[:, 1] * (1 - half_height), half_width, half_height], 1)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Area common to boxes a and b (as in `crop_boxes`), as a share of the smaller one. (n,)."""
    low = torch.maximum(a[:, :2] - a[:, 2:], b[:, :2] - b[:, 2:])
    high = torch.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=1)
    return common / (4 * torch.minimum(a[:, 2:].prod(dim=1), b[:, 2:].prod(dim=1)))


def crop_pairs(first: Tensor, second: Tensor, *, generator: torch.Generator, tries: int = 6) -> tuple[Tensor, Tensor]:
    """Two boxes a row with at least LEAST_OVERLAP in common: without a common part a pair teaches nothing."""
    a = crop_boxes(first, generator=generator)
    b = crop_boxes(second, generator=generator)
    for _ in range(tries):
        other = crop_boxes(second, generator=generator)
        apart = overlap(a, b) < LEAST_OVERLAP
        b = torch.where(apart[:, None], other, b)
    apart = overlap(a, b) < LEAST_OVERLAP
    return a, torch.where(apart[:, None], a, b)


def _eye(n: int) -> Tensor:
    return torch.eye(3).repeat(n, 1, 1)


def placements(strength: Tensor, *, generator: torch.Generator) -> Tensor:
    """Where the picture stands in the new canvas: homographies (n, 3, 3) from canvas to picture.

    Framed rows stand in a part of the canvas: a border, a letterbox, a picture in a picture, a half or a quarter of a
    collage; one row in five is seen in perspective.
    """
    n = len(strength)
    framed = torch.rand(n, generator=generator) < 0.4 * strength
    kind = torch.randint(0, 6, (n,), generator=generator)
    size = 1 - uniform((n, 2), 0.04, 0.45, generator=generator) * strength[:, None]
    same = size[:, :1].expand(-1, 2)
    size = torch.where((kind <= 1)[:, None], same, size)
    one = torch.ones(n)
    size = torch.where((kind == 2)[:, None], torch.stack([size[:, 0], one], 1), size)
    size = torch.where((kind == 3)[:, None], torch.stack([one, size[:, 1]], 1), size)
    small = (0.5 + 0.3 * (1 - strength))[:, None].expand(-1, 2)
    size = torch.where((kind == 5)[:, None] & (torch.rand(n, 1, generator=generator) < 0.5), small, size)
    size = torch.where(framed[:, None], size, torch.ones(n, 2))
    centred = torch.rand(n, 1, generator=generator) < 0.5
    shift = uniform((n, 2), -1, 1, generator=generator) * (1 - size) * ~centred
    matrix = _eye(n)
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 / size[:, 0], 1 / size[:, 1]
    matrix[:, 0, 2], matrix[:, 1, 2] = -shift[:, 0] / size[:, 0], -shift[:, 1] / size[:, 1]
    tilted = torch.rand(n, generator=generator) < 0.2 * strength
    matrix[:, 2, :2] = uniform((n, 2), -0.25, 0.25, generator=generator) * strength[:, None] * tilted[:, None]
    return matrix


def turns(strength: Tensor, aspect: Tensor, *, generator: torch.Generator) -> Tensor:
    """Mirror, right-angle turns and small rotations: (n, 3, 3) from view to box. aspect: (n,) width / height."""
    n = len(strength)
    angle = uniform((n,), -20, 20, generator=generator) * strength * (math.pi / 180)
    angle = angle * (torch.rand(n, generator=generator) < 0.3 * strength)
    rotation = _eye(n)
    rotation[:, 0, 0] = rotation[:, 1, 1] = angle.cos()
    # The picture is squeezed into a square: turn it in its own shape.
    rotation[:, 0, 1], rotation[:, 1, 0] = -angle.sin() / aspect, angle.sin() * aspect
    quarter = torch.randint(1, 4, (n,), generator=generator)
    quarter = quarter * (torch.rand(n, generator=generator) < 0.25 * strength)
    cos, sin = torch.tensor([1.0, 0, -1, 0])[quarter], torch.tensor([0.0, 1, 0, -1])[quarter]
    flip = 1 - 2 * (torch.rand(n, generator=generator) < 0.3 * strength).float()
    right = _eye(n)
    right[:, 0, 0], right[:, 0, 1] = cos * flip, -sin
    right[:, 1, 0], right[:, 1, 1] = sin * flip, cos
    return right @ rotation


def mesh(side: int) -> Tensor:
    """(side², 3) homogeneous pixel centres of a canvas that is -1..1."""
    line = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)], dim=1)


def warp(
    photos: Tensor, aspect: Tensor, boxes: Tensor, strength: Tensor, *, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cut, turn, tilt and place: pictures (n, 3, side, side), and masks (n, 1, side, side) of where they are seen."""
    n = len(photos)
    place = placements(strength, generator=generator)
    turn = turns(strength, aspect * boxes[:, 2] / boxes[:, 3], generator=generator)
    points = mesh(side) @ place.transpose(1, 2)
    points = points / points[:, :, 2:].clamp(min=0.2)
    seen = points[:, :, :2].abs().amax(dim=2) <= 1
    inner = (points @ turn.transpose(1, 2))[:, :, :2]
    # Half of the rotated pictures lose what was beyond the box, the others show more of the picture there.
    cornered = (torch.rand(n, generator=generator) < 0.5)[:, None]
    seen &= (inner.abs().amax(dim=2) <= 1.0001) | ~cornered
    source = boxes[:, None, :2] + inner * boxes[:, None, 2:]
    grid = source.reshape(n, side, side, 2)
    moved = functional.grid_sample(photos, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved, seen.reshape(n, 1, side, side)


def fills(others: Tensor, count: int, strength: float, *, side: int, generator: torch.Generator) -> Tensor:
    """What stands around framed pictures: (count, 3, side, side) of black, white, gray, a colour, or other pictures.

    others: (m, 3, h, w) pictures that are not in the batch; half of them fill a canvas, half of them a 2×2 collage.
    """
    kind = torch.randint(0, 4, (count, 1), generator=generator)
    colour = torch.rand(count, 3, generator=generator)
    gray = torch.rand(count, 1, generator=generator).expand(-1, 3)
    plain = torch.where(kind == 0, torch.zeros(()), torch.where(kind == 1, torch.ones(()), colour))
    plain = torch.where(kind == 2, gray, plain)
    canvas = plain[:, :, None, None].repeat(1, 1, side, side)
    rows = some(count, 0.5 * min(1.0, strength + 0.2), generator=generator)
    which = torch.randint(0, len(others), (len(rows),), generator=generator)
    full = functional.interpolate(others[which], size=(side, side), mode="bilinear")
    half = functional.avg_pool2d(full[len(rows) // 2 :], 2)
    top = torch.cat([half, half.roll(1, 0)], dim=3)
    full[len(rows) // 2 :] = torch.cat([top, top.roll(2, 0)], dim=2)
    canvas[rows] = full
    return canvas


def colour(pictures: Tensor, strength: Tensor, *, generator: torch.Generator) -> Tensor:
    """Gray, sepia, a random colour matrix, saturation, contrast, brightness: one affine map a picture; then gamma."""
    n = len(pictures)
    s = strength[:, None, None]
    luma = torch.tensor(LUMA).expand(3, 3)
    eye = torch.eye(3)

    def active(p: float) -> Tensor:
        return (torch.rand(n, 1, 1, generator=generator) < p * s).float()

    saturation = 1 + (uniform((n, 1, 1), -1, 1.5, generator=generator)) * s * active(0.5)
    gray = active(0.15)
    saturation = saturation * (1 - gray)
    matrix = saturation * eye + (1 - saturation) * luma
    matrix = matrix + 0.25 * torch.randn(n, 3, 3, generator=generator) * s * active(0.25)
    tint = torch.tensor([1.07, 0.9, 0.7])[:, None] * (active(0.2) * gray) + (1 - active(0.2) * gray)
    matrix = matrix * tint
    gain = (uniform((n, 1, 1), -0.9, 0.5, generator=generator) * s * active(0.5)).exp()
    contrast = (uniform((n, 1, 1), -0.8, 0.7, generator=generator) * s * active(0.5)).exp()
    shift = uniform((n, 1, 1), -0.2, 0.2, generator=generator) * s * active(0.4)
    flat = pictures.flatten(2)
    mean = flat.mean(dim=(1, 2), keepdim=True)
    changed = torch.baddbmm(mean * gain * (1 - contrast) + shift, matrix * gain * contrast, flat).clamp_(0, 1)
    changed = changed.reshape(pictures.shape)
    rows = some(n, 0.25, generator=generator)
    gamma = (uniform((len(rows), 1, 1, 1), -0.6, 0.6, generator=generator) * s[rows, :, :, None]).exp()
    changed[rows] = changed[rows].clamp(min=1e-4) ** gamma
    return changed


def resample(pictures: Tensor, rows: Tensor, *, factor: float, blocky: bool) -> None:
    """Blur, or pixelate, some rows in place: reduced by `factor` over areas and enlarged again."""
    side = pictures.shape[-1]
    small = functional.interpolate(pictures[rows], size=max(8, round(side / factor)), mode="area")
    mode = "nearest" if blocky else "bilinear"
    pictures[rows] = functional.interpolate(small, size=side, mode=mode)


def cosine_basis(size: int = 8) -> Tensor:
    """(size, size) orthonormal DCT-II, rows are frequencies."""
    k = torch.arange(size, dtype=torch.float32)
    basis = torch.cos(math.pi / size * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def compress(pictures: Tensor, rows: Tensor, *, step: Tensor) -> None:
    """JPEG-like loss of some rows in place: the DCT of blocks of 8×8, rounded to steps that grow with frequency.

    step: (len(rows),) quantisation step of the lowest frequency, where 1 is white.
    """
    basis = cosine_basis()
    side = pictures.shape[-1]
    blocks = pictures[rows].reshape(len(rows), 3, side // 8, 8, side // 8, 8).transpose(3, 4)
    waves = basis @ blocks @ basis.T
    growth = 1 + 0.6 * (torch.arange(8)[:, None] + torch.arange(8)[None])
    table = step[:, None, None, None, None, None] * growth
    waves = (waves / table).round() * table
    back = (basis.T @ waves @ basis).transpose(3, 4).reshape(len(rows), 3, side, side)
    pictures[rows] = back.clamp_(0, 1)


def boxes_on_top(pictures: Tensor, rows: Tensor, strength: float, *, generator: torch.Generator) -> None:
    """Solid bars and boxes over some rows, in place; half of them along an edge."""
    n, side = len(rows), pictures.shape[-1]
    line = (torch.arange(side) + 0.5) / side
    size = uniform((n, 2), 0.05, 0.12 + 0.33 * strength, generator=generator)
    wide = chance(n, 0.4, generator=generator)
    size[:, 0] = torch.where(wide, torch.ones(n), size[:, 0])
    size[:, 1] = torch.where(wide, size[:, 1] * 0.6, size[:, 1])
    at = uniform((n, 2), -0.3, 1.3, generator=generator).clamp(0, 1) * (1 - size)
    across = (line >= at[:, :1]) & (line <= at[:, :1] + size[:, :1])
    down = (line >= at[:, 1:]) & (line <= at[:, 1:] + size[:, 1:])
    inside = (down[:, :, None] & across[:, None, :])[:, None]
    ink = torch.rand(n, 3, 1, 1, generator=generator)
    ink = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, ink.round(), ink)
    pictures[rows] = torch.where(inside, ink, pictures[rows])


def letters_on_top(pictures: Tensor, rows: Tensor, book: Scrapbook, *, generator: torch.Generator) -> None:
    """Captions over some rows, in place, in one colour, opaque or half transparent."""
    n, side = len(rows), pictures.shape[-1]
    which = torch.randint(0, len(book.letters), (n,), generator=generator)
    mask = functional.interpolate(book.letters[which, None].float(), size=(side, side), mode="bilinear")
    mask = mask * uniform((n, 1, 1, 1), 0.4, 1.2, generator=generator).clamp(max=1)
    ink = torch.rand(n, 3, 1, 1, generator=generator)
    ink = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, ink.round(), ink)
    pictures[rows] = pictures[rows] * (1 - mask) + ink * mask


def degrade(pictures: Tensor, book: Scrapbook, strength: float, *, generator: torch.Generator) -> None:
    """Overlays, blur, pixels, compression and noise, each on its share of the rows, in place."""
    n = len(pictures)
    boxes_on_top(pictures, some(n, 0.2 * strength, generator=generator), strength, generator=generator)
    letters_on_top(pictures, some(n, 0.2 * strength, generator=generator), book, generator=generator)
    for blocky, share in ((False, 0.1), (False, 0.1), (True, 0.08)):
        factor = float(uniform((1,), 1.3, 1.5 + 3.5 * strength, generator=generator))
        resample(pictures, some(n, share * strength, generator=generator), factor=factor, blocky=blocky)
    rows = some(n, 0.15 * strength, generator=generator)
    compress(pictures, rows, step=uniform((len(rows),), 0.02, 0.02 + 0.15 * strength, generator=generator))
    rows = some(n, 0.15 * strength, generator=generator)
    sigma = uniform((len(rows), 1, 1, 1), 0, 0.1 * strength, generator=generator)
    noise = torch.randn(pictures[rows].shape, generator=generator)
    pictures[rows] = (pictures[rows] + sigma * noise).clamp_(0, 1)


@dataclass(frozen=True, slots=True)
class Edits:
    """How a batch is edited. mild: share of pairs whose first view is nearly the picture itself."""

    side: int
    strength: float
    mild: float = 0.4


def edited_pairs(
    photos: Tensor,
    aspect: Tensor,
    others: Tensor,
    book: Scrapbook,
    edits: Edits,
    *,
    generator: torch.Generator,
    partners: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Two edits of every photo: (2n, 3, side, side) float32 in 0..1, row i and row i + n of the same photo.

    photos: (n, 3, h, w) float32 in 0..1, squeezed into squares. aspect: (n,) width / height before. others:
    (m, 3, h, w), pictures to paste around and beside. partners: photos and aspect of the second views, where these
    are of other photos that show the same.
    """
    n = len(photos)
    mild = chance(n, edits.mild, generator=generator)
    first = torch.where(mild, torch.full((n,), 0.1 * edits.strength), torch.full((n,), edits.strength))
    second = torch.full((n,), edits.strength)
    views = []
    crops = crop_pairs(first, second, generator=generator)
    sources = ((photos, aspect), partners or (photos, aspect))
    for strength, boxes, (source, shape) in zip((first, second), crops, sources, strict=True):
        picture, seen = warp(source, shape, boxes, strength, side=edits.side, generator=generator)
        around = fills(others, n, edits.strength, side=edits.side, generator=generator)
        picture = torch.where(seen, picture, around)
        picture = colour(picture, strength, generator=generator)
        if strength is second:
            degrade(picture, book, edits.strength, generator=generator)
        else:
            hard = torch.nonzero(~mild)[:, 0]
            rough = picture[hard]
            degrade(rough, book, edits.strength, generator=generator)
            picture[hard] = rough
        views.append(picture)
    return torch.cat(views)
