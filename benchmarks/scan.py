"""Fingerprinting speed against imagededup and against a bare scaled decode, and the cost of a second run.

    python benchmarks/scan.py large     12-megapixel JPEGs
    python benchmarks/scan.py small     500 x 400 JPEGs
    python benchmarks/scan.py again     20,000 unchanged files: processor time of a second run

`large` and `small` run three things in turn, three times, and print medians: the whole of imkin (read, hash, decode,
phash, catalogue), Pillow's scaled decode of the same bytes on as many threads, and imagededup's PHash.encode_images
where it is installed.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

RUNS = 3
THREADS = os.cpu_count() or 1


def draw(folder: Path, count: int, width: int, height: int) -> None:
    """JPEGs with the entropy of photos: gradients, shapes and grain, quality 88."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for number in range(count):
        rng = np.random.default_rng(number)
        base = sum(
            np.sin(x * rng.uniform(-9, 9) / width + y * rng.uniform(-9, 9) / height)[..., None]
            * rng.uniform(-40, 40, 3)
            for _ in range(4)
        )
        for _ in range(30):
            top, left = rng.integers(0, height), rng.integers(0, width)
            base[top : top + height // 8, left : left + width // 8] += rng.uniform(-60, 60, 3)
        grain = rng.normal(0, 5, (height, width, 1))
        pixels = np.clip(128 + base + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=88)


def imkin_rate(folder: Path) -> float:
    import imkin

    count = len(list(folder.iterdir()))
    with tempfile.TemporaryDirectory() as cache, imkin.Library(f"{cache}/c.sqlite") as library:
        started = time.perf_counter()
        scanned = library.scan([str(folder)], "phash")
        took = time.perf_counter() - started
    assert len(scanned.files) == count
    return count / took


def bare_rate(folder: Path, side: int = 96) -> float:
    paths = sorted(folder.iterdir())

    def decode(path: Path) -> None:
        with Image.open(path) as picture:
            picture.draft("RGB", (side, side))
            picture.load()

    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        list(pool.map(decode, paths))
        return len(paths) / (time.perf_counter() - started)


IMAGEDEDUP = """
import sys, time
import torch
for name, schema in (("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
                     ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")):
    lib = globals().setdefault("lib", torch.library.Library("torchvision", "DEF"))
    lib.define(schema)
from imagededup.methods import PHash
hasher = PHash(verbose=False)
hasher.encode_images(image_dir=sys.argv[2], num_enc_workers=int(sys.argv[3]))
started = time.perf_counter()
found = hasher.encode_images(image_dir=sys.argv[1], num_enc_workers=int(sys.argv[3]))
print(len(found) / (time.perf_counter() - started))
"""


def imagededup_rate(folder: Path, python: str, few: Path) -> float | None:
    done = subprocess.run(
        [python, "-c", IMAGEDEDUP, folder, few, str(THREADS)], capture_output=True, text=True, check=False
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def compare(count: int, width: int, height: int, python: str) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as warm:
        folder = Path(name)
        draw(folder, count, width, height)
        draw(Path(warm), 2, 64, 64)
        size = sum(path.stat().st_size for path in folder.iterdir()) / count
        print(f"{count} JPEGs of {width} x {height}, {size / 1e6:.2f} MB each, {THREADS} threads, medians of {RUNS}")
        rows: dict[str, list[float]] = {"imkin": [], "bare scaled decode": [], "imagededup": []}
        for _ in range(RUNS):
            rows["imkin"].append(imkin_rate(folder))
            rows["bare scaled decode"].append(bare_rate(folder))
            other = imagededup_rate(folder, python, Path(warm))
            if other is not None:
                rows["imagededup"].append(other)
        own = statistics.median(rows["imkin"])
        for label, rates in rows.items():
            if rates:
                median = statistics.median(rates)
                print(f"  {label:<20}{median:>10.1f} images/s   imkin / this = {own / median:.2f}")


def again() -> None:
    count = 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "p"
        folder.mkdir()
        draw(folder, 40, 160, 120)
        originals = sorted(folder.iterdir())
        for number in range(count - 40):
            data = originals[number % 40].read_bytes()
            (folder / f"copy{number:05}.jpg").write_bytes(data + number.to_bytes(4, "big"))
        command = [sys.executable, "-m", "imkin", "group", folder, "--catalogue", f"{name}/c.sqlite", "--json"]
        for run in ("first", "second", "third"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{run} run over {count:,} files: {cpu:.2f} s of processor time")


if __name__ == "__main__":
    what, python = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.executable
    if what == "large":
        compare(40, 4000, 3000, python)
    elif what == "small":
        compare(1000, 500, 400, python)
    else:
        again()
