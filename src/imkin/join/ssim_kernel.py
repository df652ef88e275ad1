"""Mean SSIM of one pair, exact, stripe by stripe, with an end as soon as the answer is certain.

All sums of a window are integers in int32: with S the sum of 49 values, 49·Σxy − Sx·Sy is 49·48 times the sample
covariance, at most 49²·255² = 1.6e8. Only the last quotient is float64.

A window whose pixels are equal in both pictures has SSIM 1 exactly: only the rectangle that changed is computed.
What is summed is the *deficit*, 1 − SSIM of each window; it is 0..2, for SSIM ≥ −1.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from imkin.metric_ssim import ALMOST_ONE, C1, C2, SAMPLES, WINDOW, Gray, Shape

# A stripe's buffers stay in the second-level cache: 24 rows of 1,024 windows measured best of 8..64 rows.
STRIPE_ROWS = 24
STRIPE_WINDOWS = 1024

# The grid of the bound (see `ssim_bounds`): up to 64 rows, for lines of text are wide and low.
GRID_ROWS = 64

SCALED_C1 = C1 * SAMPLES**2
SCALED_C2 = C2 * SAMPLES * (SAMPLES - 1)
WORST_DEFICIT = 2.0

# float64 sums of up to 1e8 deficits are off by less than this part of the number of windows.
ROUNDING = 1e-9

Deficits = NDArray[np.float64]
Sum = TypeVar("Sum", np.uint16, np.int32)


@dataclass(frozen=True, slots=True)
class Stripes:
    """How the windows of one shape are cut. Fixed by the shape, so that a pair's sum has one order.

    shape: of the pictures. rows: edges of the grid's rows in windows. edges: those of the stripes, a part of rows.
    columns: edges of the tiles that a stripe is worked in.
    """

    shape: Shape
    rows: NDArray[np.int64]
    edges: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def windows(self) -> int:
        """How many windows lie wholly inside."""
        return (self.shape[0] - WINDOW + 1) * (self.shape[1] - WINDOW + 1)


def stripes_of(shape: Shape) -> Stripes:
    """The cut of pictures of this shape, no side below 7."""
    height, width = shape[0] - WINDOW + 1, shape[1] - WINDOW + 1
    rows = _edges(height, min(GRID_ROWS, height))
    step = max(1, round(STRIPE_ROWS * (len(rows) - 1) / height))
    edges = np.unique(np.append(rows[:-1:step], height))
    return Stripes(shape, rows, edges, _edges(width, -(-width // STRIPE_WINDOWS)))


def _edges(length: int, parts: int) -> NDArray[np.int64]:
    return np.arange(parts + 1, dtype=np.int64) * length // parts


def score(
    x: Gray, y: Gray, stripes: Stripes, *, least: float, floor: Deficits | None = None, settle: bool = False
) -> float | None:
    """Similarity of two pictures of one shape, or None as soon as it is certain to lie below `least`.

    floor: (stripes,) lower bounds of each stripe's deficits; they choose the order too. settle: a proof suffices,
    then the value may be a lower bound of the similarity that is not below `least`.
    Pictures with equal pixels: 1; the value does not depend on least, floor, or the order of x and y.
    """
    tiles = [_changed(x, y, stripes, k) for k in range(len(stripes.edges) - 1)]
    windows = np.array([sum((b - a) * (d - c) for a, b, c, d in stripe) for stripe in tiles])
    if not windows.any():
        return 1.0
    total = stripes.windows
    limit = (1 - least + ROUNDING) * total if least > 0 else np.inf
    bound = np.where(windows > 0, 0.0 if floor is None else floor, 0.0)
    deficits = np.zeros(len(windows))
    low, high = float(bound.sum()), WORST_DEFICIT * float(windows.sum())
    done = 0.0
    for k in _order(bound, windows):
        if done + low > limit:
            return None
        if settle and done + high < (1 - least - ROUNDING) * total:
            return min(1 - (done + high) / total, ALMOST_ONE)
        deficits[k] = sum(_deficit(x, y, tile) for tile in tiles[k])
        done += deficits[k]
        low -= bound[k]
        high -= WORST_DEFICIT * windows[k]
    value = min(max(1 - float(deficits.sum()) / total, 0.0), ALMOST_ONE)
    return value if value >= least else None


def _order(bound: Deficits, windows: NDArray[np.int64]) -> list[int]:
    """Changed stripes: those that must lose most first; without a bound, spread over the picture."""
    changed = np.flatnonzero(windows)
    golden = (changed * 0.6180339887) % 1
    return [int(k) for k in changed[np.lexsort((golden, -bound[changed]))]]


def _changed(x: Gray, y: Gray, stripes: Stripes, k: int) -> list[tuple[int, int, int, int]]:
    """Of stripe k, the rectangle of windows in each tile that see a changed pixel: top, bottom, left, right."""
    top, bottom = int(stripes.edges[k]), int(stripes.edges[k + 1])
    reach = WINDOW - 1
    differs = x[top : bottom + reach] != y[top : bottom + reach]
    if not differs.any():
        return []
    rectangles = []
    for left, right in zip(stripes.columns[:-1].tolist(), stripes.columns[1:].tolist(), strict=True):
        tile = differs[:, left : right + reach]
        rows = np.flatnonzero(tile.any(axis=1))
        if not len(rows):
            continue
        columns = np.flatnonzero(tile.any(axis=0))
        rectangles.append(
            (
                top + max(0, int(rows[0]) - reach),
                min(bottom, top + int(rows[-1]) + 1),
                left + max(0, int(columns[0]) - reach),
                min(right, left + int(columns[-1]) + 1),
            )
        )
    return rectangles


class Buffers(threading.local):
    """Room for one tile, one set a thread: fresh pages for each tile would cost more than the sums."""

    def __init__(self) -> None:
        self.size = 0
        self.small: list[NDArray[np.uint16]] = []
        self.sums: list[NDArray[np.int32]] = []
        self.parts: list[NDArray[np.float64]] = []

    def fit(self, size: int) -> None:
        """Make all arrays at least this long; what they held is lost."""
        if size > self.size:
            self.small = [np.empty(size, np.uint16) for _ in range(4)]
            self.sums = [np.empty(size, np.int32) for _ in range(8)]
            self.parts = [np.empty(size, np.float64) for _ in range(2)]
            self.size = size


buffers = Buffers()


def _deficit(x: Gray, y: Gray, tile: tuple[int, int, int, int]) -> float:
    """Sum of 1 − SSIM over the windows of a tile."""
    top, bottom, left, right = tile
    rows, columns = bottom - top + WINDOW - 1, right - left + WINDOW - 1
    size = rows * columns
    buffers.fit(size)
    small = [b[:size] for b in buffers.small]
    a, b, squares, product, sum_x, sum_y, cross, spare = (s[:size] for s in buffers.sums)
    pixels, other, first, second = small

    view = np.s_[top : top + rows, left : left + columns]
    pixels.reshape(rows, columns)[...] = x[view]
    other.reshape(rows, columns)[...] = y[view]
    np.multiply(pixels, other, out=first)
    product[...] = first
    np.multiply(pixels, pixels, out=first)
    squares[...] = first
    np.multiply(other, other, out=first)
    spare[...] = first
    squares += spare

    count = (rows - WINDOW + 1) * columns - (WINDOW - 1)
    sum_x, sum_y, cross = sum_x[:count], sum_y[:count], cross[:count]
    sum_x[...] = box_sums(pixels, columns, first, second)
    sum_y[...] = box_sums(other, columns, first, second)
    np.multiply(sum_x, sum_y, out=cross)
    sum_x *= sum_x
    sum_y *= sum_y
    sum_x += sum_y

    value, term = (p[:count] for p in buffers.parts)
    covariance = box_sums(product, columns, a, b)
    covariance *= SAMPLES
    covariance -= cross
    covariance += covariance
    cross += cross
    _plus(cross, SCALED_C1, value)
    value *= _plus(covariance, SCALED_C2, term)
    variances = box_sums(squares, columns, a, b)
    variances *= SAMPLES
    variances -= sum_x
    value /= _plus(variances, SCALED_C2, term)
    value /= _plus(sum_x, SCALED_C1, term)
    whole = buffers.parts[0][: (bottom - top) * columns].reshape(bottom - top, columns)[:, : right - left]
    return float((bottom - top) * (right - left) - whole.sum())


def _plus(sums: NDArray[np.int32], constant: float, out: Deficits) -> Deficits:
    # In two steps: one addition of int32 and float64 goes through NumPy's casting buffer, twice as slow.
    out[...] = sums
    out += constant
    return out


def box_sums(flat: NDArray[Sum], columns: int, first: NDArray[Sum], second: NDArray[Sum]) -> NDArray[Sum]:
    """Sums of 7 × 7 values, in place. flat: (rows · columns,), row by row, 7 rows and columns at least.

    Returns a view of flat: the window at row r, column c stands at r · columns + c; what straddles two rows is no
    window. first, second: room, each as long as flat. 7 = 4 + 2 + 1: four additions a direction.
    """
    size, row = len(flat), columns
    two = first[: size - row]
    np.add(flat[:-row], flat[row:], out=two)
    tall = second[: size - 6 * row]
    np.add(two[: len(tall)], two[2 * row : 2 * row + len(tall)], out=tall)
    tall += two[4 * row : 4 * row + len(tall)]
    tall += flat[6 * row :]
    two = first[: len(tall) - 1]
    np.add(tall[:-1], tall[1:], out=two)
    whole = flat[: len(tall) - 6]
    np.add(two[: len(whole)], two[2 : 2 + len(whole)], out=whole)
    whole += two[4 : 4 + len(whole)]
    whole += tall[6:]
    return whole
