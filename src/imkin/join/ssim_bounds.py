"""A short vector of each picture whose inner products bound mean SSIM from above, so that one matrix product prunes.

By Cauchy-Schwarz the covariance of two windows is at most σx·σy, so a window's SSIM is at most l·c with

    l = (2·μx·μy + C1) / (μx² + μy² + C1)      c = (2·σx·σy + C2) / (σx² + σy² + C2).

Both are positive definite kernels: 1/(a² + b² + C) = ∫ exp(−t·a²)·exp(−t·b²)·exp(−t·C) dt over t > 0 is one, so is
2·a·b + C for a, b ≥ 0, and so are their products (Schur). Hence l·c = ⟨φ(x), φ(y)⟩ with unit vectors φ in a Hilbert
space, and the mean over the windows is again such an inner product. From there each step may only raise it:

1. φ is projected onto the span of a few landmarks, kernel by kernel (Nyström): with k(a) the kernels of a and the
   landmarks, K those of the landmarks among themselves, the coordinates are K^(−1/2)·k(a).
2. The projections of the windows of a block are replaced by their mean, again a projection.
3. What a projection P leaves out is bounded by Cauchy-Schwarz: ⟨x, y⟩ ≤ ⟨Px, Py⟩ + √(1 − |Px|²)·√(1 − |Py|²). The
   square root is one more coordinate of each block.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from imkin.join.ssim_kernel import SCALED_C1, SCALED_C2, Stripes, box_sums, buffers
from imkin.metric_ssim import SAMPLES, WINDOW, Gray

Vector = NDArray[np.float32]

GRID_COLUMNS = 8

# Means and deviations to which all others are compared, evenly spaced in asinh(a·√(2/C)), the kernels' own scale;
# in units of 49 μ and √(49·48)·σ. Four of each: three left 10 % more, six took twice as long for 2 % less.
LANDMARKS = 4
HIGHEST_MEAN = 255.0 * SAMPLES
HIGHEST_DEVIATION = 128.0 * np.sqrt(SAMPLES * (SAMPLES - 1))

# Sums of float32 in blocks are off by 1e-6 of a block (tests compare with float64); each block is given this more.
BLOCK_ERROR = 1e-5

# A float32 product of 8,704 coordinates of unit vectors is off by 8,704 · 2^-24 at most; the rest is for BLOCK_ERROR.
PRODUCT_ERROR = 1e-3


@dataclass(frozen=True, slots=True)
class Kernel:
    """Of one axis: landmarks (d,) and the matrix K^(−1/2), (d, d). constant: the kernel's C in the axis' units."""

    landmarks: NDArray[np.float64]
    whiten: NDArray[np.float64]
    constant: float

    def of(self, values: Vector, room: Vector) -> Vector:
        """(d, rows, columns): the kernel of each value with each landmark. room: (d + 2, rows · columns or more)."""
        squares, below, *out = (part[: values.size].reshape(values.shape) for part in room)
        np.multiply(values, values, out=squares)
        for mark, term in zip(self.landmarks.tolist(), out, strict=True):
            np.multiply(values, np.float32(2 * mark), out=term)
            term += np.float32(self.constant)
            np.add(squares, np.float32(mark * mark + self.constant), out=below)
            term /= below
        return room[2:, : values.size].reshape(-1, *values.shape)


@cache
def mean_kernel() -> Kernel:
    """The kernel l, of 49 μ."""
    return _kernel(HIGHEST_MEAN, SCALED_C1)


@cache
def deviation_kernel() -> Kernel:
    """The kernel c, of √(49·48)·σ."""
    return _kernel(float(HIGHEST_DEVIATION), SCALED_C2)


def _kernel(highest: float, constant: float) -> Kernel:
    scale = np.sqrt(constant / 2)
    marks = scale * np.sinh(np.linspace(0, np.arcsinh(highest / scale), LANDMARKS))
    gram = (2 * np.outer(marks, marks) + constant) / (np.add.outer(marks**2, marks**2) + constant)
    values, vectors = np.linalg.eigh(gram)
    return Kernel(marks, np.asarray(vectors / np.sqrt(values) @ vectors.T), constant)


def size_of(stripes: Stripes, *, merged: int = 1) -> int:
    """Length of a picture's vector. merged: rows of the grid that are taken as one."""
    return -(-(len(stripes.rows) - 1) // merged) * _columns(stripes) * (LANDMARKS**2 + 1)


def vector(gray: Gray, stripes: Stripes, *, merged: int = 1) -> Vector:
    """The picture's unit vector, (size_of,) float32: row by row of blocks, 16 coordinates and the rest of each.

    The mean SSIM of two pictures of this shape is at most the product of their vectors + PRODUCT_ERROR.
    """
    width = stripes.shape[1] - WINDOW + 1
    columns = _columns(stripes)
    sums = np.concatenate([_block_sums(gray, top, bottom, stripes) for top, bottom in _bands(stripes)])
    starts = np.arange(0, len(sums), merged)
    sums = np.add.reduceat(sums, starts, axis=0)
    heights = np.add.reduceat(np.diff(stripes.rows), starts)
    widths = np.full(columns, width // columns)
    widths[-1] += width % columns
    count = np.multiply.outer(heights, widths)
    means = mean_kernel().whiten @ (sums / count[:, :, None, None]) @ deviation_kernel().whiten
    flat = means.reshape(*count.shape, -1)
    rest = np.sqrt(np.maximum(0, 1 - (flat**2).sum(axis=2)) + BLOCK_ERROR)
    whole = np.concatenate([flat, rest[:, :, None]], axis=2)
    whole *= np.sqrt(count / stripes.windows)[:, :, None]
    return np.asarray(whole.reshape(-1), np.float32)


def floors(x: Vector, y: Vector, stripes: Stripes) -> NDArray[np.float64]:
    """(stripes,) lower bounds of each stripe's sum of 1 − SSIM, of vectors that are not merged."""
    rows = np.add.reduce((x * y).reshape(len(stripes.rows) - 1, -1), axis=1, dtype=np.float64)
    starts = np.searchsorted(stripes.rows, stripes.edges[:-1])
    windows = np.diff(stripes.edges) * (stripes.shape[1] - WINDOW + 1)
    upper = np.add.reduceat(rows, starts) * stripes.windows + PRODUCT_ERROR * windows
    return np.asarray(np.maximum(0, windows - upper), np.float64)


class _Room(threading.local):
    """Room for the features of one band, one a thread, as `Buffers`."""

    def __init__(self) -> None:
        self.parts = np.empty((2, LANDMARKS + 2, 0), np.float32)

    def fit(self, size: int) -> NDArray[np.float32]:
        if size > self.parts.shape[2]:
            self.parts = np.empty((2, LANDMARKS + 2, size), np.float32)
        return self.parts


_room = _Room()


def _columns(stripes: Stripes) -> int:
    return min(GRID_COLUMNS, stripes.shape[1] - WINDOW + 1)


def _bands(stripes: Stripes) -> list[tuple[int, int]]:
    """Stripes as ranges of the grid's rows."""
    index = np.searchsorted(stripes.rows, stripes.edges).tolist()
    return list(itertools.pairwise(index))


def _block_sums(gray: Gray, first: int, last: int, stripes: Stripes) -> NDArray[np.float64]:
    """(last − first, columns, 4, 4): over the windows of each block, products of mean and deviation features."""
    edges = stripes.rows[first : last + 1]
    means, deviations = _statistics(gray[edges[0] : edges[-1] + WINDOW - 1])
    columns = _columns(stripes)
    breadth = means.shape[1] // columns
    room = _room.fit(means.size)
    a, b = mean_kernel().of(means, room[0]), deviation_kernel().of(deviations, room[1])
    even = columns * breadth

    def in_blocks(features: Vector) -> Vector:
        return features[:, :, :even].reshape(LANDMARKS, len(means), columns, breadth)

    products = in_blocks(a).transpose(1, 2, 0, 3) @ in_blocks(b).transpose(1, 2, 3, 0)
    if even < means.shape[1]:
        products[:, -1] += a[:, :, even:].transpose(1, 0, 2) @ b[:, :, even:].transpose(1, 2, 0)
    return np.asarray(np.add.reduceat(products, edges[:-1] - edges[0], axis=0, dtype=np.float64))


def _statistics(gray: Gray) -> tuple[Vector, Vector]:
    """49 μ and √(49·48)·σ of each window of these rows."""
    rows, columns = gray.shape
    size = gray.size
    buffers.fit(size)
    pixels, first, second = (b[:size] for b in buffers.small[:3])
    squares, wide, tall, spare = (b[:size] for b in buffers.sums[:4])
    pixels.reshape(rows, columns)[...] = gray
    np.multiply(pixels, pixels, out=first)
    squares[...] = first
    narrow = box_sums(pixels, columns, first, second)
    scaled = box_sums(squares, columns, wide, tall)
    sums = spare[: len(narrow)]
    sums[...] = narrow
    np.multiply(sums, sums, out=wide[: len(sums)])
    scaled *= SAMPLES
    scaled -= wide[: len(sums)]

    return _windows(spare, gray.shape), np.sqrt(_windows(squares, gray.shape))


def _windows(sums: NDArray[np.int32], shape: tuple[int, ...]) -> Vector:
    """The windows of rows of these sums, as float32; the sums of what straddles two rows are left out."""
    rows, columns = shape
    whole = sums[: (rows - WINDOW + 1) * columns].reshape(-1, columns)
    return whole[:, : columns - WINDOW + 1].astype(np.float32)
