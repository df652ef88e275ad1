"""Time and peak memory of a million images and more: pairs, groups, report; and the constants of the joins.

python benchmarks/scale.py run N            one process: fingerprints drawn, joined, grouped, reported
python benchmarks/scale.py growth OUT.svg   100,000, 300,000, 1,000,000 and 3,000,000, each in a process, and a plot
python benchmarks/scale.py shuffle          nanoseconds of a row that goes through a partition
python benchmarks/scale.py cells            recall of coarse cells on drawn vectors
python benchmarks/scale.py groups N FILE    a report of N groups, to be opened
python benchmarks/scale.py driver PAIRS     what the driver of a job holds: 100,000 images with so many pairs in files
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from million import codes, rows

from imkin import image
from imkin.engine import Always, Blocks, open_engine
from imkin.library import Library
from imkin.prints import spec
from imkin.report.html import write_html
from imkin.scale import banding, equals, pairing
from imkin.scan import Scan
from imkin.types import Prints

SIZES = (100_000, 300_000, 1_000_000, 3_000_000)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spent() -> float:
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def timed(facts: dict, name: str, work):
    started, cpu = time.perf_counter(), spent()
    done = work()
    facts[name] = round(time.perf_counter() - started, 2)
    facts[f"{name} cpu"] = round(spent() - cpu, 2)
    facts[f"{name} peak MB"] = round(peak_mb())
    print(f"{name}: {facts[name]} s, {facts[f'{name} cpu']} s of processor, peak {peak_mb():.0f} MB", file=sys.stderr)
    return done


def run(n: int) -> dict:
    """All codes differ; 50,000 families of five in a million."""
    method, facts = spec("phash"), {"images": n}
    prints = Prints(method, codes(n, n // 20), np.ones(n, np.float32))
    scanned = Scan(rows(n), np.zeros(n, np.int64), prints, (), n, n, 0, 0)
    facts["rows peak MB"] = round(peak_mb())
    with Library() as library, tempfile.TemporaryDirectory() as folder:
        kin = timed(facts, "pairs", lambda: library.kin(scanned, method.default_threshold))
        result = timed(facts, "groups", lambda: library.group(scanned, kin, threshold=method.default_threshold))
        page = os.path.join(folder, "report.html")
        timed(facts, "report", lambda: write_html(page, result, thumbnail=lambda _: None, title="A million", about={}))
        facts["report MB"] = round(os.path.getsize(page) / 1e6)
        facts["found"] = {"pairs": len(kin.pairs), "groups": len(result.groups)}
    return facts


def growth(target: str) -> None:
    made = []
    for n in SIZES:
        done = subprocess.run([sys.executable, __file__, "run", str(n)], capture_output=True, text=True, check=True)
        made.append(json.loads(done.stdout))
        print(json.dumps(made[-1]), flush=True)
    with open(target, "w", encoding="utf-8") as file:
        file.write(plot(made))


def plot(made: list[dict]) -> str:
    """Both axes logarithmic, so that growth by the number of images is a straight line of slope 1."""
    stages = (("pairs cpu", "#3b6fb6"), ("groups cpu", "#b6543b"), ("report cpu", "#4a8f5a"))
    seconds = [[max(each[key], 0.01) for each in made] for key, _ in stages]
    memory = [each["report peak MB"] for each in made]
    parts = [
        panel(
            40,
            "seconds of processor",
            seconds,
            [c for _, c in stages],
            [k.removesuffix(" cpu") for k, _ in stages],
            made,
        )
    ]
    parts.append(panel(440, "peak memory, MB", [memory], ["#6b4fa0"], ["whole process"], made))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 330" font-family="sans-serif" font-size="12">'
        f'<rect width="840" height="330" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def panel(left: int, title: str, series, colours, names, made) -> str:
    xs = np.log10([each["images"] for each in made])
    low, high = np.floor(np.log10(np.min(series))), np.ceil(np.log10(np.max(series)))

    def x(value: float) -> float:
        return left + 40 + (value - xs[0]) / (xs[-1] - xs[0]) * 290

    def y(value: float) -> float:
        return 270 - (value - low) / (high - low) * 210

    out = [f'<text x="{left + 40}" y="36" font-size="14">{title}</text>']
    for power in range(int(low), int(high) + 1):
        out.append(f'<line x1="{left + 40}" x2="{left + 330}" y1="{y(power):.0f}" y2="{y(power):.0f}" stroke="#ddd"/>')
        out.append(f'<text x="{left + 34}" y="{y(power) + 4:.0f}" text-anchor="end">{10.0**power:g}</text>')
    for at, each in zip(xs, made, strict=True):
        out.append(f'<text x="{x(at):.0f}" y="290" text-anchor="middle">{each["images"] // 1000:,} k</text>')
    for number, (values, colour, name) in enumerate(zip(series, colours, names, strict=True)):
        points = " ".join(f"{x(a):.0f},{y(np.log10(v)):.0f}" for a, v in zip(xs, values, strict=True))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points.split():
            cx, cy = point.split(",")
            out.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{left + 50 + 90 * number}" y="312" fill="{colour}">{name}</text>')
    return "".join(out)


def shuffle(n: int = 500_000) -> dict:
    """What a row of a table costs from the code to the end of its part, on one thread."""
    from imkin.join import hamming
    from imkin.join.hamming_plan import choose, measure

    values = codes(n, n // 20)
    sample = measure([hamming.to_words(values)], 64, radius=3)
    plan = choose(sample, 3, rows=n, pairs=1e15)
    bands = banding.Banding(plan, 3, 64, 1, sample.order, sample.words)
    blocks = Blocks([numbered(values[at : at + 100_000], at) for at in range(0, n, 100_000)])
    engine, facts = open_engine("serial"), {"rows": n * len(bands.tables()), "plan": str(plan)}
    near = timed(facts, "shuffle", lambda: banding.banded(engine, blocks, bands, 8))
    timed(
        facts,
        "forest",
        lambda: engine.reduce(near.map(Always(lambda each: pairing.forest(each.pairs))), pairing.merged),
    )
    engine.close()
    facts["ns of a row"] = round(facts["shuffle cpu"] * 1e9 / facts["rows"])
    return facts


def numbered(values: np.ndarray, first: int) -> np.ndarray:
    values = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    made = np.zeros(len(values), equals.row_type(values.shape[1]))
    made["image"], made["good"] = first + np.arange(len(values)), True
    made["value"] = values.view(f"V{values.shape[1]}").reshape(-1)
    return made


def cells(n: int = 40_000, dim: int = 256) -> dict:
    """Recall at the similarity 0.8 of drawn pairs between 0.8 and 1, in as many directions as a network uses."""
    from imkin.scale import cells as cells_
    from imkin.types import Spec

    rng = np.random.default_rng(0)
    # Real vectors lie near a few dozen directions: with all 256 alike no cell would mean anything.
    basis = rng.normal(size=(48, dim)).astype(np.float32)
    values = rng.normal(size=(n, 48)).astype(np.float32)
    values[n // 2 :] = values[: n // 2] + rng.uniform(0.05, 0.7, (n // 2, 1)) * rng.normal(size=(n // 2, 48))
    values = (values @ basis).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    made = cells_.cells_for(Spec("v", 1, "unit vector", dim, 0.8, 32), 0.8, values[:20_000], n)
    engine, facts, sample = open_engine("serial"), {"vectors": n, "cells": len(made.centres)}, numbered(values, 0)
    blocks = Blocks([sample[at : at + 10_000] for at in range(0, n, 10_000)])
    near = timed(facts, "join", lambda: cells_.celled(engine, blocks, made, 4))
    pairs = pairing.unique(np.concatenate([each.pairs for each in engine.run(near)]))
    there, met = cells_.recall(engine, blocks, made, [pairs], sample)
    engine.close()
    return facts | {"pairs": len(pairs), "sample": there, "recall": round(met / there, 4)}


def driver(count: int, images: int = 100_000) -> dict:
    """Groups of 1,000 with random pairs in files of a million, grouped and read through."""
    from imkin.scale import kept, outcome
    from imkin.sources.place import Folder

    facts, rng, method = {"pairs asked for": count}, np.random.default_rng(0), spec("phash")
    prints = Prints(method, np.empty((images, 0), np.uint8), np.ones(images, np.float32))
    scanned = Scan(rows(images), np.zeros(images, np.int64), prints, (), images, images, 0, 0)
    facts["rows peak MB"] = round(peak_mb())
    engine = open_engine("serial")
    with tempfile.TemporaryDirectory() as work:
        keep, parts = kept.Keep(Folder(work), "p"), []
        for _ in range(-(-count // 1_000_000)):
            a = rng.integers(0, images, 1_000_000)
            b = a // 1000 * 1000 + rng.integers(0, 1000, 1_000_000)
            near = pairing.pair_rows(a, b, rng.random(1_000_000).astype(np.float32))
            parts.append(keep(pairing.Near(near)))
        joined = kept.Joined(Folder(work), pairing.PAIR, tuple(part.name for part in parts), count)
        tree = timed(facts, "forest", lambda: joined.forest(engine))
        numbers = np.arange(images)
        found = outcome.Found(scanned, numbers, numbers, joined, tree, None, {}, images, (), ())
        result = timed(facts, "groups", lambda: found.group(threshold=0.5))
        facts["groups found"] = len(result.groups)
        facts["pairs read"] = timed(facts, "pairs", lambda: sum(1 for _ in found.pairs()))
    return facts


def groups(count: int, target: str) -> dict:
    """A page of so many groups of four, with a drawn picture each."""
    n, facts, method = count * 20, {"groups": count}, spec("phash")
    prints = Prints(method, codes(n, count), np.ones(n, np.float32))
    scanned = Scan(rows(n), np.zeros(n, np.int64), prints, (), n, n, 0, 0)
    picture = np.full((60, 80, 3), 180, np.uint8)
    jpeg = image.encode_jpeg(picture, quality=60)
    with Library() as library:
        kin = library.kin(scanned, method.default_threshold)
        result = library.group(scanned, kin, threshold=method.default_threshold)
    timed(facts, "report", lambda: write_html(target, result, thumbnail=lambda _: jpeg, title="Groups", about={}))
    return facts | {"MB": round(os.path.getsize(target) / 1e6), "found": len(result.groups)}


def main() -> None:
    verb, *words = sys.argv[1:]
    if verb == "growth":
        growth(words[0])
        return
    work = {
        "driver": lambda: driver(int(words[0])),
        "run": lambda: run(int(words[0])),
        "shuffle": shuffle,
        "cells": cells,
    }
    work["groups"] = lambda: groups(int(words[0]), words[1])
    print(json.dumps(work[verb]()))


if __name__ == "__main__":
    main()
