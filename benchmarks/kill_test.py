"""Kill -9 at random moments of 200 applied runs: is every content in place, or restorable?

    python benchmarks/kill_test.py [RUNS] [SEED]

Each run applies a plan over 40 files (delete, trash, move, hard link and symbolic link in turn) in a process of its
own, which is killed after a random time. Then it is recovered and undone, and every file must be back, byte for byte.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from test_actions_crash import kill_runs


def main(runs, seed):
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = os.path.join(folder, "data")
        died = kill_runs(Path(folder), runs, rng=random.Random(seed))
    print(f"{runs} runs, {died} killed at work, every file back after each; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(*map(int, [*sys.argv[1:], *["200", "0"][len(sys.argv) - 1 :]]))
