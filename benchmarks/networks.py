"""How fast a network is, and what batches and threads change.

usage: python benchmarks/networks.py batch NETWORK [BATCH...]   processor ms an image by pictures a run, one thread
       python benchmarks/networks.py scan NETWORK [PHOTOS]      images/s of decoding and network, 1 and 2 threads
       python benchmarks/networks.py kin                        processor ms a vector of the built-in network by
                                                                vectors a run, and an image of 500 x 400 with decoding

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
from decode import drawn_jpeg

from imkin import image, models, prints
from imkin.prints import embedding

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


def kin():
    side = embedding.card().side
    squares = np.random.default_rng(0).integers(0, 256, (32, side, side, 3), np.uint8)
    for count in (1, 6, 32):
        run = statistics.median(thread_ms(lambda n=count: embedding.embed(squares[:n])) for _ in range(ROUNDS)) / count
        print(f"{count:3d} vectors a run {run:8.2f} ms a vector")
    files = [drawn_jpeg(500, 400, seed) for seed in range(PICTURES)]
    fingerprinter = prints.fingerprinter("kin")
    side = fingerprinter.spec.side

    def pixels():
        return [image.decode(data, path="drawn", side=side).pixels for data in files]

    pictures = pixels()
    decode = statistics.median(thread_ms(pixels) for _ in range(ROUNDS)) / PICTURES
    whole = statistics.median(thread_ms(lambda: fingerprinter.embed_batch(pictures)) for _ in range(ROUNDS)) / PICTURES
    vectors = len(embedding.REGIONS)
    print(f"500 x 400 JPEG: {decode:.2f} ms to decode, {whole:.2f} ms for {vectors} vectors and quality")


def thread_ms(work):
    start = time.thread_time()
    work()
    return (time.thread_time() - start) * 1e3


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["batch", name, *counts]:
            batch(name, [int(count) for count in counts] or [1, 4, 16])
        case ["scan", name, *folder]:
            scan(name, folder[0] if folder else "../shared/photos/dev")
        case ["kin"]:
            kin()
        case _:
            sys.exit(__doc__)
