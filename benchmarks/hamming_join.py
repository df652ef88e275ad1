"""The exact Hamming join against faiss.IndexBinaryFlat.range_search, on the same codes, with the same two threads.

    python benchmarks/hamming_join.py [--codes CODES.npz] [--full] [--only million wide radii hot]

Codes are those of the photos in ../shared (imagehash.phash and pdqhash of each photo and of three light edits), made
once and kept in CODES.npz; without the photos, random codes take their place. Sets are filled up with copies a few
bits away and with random codes. faiss compares all with all, so its time for n codes is the time for a tenth of them
times a hundred; --full runs it on all. Peak memory is that of a fresh process that does only the join.
Needs faiss-cpu; ImageHash, pdqhash and Pillow to make the codes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import faiss
import numpy as np

from imkin.join import hamming, hamming_plan

THREADS = 2
SHARED = Path(__file__).resolve().parents[2] / "shared" / "photos"
CHILD = """
import sys, time, numpy as np
from imkin.join.hamming import self_join
codes = np.load(sys.argv[1])
start, cpu = time.perf_counter(), time.process_time()
left, right, bits = self_join(codes, int(sys.argv[2]), jobs=int(sys.argv[3]))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(len(left), seconds, cpu, int(peak) / 1024)
"""


def codes_of(path: Path) -> tuple[list[bytes], list[bytes]]:
    """phash and PDQ codes of a photo and of three light edits."""
    import imagehash
    import pdqhash
    from PIL import Image, ImageEnhance

    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    w, h = photo.size
    edits = (
        photo,
        photo.resize((w // 2, h // 2)),
        ImageEnhance.Brightness(photo).enhance(1.4),
        photo.crop((w // 40, h // 40, w - w // 40, h - h // 40)),
    )
    narrow = [np.packbits(imagehash.phash(edit).hash).tobytes() for edit in edits]
    wide = [np.packbits(pdqhash.compute(np.asarray(edit))[0]).tobytes() for edit in edits]
    return narrow, wide


def photo_codes(cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8) and (n, 32) codes of the photos and their edits; random ones where there are no photos."""
    if cache.is_file():
        with np.load(cache) as kept:
            return kept["narrow"], kept["wide"]
    photos = sorted([*SHARED.glob("dev/*.jpg"), *SHARED.glob("train/*/*.jpg")])
    if not photos:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (50_000, 8), dtype=np.uint8), rng.integers(0, 256, (50_000, 32), dtype=np.uint8)
    with ProcessPoolExecutor(THREADS) as pool:
        found = list(pool.map(codes_of, photos, chunksize=64))
    both = [
        np.frombuffer(b"".join(code for codes in found for code in codes[k]), np.uint8).reshape(-1, (8, 32)[k])
        for k in range(2)
    ]
    np.savez(cache, narrow=both[0], wide=both[1])
    return both[0], both[1]


def filled(real: np.ndarray, n: int, *, most_flips: int, seed: int = 0) -> np.ndarray:
    """n codes: the real ones, as many copies of them up to most_flips bits away as make half of n, random ones."""
    rng = np.random.default_rng(seed)
    real = real[rng.permutation(len(real))[: n // 4]]
    copies = real[rng.integers(0, len(real), n // 2 - len(real))]
    for _ in range(most_flips):
        places = rng.integers(0, 8 * copies.shape[1], len(copies))
        some = rng.random(len(copies)) < 0.5
        copies[some, places[some] // 8] ^= (1 << (places[some] % 8)).astype(np.uint8)
    random = rng.integers(0, 256, (n - len(real) - len(copies), real.shape[1]), dtype=np.uint8)
    return np.concatenate([real, copies, random])[rng.permutation(n)]


def hot_codes(n: int) -> np.ndarray:
    """A nasty set: a quarter shares 32 of 64 bits, a quarter is near-blank (bits set with chance 0.15), half random."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (n, 8), dtype=np.uint8)
    codes[: n // 4, :4] = 0x55
    codes[n // 4 : n // 2] = np.packbits(rng.random((n // 2 - n // 4, 64)) < 0.15, axis=1)
    return codes[rng.permutation(n)]


def faiss_seconds(codes: np.ndarray, radius: int, *, repeats: int) -> tuple[float, float]:
    """Median wall time and processor time of a range search of all codes in all."""
    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    times = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        index.range_search(codes, radius + 1)
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def ours(codes: np.ndarray, radius: int, *, repeats: int = 3) -> tuple[int, float, float, float]:
    """Number of pairs, median wall and processor seconds, and peak MB, of fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "codes.npy"
        np.save(file, codes)
        runs = [
            subprocess.run(
                [sys.executable, "-c", CHILD, str(file), str(radius), str(THREADS)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()
            for _ in range(repeats)
        ]
    seconds, cpu = (statistics.median(float(r[k]) for r in runs) for k in (1, 2))
    return int(runs[0][0]), seconds, cpu, max(float(r[3]) for r in runs)


def plan_of(codes: np.ndarray, radius: int) -> str:
    """The plan that self_join chooses."""
    words = hamming.to_words(codes[hamming.distinct(codes)[0]])
    n = words.shape[1]
    if radius == 0:
        return "distinct only"
    sample = hamming_plan.measure([words], 8 * codes.shape[1], radius=radius)
    return str(hamming_plan.choose(sample, radius, rows=n, pairs=n * n / 2))


def report(name: str, codes: np.ndarray, radius: int, *, faiss_at: int) -> None:
    """One line of the table; faiss runs on faiss_at of the codes."""
    pairs, seconds, cpu, peak = ours(codes, radius)
    part = codes[:: max(1, len(codes) // faiss_at)]
    more = (len(codes) / len(part)) ** 2
    theirs, their_cpu = (more * t for t in faiss_seconds(part, radius, repeats=3 if len(part) <= 100_000 else 1))
    how = "run" if len(part) == len(codes) else f"from {len(part):,}"
    print(
        f"| {name} | {len(codes):,} | {8 * codes.shape[1]} | {radius} | {pairs:,} | {seconds:.2f} "
        f"| {theirs:.2f} ({how}) | {theirs / seconds:.1f} | {cpu:.2f} | {their_cpu:.2f} | {their_cpu / cpu:.1f} "
        f"| {peak:.0f} | {plan_of(codes, radius)} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, default=Path(tempfile.gettempdir()) / "imkin-benchmark-codes.npz")
    parser.add_argument("--full", action="store_true", help="run faiss on all codes of every set")
    parser.add_argument("--only", nargs="*", default=["million", "wide", "radii", "hot"])
    args = parser.parse_args()
    narrow, wide = photo_codes(args.codes)
    print(f"{len(narrow):,} codes of photos; {THREADS} threads; faiss {faiss.__version__}, numpy {np.__version__}")
    print(
        "| set | codes | bits | radius | pairs | imkin s | faiss s | ratio "
        "| imkin CPU s | faiss CPU s | ratio | peak MB | plan |"
    )
    print("|---" * 13 + "|")
    if "million" in args.only:
        report("million", filled(narrow, 1_000_000, most_flips=8), 6, faiss_at=1_000_000 if args.full else 100_000)
    if "wide" in args.only:
        report("wide", filled(wide, 200_000, most_flips=40), 31, faiss_at=200_000)
    if "radii" in args.only:
        for radius in (0, 1, 6, 10, 12, 16, 19):
            report("radii", filled(narrow, 100_000, most_flips=8), radius, faiss_at=100_000)
    if "hot" in args.only:
        report("hot", hot_codes(200_000), 4, faiss_at=200_000 if args.full else 100_000)


if __name__ == "__main__":
    main()
