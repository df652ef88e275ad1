"""Load of the service: clients send images of mixed sizes without a pause; what they wait, what is refused, memory.

python benchmarks/serve_load.py [PHOTOS] [--clients 32] [--seconds 300] [--processors 2]
"""

import argparse
import io
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
import psutil
from PIL import Image

# (route, images in a request, shorter side in pixels, weight)
MIX = (
    ("/api/v1/groups?by=phash", 2, 480, 4),
    ("/api/v1/groups?by=pdq", 8, 480, 2),
    ("/api/v1/groups?by=phash", 12, 1200, 1),
    ("/api/imageSimilarityByHash?similarity_grade=0.75", 3, 480, 2),
    ("/api/v1/search?library=load&top=10", 1, 480, 4),
    ("/api/v1/compare", 2, 480, 1),
)


def main() -> None:
    """Serve, load, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="?", help="a folder of photos; default: drawn ones")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--processors", type=int, default=2)
    asked = parser.parse_args()
    pictures = {side: prepared(asked.photos, side) for side in (480, 1200)}
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(folder, asked.processors)
        try:
            load(process, url, pictures, asked)
        finally:
            process.terminate()
            process.wait(60)


def prepared(photos: str | None, side: int) -> list[bytes]:
    """Forty photos as JPEG, their shorter side as long as asked."""
    if photos is None:
        from imkin.demo import write_collection

        photos = tempfile.mkdtemp()
        write_collection(photos)
    made = []
    files = sorted(path for path in Path(photos).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:40]
    for file in files:
        with Image.open(file) as opened:
            scale = side / min(opened.size)
            picture = opened.convert("RGB").resize([round(length * scale) for length in opened.size])
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        made.append(out.getvalue())
    return made


def start(folder: str, processors: int) -> tuple[subprocess.Popen, str]:
    """The service on a free port of loopback, on so many processors."""
    log = Path(folder) / "log"
    command = [sys.executable, "-m", "imkin", "serve", "--port", "0", "--workers", str(processors), "--quiet"]
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--catalogue", f"{folder}/catalogue.sqlite"], stderr=out)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:processors])
    while not (found := re.search(r"http://\S+", log.read_text())):
        time.sleep(0.1)
    return process, found[0]


def load(process: subprocess.Popen, url: str, pictures: dict[int, list[bytes]], asked: argparse.Namespace) -> None:
    """Run the clients, watch the memory, and print what came of it."""
    with httpx2.Client(base_url=url, timeout=120) as client:
        client.post("/api/v1/libraries", json={"name": "load", "by": "phash"})
        client.post("/api/v1/libraries/load/images", files=[("f", (str(n), p)) for n, p in enumerate(pictures[480])])
    end = time.monotonic() + asked.seconds
    waits: list[float] = []
    codes: Counter[str] = Counter()
    threads = [threading.Thread(target=one, args=(url, n, end, pictures, waits, codes)) for n in range(asked.clients)]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < end:
        time.sleep(5)
        served = psutil.Process(process.pid)
        memory.append(
            (served.memory_info().rss, sum(each.memory_info().rss for each in served.children(recursive=True)))
        )
    for thread in threads:
        thread.join()
    report(waits, codes, memory, asked)


def one(url: str, seed: int, end: float, pictures: dict[int, list[bytes]], waits: list[float], codes: Counter) -> None:
    """One client: draws a request, sends it, waits for the answer; told to come later, it waits as it is told."""
    draw = random.Random(seed)
    with httpx2.Client(base_url=url, timeout=120) as client:
        while time.monotonic() < end:
            route, count, side, _ = draw.choices(MIX, [weight for *_, weight in MIX])[0]
            sent = [(f"f{at}", (f"{at}.jpg", draw.choice(pictures[side]))) for at in range(count)]
            began = time.monotonic()
            try:
                answer = client.post(route, files=sent)
            except httpx2.HTTPError as error:
                codes[type(error).__name__] += 1
                continue
            codes[str(answer.status_code)] += 1
            if answer.status_code == 429:
                time.sleep(min(5.0, float(answer.headers["retry-after"])))
            else:
                waits.append(time.monotonic() - began)


def report(waits: list[float], codes: Counter, memory: list[tuple[int, int]], asked: argparse.Namespace) -> None:
    """Answers by status, percentiles, memory at the first and the last third."""
    cut = statistics.quantiles(waits, n=100)
    print(f"{asked.clients} clients, {asked.processors} processors, {asked.seconds:g} s")
    print(f"answers: {dict(sorted(codes.items()))}, {len(waits) / asked.seconds:.1f} a second")
    print(f"seconds: p50 {cut[49]:.2f}, p95 {cut[94]:.2f}, p99 {cut[98]:.2f}, longest {max(waits):.2f}")
    third = max(1, len(memory) // 3)
    for name, at in (("service", 0), ("workers", 1)):
        series = [each[at] / 2**20 for each in memory]
        early, late = statistics.median(series[third : 2 * third]), statistics.median(series[-third:])
        print(f"{name}: {early:.0f} MiB in the second third, {late:.0f} MiB in the last, peak {max(series):.0f} MiB")


if __name__ == "__main__":
    main()
