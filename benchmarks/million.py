"""Time and peak memory of fingerprints, join, groups and report object for many images.

    python benchmarks/million.py [N] [FAMILIES]

Draws N 64-bit codes: FAMILIES originals (default N / 20) with four copies each, up to 6 bits away, among random ones.
Every image has its row (path, hashes, size), as a scan leaves it.
"""

import hashlib
import resource
import sys
import time

import numpy as np

from imkin.library import Library
from imkin.prints import spec
from imkin.scan import Scan
from imkin.types import File, Prints


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def codes(n: int, families: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, n, dtype=np.uint64)
    copies = values[: families * 4].reshape(families, 4)
    copies[:] = values[families * 4 : families * 5, None]
    for _ in range(6):
        flips = np.uint64(1) << rng.integers(0, 64, copies.shape, dtype=np.uint64)
        copies ^= np.where(rng.random(copies.shape) < 0.6, flips, np.uint64(0))
    return values.view(np.uint8).reshape(n, 8)[rng.permutation(n)]


def rows(n: int) -> tuple[File, ...]:
    made = []
    for number in range(n):
        sha256, sha1 = hashlib.sha256(number.to_bytes(8)), hashlib.sha1(number.to_bytes(8))
        path = f"/photos/{number // 1000:04}/IMG_{number:08}.jpg"
        made.append(File(path, 2_000_000 + number, number, sha256.hexdigest(), sha1.hexdigest(), 4000, 3000, "JPEG"))
    return tuple(made)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    families = int(sys.argv[2]) if len(sys.argv) > 2 else n // 20
    method = spec("phash")
    prints = Prints(method, codes(n, families), np.ones(n, np.float32))
    files = rows(n)
    print(f"{n:,} rows and fingerprints: {peak_mb():.0f} MB")
    scanned = Scan(files, np.zeros(n, np.int64), prints, (), n, n, 0, 0)
    with Library() as library:
        started = time.perf_counter()
        kin = library.kin(scanned, method.default_threshold)
        print(f"join: {time.perf_counter() - started:.1f} s, {len(kin.pairs):,} pairs, peak {peak_mb():.0f} MB")
        started = time.perf_counter()
        result = library.group(scanned, kin, threshold=method.default_threshold)
        print(
            f"groups: {time.perf_counter() - started:.1f} s, {len(result.groups):,} groups, "
            f"{result.summary.pairs:,} pairs, peak {peak_mb():.0f} MB"
        )


if __name__ == "__main__":
    main()
