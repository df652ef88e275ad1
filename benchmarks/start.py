#!/usr/bin/env python3
"""How long imkin takes to begin: wall and processor milliseconds, medians of RUNS, each beside a bare Python.

usage: start.py [PHOTOS]

PHOTOS: a folder; then a command over it is measured too, when all its fingerprints are in the catalogue.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 15
PYTHON = [sys.executable]
IMKIN = [*PYTHON, "-m", "imkin"]


def once(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * wall, 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main():
    commands = {
        "python -c pass": [*PYTHON, "-c", "pass"],
        "import imkin": [*PYTHON, "-c", "import imkin"],
        "imkin --help": [*IMKIN, "--help"],
    }
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        if len(sys.argv) > 1:
            commands |= {
                f"imkin pairs --by {by}": [*IMKIN, "pairs", sys.argv[1], "--by", by] for by in ("phash", "auto")
            }
        for command in commands.values():
            once(command)
        times = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                times[name].append(once(command))
    for name, rows in times.items():
        wall, used = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:<22}{wall:8.0f} ms   {used:8.0f} ms of processor")


if __name__ == "__main__":
    main()
