"""Fingerprinting speed against imagededup and against a bare scaled decode, and the cost of a second run.

    python benchmarks/scan.py large     12-megapixel JPEGs
    python benchmarks/scan.py small     500 x 400 JPEGs
    python benchmarks/scan.py again [METHOD]    20,000 unchanged files: processor time of a second run, phash or METHOD

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
from pathlib import Path

import numpy as np
from PIL import Image

RUNS = 3
THREADS = os.cpu_count() or 1
# To draw 12 megapixels takes longer than all that is measured.
COPIES = 4
# Of 12-megapixel files of about 0.85, 1.5, 2.5 and 4 MB.
GRAINS = (1.5, 2.8, 5.0, 10.0)


def draw(folder: Path, count: int, width: int, height: int, grain: float = 5.0) -> None:
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
        noise = rng.normal(0, grain, (height, width, 1))
        pixels = np.clip(128 + base + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=88)


def repeat(folder: Path, times: int) -> None:
    """Each file `times` times, with other bytes behind the end: other content, the same work."""
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        for number in range(1, times):
            (folder / f"{path.stem}-{number}.jpg").write_bytes(data + bytes([number]))


METER = """
import resource, sys, time
from pathlib import Path
folder, few, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def cpu():
    return sum(getattr(resource.getrusage(who), field) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
               for field in ("ru_utime", "ru_stime"))

def meter(work):
    work(few)
    wall, used = time.perf_counter(), cpu()
    work(folder)
    print(time.perf_counter() - wall, cpu() - used)
"""

CONTENDERS = {
    "imkin": """
import imkin, tempfile
def work(folder):
    with tempfile.TemporaryDirectory() as cache, imkin.Library(cache + "/c.sqlite", jobs=threads) as library:
        assert len(library.scan([str(folder)], "phash").files) == len(list(folder.iterdir()))
meter(work)
""",
    "bare scaled decode": """
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
def decode(path):
    with Image.open(path) as picture:
        picture.draft("RGB", (96, 96))
        picture.load()
def work(folder):
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, folder.iterdir()))
meter(work)
""",
    "imagededup": """
from imagededup.methods import PHash
hasher = PHash(verbose=False)
meter(lambda folder: hasher.encode_images(image_dir=folder, num_enc_workers=threads))
""",
}


def compare(count: int, width: int, height: int, grain: float, python: str) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as warm:
        folder = Path(name)
        draw(folder, count // COPIES, width, height, grain)
        repeat(folder, COPIES)
        draw(Path(warm), 2, 64, 64, grain)
        size = sum(path.stat().st_size for path in folder.iterdir()) / count
        print(f"{count} JPEGs of {width} x {height}, {size / 1e6:.2f} MB each, {THREADS} threads, medians of {RUNS}")
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in CONTENDERS}
        for _ in range(RUNS):
            for label, code in CONTENDERS.items():
                program = python if label == "imagededup" else sys.executable
                done = subprocess.run(
                    [program, "-c", METER + code, folder, warm, str(THREADS)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode == 0:
                    wall, cpu = map(float, done.stdout.split()[-2:])
                    times[label].append((wall, cpu))
        own = [statistics.median(column) for column in zip(*times["imkin"], strict=True)]
        for label, rows in times.items():
            if not rows:
                print(f"  {label}: not installed here")
                continue
            wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
            print(
                f"  {label:<20}{count / wall:>9.1f} images/s {1000 * cpu / count:>9.2f} ms of processor an image"
                f"   imkin is {wall / own[0]:.2f} times as fast, {cpu / own[1]:.2f} by processor time"
            )


def again(method: str) -> None:
    count = 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "p"
        folder.mkdir()
        draw(folder, 40, 160, 120, 3.0)
        originals = sorted(folder.iterdir())
        for number in range(count - 40):
            data = originals[number % 40].read_bytes()
            (folder / f"copy{number:05}.jpg").write_bytes(data + number.to_bytes(4, "big"))
        command = [
            sys.executable,
            "-m",
            "imkin",
            "group",
            folder,
            "--catalogue",
            f"{name}/c.sqlite",
            "--json",
            "--by",
            method,
        ]
        for run in ("first", "second", "third"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{run} run over {count:,} files: {cpu:.2f} s of processor time")


if __name__ == "__main__":
    what, python = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else sys.executable
    if what == "large":
        for grain in GRAINS:
            compare(24, 4000, 3000, grain, python)
    elif what == "small":
        compare(1000, 500, 400, 5.0, python)
    else:
        again(sys.argv[2] if len(sys.argv) > 2 else "phash")
