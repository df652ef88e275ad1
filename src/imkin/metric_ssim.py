"""Structural similarity, slow and obvious: the oracle of the fast join, and what `compare` shows of two pictures.

SSIM: Wang, Bovik, Sheikh, Simoncelli, «Image quality assessment: from error visibility to structural similarity»,
2004. MS-SSIM: Wang, Simoncelli, Bovik, «Multiscale structural similarity for image quality assessment», 2003.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Shape = tuple[int, int]

# Wang et al. 2004 with scikit-image's defaults: a uniform window of 7 × 7 pixels, sample covariance.
WINDOW = 7
BORDER = WINDOW // 2
SAMPLES = WINDOW * WINDOW
DATA_RANGE = 255
C1 = (0.01 * DATA_RANGE) ** 2
C2 = (0.03 * DATA_RANGE) ** 2

# Two sizes are compared when their aspect ratios differ by no more than this many percent.
ASPECT_PERCENT = 2

# float32 rounds this to itself: pictures that differ in one pixel stay below 1 in every result.
ALMOST_ONE = 1 - 2.0**-24

# Wang et al. 2003: the weight of each scale, full size first; a Gaussian of σ 1.5 over 11 × 11 pixels.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
GAUSS_WINDOW = 11
GAUSS_SIGMA = 1.5


def common_shape(a: Shape, b: Shape) -> Shape | None:
    """Height and width at which pictures of shapes a and b are compared: the smaller height, the smaller width.

    None where they are not comparable: aspect ratios over 2 % apart, or a side below 7 pixels. Nothing is enlarged.
    """
    high, low = max(a[0] * b[1], a[1] * b[0]), min(a[0] * b[1], a[1] * b[0])
    shape = min(a[0], b[0]), min(a[1], b[1])
    if min(shape) < WINDOW or 100 * high > (100 + ASPECT_PERCENT) * low:
        return None
    return shape


def reduce_to(gray: Gray, shape: Shape) -> Gray:
    """The picture at this shape, by area; itself where it has it already."""
    if gray.shape == shape:
        return gray
    from imkin.image import area_gray

    return area_gray(gray, width=shape[1], height=shape[0])


def similarity(a: Gray, b: Gray) -> float:
    """Similarity of two gray pictures of any sizes, in 0..1; what every fast path must give.

    1 only for equal pixels, 0 where they are not comparable (see `common_shape`), else mean SSIM, of which a
    negative one is 0 and one nearer to 1 than 2**-24 is 1 - 2**-24.
    """
    shape = common_shape(a.shape, b.shape)
    if shape is None:
        return 0.0
    if a.shape == b.shape and np.array_equal(a, b):
        return 1.0
    return min(max(mean_ssim(reduce_to(a, shape), reduce_to(b, shape)), 0.0), ALMOST_ONE)


def mean_ssim(a: Gray, b: Gray) -> float:
    """Mean SSIM of two pictures of one shape, -1..1, the border of 3 pixels left out.

    a, b: (h, w) uint8, no side below 7. Equals skimage.metrics.structural_similarity(a, b).
    """
    return float(ssim_map(a, b)[BORDER:-BORDER, BORDER:-BORDER].mean())


def ssim_map(a: Gray, b: Gray) -> NDArray[np.float64]:
    """SSIM of the window around each pixel, (h, w) float64 in -1..1; pictures are mirrored at their edges.

    Equals the map of skimage.metrics.structural_similarity(a, b, full=True).
    """
    # Half a second to load, which every command and worker would spend, although few measure SSIM.
    from scipy.ndimage import uniform_filter

    x, y = a.astype(np.float64), b.astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(uniform_filter(values, WINDOW), np.float64)

    mean_x, mean_y = mean(x), mean(y)
    sample = SAMPLES / (SAMPLES - 1)
    var_x, var_y = sample * (mean(x * x) - mean_x**2), sample * (mean(y * y) - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (var_x + var_y + C2)
    return np.asarray(luminance * structure, np.float64)


def ms_ssim(a: Gray, b: Gray) -> float:
    """Multi-scale SSIM of two pictures of one shape, 0..1 (Wang et al. 2003, equation 7).

    Five scales, each half of the one before (means of 2 × 2 pixels), the luminance of the last one only. A picture
    with a short side below 176 pixels has fewer scales of 11 pixels and more; their weights are made to sum to 1.
    A scale whose mean is negative counts as 0. ValueError: a side is below 11 pixels, or the shapes differ.
    """
    if a.shape != b.shape or min(a.shape) < GAUSS_WINDOW:
        raise ValueError(f"MS-SSIM needs two pictures of one shape, 11 pixels a side at least: {a.shape}, {b.shape}")
    scales = 1
    while scales < len(SCALE_WEIGHTS) and min(a.shape) >> scales >= GAUSS_WINDOW:
        scales += 1
    weights = np.array(SCALE_WEIGHTS[:scales])
    if scales < len(SCALE_WEIGHTS):
        weights /= weights.sum()
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(weights):
        luminance, structure = _gaussian_terms(x, y)
        term = structure.mean() if scale < scales - 1 else (luminance * structure).mean()
        product *= max(float(term), 0.0) ** float(weight)
        x, y = _halve(x), _halve(y)
    return product


def _gaussian_terms(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance and contrast-structure of each whole Gaussian window."""
    from scipy.ndimage import correlate1d

    offset = np.arange(GAUSS_WINDOW) - GAUSS_WINDOW // 2
    kernel = np.exp(-(offset**2) / (2 * GAUSS_SIGMA**2))
    kernel /= kernel.sum()
    inner = slice(GAUSS_WINDOW // 2, -(GAUSS_WINDOW // 2))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = correlate1d(values, kernel, axis=0)
        return np.asarray(correlate1d(rows, kernel, axis=1)[inner, inner], np.float64)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * covariance + C2) / (var_x + var_y + C2)


def _halve(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2 × 2 pixels; an odd last row or column is left out."""
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return np.asarray(x[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3)), np.float64)
