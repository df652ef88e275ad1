"""How fast and how true the hashes are.

usage: python benchmarks/prints.py speed [PHOTOS]    images/s of decoding and hashing, one thread and two
       python benchmarks/prints.py sides [PHOTOS]    bits by which hashes of reduced pictures differ from full size
       python benchmarks/prints.py quality [PHOTOS]  the least quality of photos and of their edited copies

PHOTOS: a folder of JPEGs, ../shared/photos/dev by default. `speed` first brings them to 500 x 400 pixels.
"""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from imkin import image, prints
from imkin.types import QUALITY_FLOOR

METHODS = ("ahash", "dhash", "phash", "vote", "pdq")
SIDES = {"ahash": (64, 96, 128, 192), "pdq": (96, 192, 512, 1024)}
BATCH = 32
ROUNDS = 5


def resized(pixels, *, width, height):
    """Pixels at this size, by area."""
    return np.stack([image.area_gray(pixels[:, :, c], width=width, height=height) for c in range(3)], axis=-1)


def decoded(data, side):
    return image.decode(data, path="benchmark", side=side).pixels


def batches(items):
    return [items[i : i + BATCH] for i in range(0, len(items), BATCH)]


def rate(work, count, threads):
    """Median images/s of `work` over batches, and the CPU milliseconds an image, of ROUNDS rounds."""
    rates, cpu = [], []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            start, used = time.perf_counter(), time.process_time()
            for _ in pool.map(work[0], work[1]):
                pass
            rates.append(count / (time.perf_counter() - start))
            cpu.append((time.process_time() - used) / count * 1e3)
    return statistics.median(rates), statistics.median(cpu)


def speed(files):
    data = [image.encode_jpeg(resized(decoded(f, 0), width=500, height=400), quality=85) for f in files[:200]]
    print(f"{len(data)} JPEGs of 500 x 400 pixels, {sum(map(len, data)) / len(data) / 1024:.0f} KiB each on average")
    print("method         side  1 thread/s  2 threads/s  CPU ms/image  of it hash ms")
    full, cpu = rate((lambda batch: [decoded(d, 0) for d in batch], batches(data)), len(data), 1)
    print(f"full decode       0 {full:11.0f}               {cpu:12.2f}")
    for name in METHODS:
        for turns in (False, True):
            made = prints.fingerprinter(name, turns=turns)
            side = made.spec.side
            work = (lambda batch, m=made: m.embed_batch([decoded(d, m.spec.side) for d in batch]), batches(data))
            one, cpu = rate(work, len(data), 1)
            two, _ = rate(work, len(data), 2)
            pictures = [decoded(d, side) for d in data]
            _, hashing = rate((made.embed_batch, batches(pictures)), len(data), 1)
            label = name + (" turns" if turns else "")
            print(f"{label:13} {side:5} {one:11.0f} {two:12.0f} {cpu:13.2f} {hashing:14.3f}")


def sides(files):
    import pdqhash

    vote, pdq = prints.fingerprinter("vote"), prints.fingerprinter("pdq")
    votes, reference = [], []
    for f in files:
        full = decoded(f, 0)
        votes.append(vote.embed_batch([full])[0][0])
        reference.append(np.packbits(pdqhash.compute(np.ascontiguousarray(full))[0]))
    for side in SIDES["ahash"]:
        values = np.concatenate([vote.embed_batch([decoded(f, side)])[0] for f in files])
        bits = np.bitwise_count(values ^ np.array(votes)).reshape(len(files), 3, 8).sum(axis=2)
        shown = (f"{n} {bits[:, k].mean():.2f} mean, {(bits[:, k] <= 2).mean():6.1%} within 2, most {bits[:, k].max()}"
                 for k, n in enumerate(("ahash", "phash", "dhash")))  # fmt: skip
        print(f"side {side:4}:", "; ".join(shown))
    for side in SIDES["pdq"]:
        values = np.concatenate([pdq.embed_batch([decoded(f, side)])[0] for f in files])
        bits = np.bitwise_count(values ^ np.array(reference)).sum(axis=1)
        print(f"side {side:4}: pdq from pdqhash at full size {bits.mean():.3f} mean, most {bits.max()}")


def quality(files):
    for name in METHODS:
        made = prints.fingerprinter(name)
        grades = np.concatenate([made.embed_batch([decoded(f, made.spec.side)])[1] for f in files])
        print(f"{name}: least {np.sort(grades)[:4].round(3)}, {(grades < QUALITY_FLOOR).sum()} of {len(files)} too low")


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    runs = {"speed": speed, "sides": sides, "quality": quality}
    if what not in runs:
        sys.exit(__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "photos" / "dev"
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else default
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    runs[what](files)


if __name__ == "__main__":
    main()
