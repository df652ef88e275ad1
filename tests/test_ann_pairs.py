"""The approximate self-join: nearly all pairs of brute force, no other, and the recall that it tells is true."""

import os
import subprocess
import sys

import numpy as np
import pytest

from imkin.join import ann, cosine

DIM = 32


def families(n, regions, seed=0):
    """n members in families of four; one region of every eighth row shows the whole of another row."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n // 4, 1, DIM)).repeat(4, axis=0) + rng.normal(size=(n, 1 + regions, DIM)) / 2
    if regions:
        rows = np.arange(0, n, 8)
        values[rows, 1 + rows // 8 % regions] = values[(rows * 7 + 3) % n, 0]
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    return values.astype(np.float32)


def found(values, threshold, **options):
    regions = values[:, 1:] if values.shape[1] > 1 else None
    return ann.candidates(np.ascontiguousarray(values[:, 0]), regions, threshold, **options)


@pytest.mark.parametrize("regions", [0, 3])
def test_nearly_all_pairs_are_found_and_no_other(regions):
    values = families(4000, regions)
    cost = 0.03 if regions else 0.0
    flat = values.reshape(len(values), -1)
    exact = cosine.self_join(flat, 0.75, regions=1 + regions, cost=cost)
    made = found(values, 0.75, cost=cost)
    wanted = dict(zip(zip(exact.left.tolist(), exact.right.tolist(), strict=True), exact.similarity, strict=True))
    got = dict(
        zip(zip(made.pairs.left.tolist(), made.pairs.right.tolist(), strict=True), made.pairs.similarity, strict=True)
    )
    assert len(wanted) > 3000
    assert got.keys() <= wanted.keys()
    true = len(got) / len(wanted)
    assert true >= 0.98
    assert abs(made.recall - true) < 0.02
    assert made.sampled > 100
    assert made.probes < made.cells
    assert max(abs(got[pair] - wanted[pair]) for pair in got) < 1e-6


def test_a_region_finds_the_whole_that_it_shows():
    values = families(4000, 3)
    made = found(values, 0.9, cost=0.03)
    pairs = set(zip(made.pairs.left.tolist(), made.pairs.right.tolist(), strict=True))
    planted = {(min(a, b), max(a, b)) for a in range(0, 4000, 8) if (b := (a * 7 + 3) % 4000) != a}
    assert len(planted & pairs) >= 0.98 * len(planted)


def test_a_target_of_all_finds_all():
    values = families(1000, 0)
    exact = cosine.self_join(values[:, 0], 0.5)
    made = found(values, 0.5, target=1.1)
    assert (made.probes, made.recall) == (made.cells, 1.0)
    assert np.array_equal(made.pairs.left, exact.left)
    assert np.array_equal(made.pairs.right, exact.right)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_vectors_are_no_trouble(n):
    values = np.ones((n, 2, DIM), np.float32) / np.float32(np.sqrt(DIM))
    assert len(found(values, 0.5).pairs) == n * (n - 1) // 2


CHILD = """
import hashlib
from test_ann_pairs import families, found
made = found(families(2000, 2), 0.7, cost=0.03)
print(hashlib.sha256(made.pairs.left.tobytes() + made.pairs.right.tobytes()).hexdigest(), made.recall, made.probes)
"""


def test_the_pairs_are_the_same_on_any_number_of_threads():
    answers = set()
    for threads in ("1", "3"):
        environment = os.environ | {
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
        }
        done = subprocess.run(
            [sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, timeout=120, check=True
        )
        answers.add(done.stdout)
    assert len(answers) == 1
