"""How fast a network is, and what batches and threads change.

usage: python benchmarks/networks.py batch NETWORK [BATCH...]   processor ms an image by pictures a run, one thread
       python benchmarks/networks.py scan NETWORK [PHOTOS]      images/s of decoding and network, 1 and 2 threads

NETWORK: a name (see `imkin models list`) or onnx:PATH. PHOTOS: a folder of JPEGs, ../shared/photos/dev by default.
Medians of ROUNDS rounds.
"""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from imkin import image, models

ROUNDS = 7
PICTURES = 16


def batch(name, counts):
    made = models.fingerprinter(name, device="cpu")
    if made.runner.input.batch:
        sys.exit(f"the graph of {name} fixes {made.runner.input.batch} pictures a run")
    shape = (PICTURES, made.shape.height, made.shape.width, made.runner.input.channels)
    pictures = np.random.default_rng(0).random(shape, np.float32).astype(made.runner.input.dtype)
    times = {count: [] for count in counts}
    found = {}
    for _ in range(ROUNDS):
        for count in counts:
            runner = replace(made.runner, batch=count)
            start = time.thread_time()
            found[count] = runner.run(pictures)
            times[count].append((time.thread_time() - start) / PICTURES * 1e3)
    for count, each in times.items():
        same = np.array_equal(found[count], found[counts[0]])
        print(f"{count:3d} a run {statistics.median(each):8.2f} ms an image, same bits as {counts[0]} a run: {same}")


def scan(name, folder):
    made = models.fingerprinter(name, device="cpu")
    data = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jp*g"))[:64]]
    parts = [data[i : i + PICTURES] for i in range(0, len(data), PICTURES)]

    def work(part):
        pictures = [image.decode(one, path="benchmark", side=made.spec.side).pixels for one in part]
        made.embed_batch(pictures)

    for threads in (1, 2):
        rates, used = [], []
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(3):
                start, cpu = time.perf_counter(), time.process_time()
                list(pool.map(work, parts))
                wall = time.perf_counter() - start
                rates.append(len(data) / wall)
                used.append((time.process_time() - cpu) / wall)
        print(
            f"{threads} threads {statistics.median(rates):8.1f} images/s, {statistics.median(used):.2f} processors busy"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["batch", name, *counts]:
            batch(name, [int(count) for count in counts] or [1, 4, 16])
        case ["scan", name, *folder]:
            scan(name, folder[0] if folder else "../shared/photos/dev")
        case _:
            sys.exit(__doc__)
