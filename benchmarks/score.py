#!/usr/bin/env python3
"""Scores any method on a folder made by make_edits.py: uAP, R@FPR, and how often pairs of a similarity are right.

usage: score.py EDITS METHOD [CATALOGUE]

Queries are the edited copies, the database is the originals; see kin_score.py.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from kin_score import score

import imkin

STEPS = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 1.01)


def main():
    paths = sorted(str(path) for path in Path(sys.argv[1]).glob("*__*.jpg"))
    began = time.process_time()
    made = imkin.fingerprint(paths, by=sys.argv[2], catalogue=sys.argv[3] if len(sys.argv) > 3 else None)
    spent = (time.process_time() - began) / len(paths)
    names = np.array([Path(path).name for path in made.paths])
    original = np.array(["__orig" in name for name in names])
    queries, database = (
        imkin.Prints(made.spec, made.values[rows], made.quality[rows]) for rows in (~original, original)
    )
    similarity = imkin.similarity(queries, database)
    found = score(names[~original], similarity, names[original])
    base = np.array([name.split("__")[0] for name in names])
    truth = base[~original][:, None] == base[original][None]
    right = {}
    for low, high in pairwise(STEPS):
        inside = (similarity >= low) & (similarity < high)
        right[f"{low} to {min(1, high)}"] = [int(inside.sum()), round(float(truth[inside].mean()), 3)]
    print(json.dumps({"images": len(names), "processor_ms": round(1e3 * spent, 1), **found, "right": right}, indent=1))


if __name__ == "__main__":
    main()
