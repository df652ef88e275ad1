"""The exact SSIM join: the pairs that all-pairs SSIM gives, most of them decided without a look at their pixels.

Pictures are asked for in small batches and forgotten again, so that memory does not grow with their number; of
each stays only the vector of `ssim_bounds`. The steps, none of which loses a pair:

1. equal pixels are found by digest, and compared with others once;
2. one matrix product of the vectors bounds all pairs from above;
3. the rest is scored stripe by stripe until the answer is certain (`ssim_kernel`);
4. where only connection counts, pairs that are connected already are left out.

`metric_ssim.similarity` says what is computed, `metric_ssim.common_shape` which sizes are compared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.join.ssim_kernel import score, stripes_of
from imkin.join.ssim_search import Load, Search
from imkin.metric_ssim import ALMOST_ONE, Gray, common_shape, reduce_to

Index = NDArray[np.int64]
Shapes = NDArray[np.int64]
Joined = tuple[Index, Index, NDArray[np.float64]]

__all__ = ["Load", "components", "cross_join", "self_join", "ssim_pair"]


def self_join(
    load: Load, shapes: Shapes, threshold: float, *, jobs: int | None = None, connect_only: bool = False
) -> Joined:
    """All pairs with similarity ≥ threshold: (left, right, similarity), exactly those that brute force finds.

    load: gives the pictures at these indices, (h, w) uint8 each, always the same; called from several threads.
    shapes: (n, 2), height and width of each picture. threshold: 0..1. jobs: threads, all cores by default; the
    result does not depend on it. connect_only: of the pairs only so many that the same pictures are connected.
    left < right: (m,) int64, sorted by (left, right), unique. similarity: (m,) float64, exact in either case.
    Pictures that are not comparable are no pair, at threshold 0 either.
    """
    return _run(load, shapes, threshold, label=None, jobs=jobs, connect=connect_only).found.arrays()


def cross_join(
    load_a: Load,
    shapes_a: Shapes,
    load_b: Load,
    shapes_b: Shapes,
    threshold: float,
    *,
    jobs: int | None = None,
    connect_only: bool = False,
) -> Joined:
    """All pairs (i of a, j of b) with similarity ≥ threshold, sorted by (i, j): (i, j, similarity).

    Else as `self_join`. With connect_only the pictures of both sides are connected by these pairs only.
    """
    first = len(shapes_a)
    shapes = np.concatenate([np.reshape(shapes_a, (-1, 2)), np.reshape(shapes_b, (-1, 2))])

    def load(indices: Sequence[int]) -> list[Gray]:
        a = load_a([i for i in indices if i < first])
        b = load_b([i - first for i in indices if i >= first])
        parts = iter(a), iter(b)
        return [next(parts[i >= first]) for i in indices]

    label = np.repeat([0, 1], [first, len(shapes) - first]).astype(np.int64)
    search = _run(load, shapes, threshold, label=label, jobs=jobs, connect=connect_only)
    left, right, similarity = search.found.arrays()
    return left, right - first, similarity


def components(load: Load, shapes: Shapes, threshold: float, *, jobs: int | None = None) -> Index:
    """(n,) int64: for each picture the first that it is connected with through pairs of similarity ≥ threshold.

    Faster than `self_join`: a pair is left as soon as it is certain to reach the threshold. Else as `self_join`.
    """
    search = _run(load, shapes, threshold, label=None, jobs=jobs, connect=True, settle=True)
    return np.array([search.top(int(i)) for i in search.first], np.int64)


def ssim_pair(a: Gray, b: Gray) -> float:
    """`metric_ssim.similarity` of two gray pictures, fast: the value that the joins give."""
    shape = common_shape((a.shape[0], a.shape[1]), (b.shape[0], b.shape[1]))
    if shape is None:
        return 0.0
    value = score(reduce_to(a, shape), reduce_to(b, shape), stripes_of(shape), least=0)
    value = value or 0.0
    return value if a.shape == b.shape else min(value, ALMOST_ONE)


def _run(
    load: Load,
    shapes: Shapes,
    threshold: float,
    *,
    label: Index | None,
    jobs: int | None,
    connect: bool,
    settle: bool = False,
) -> Search:
    if not 0 <= threshold <= 1:
        raise UsageError(f"the threshold must be a similarity in 0..1, not {threshold}")
    sizes = np.reshape(np.asarray(shapes, np.int64), (-1, 2))
    with ThreadPoolExecutor(max(1, jobs or os.cpu_count() or 1)) as pool:
        search = Search(load, sizes, threshold, label=label, pool=pool, connect=connect, settle=settle)
        search.run()
    return search
