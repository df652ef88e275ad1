#!/usr/bin/env python3
"""Scores the built-in network `kin` on a folder made by make_edits.py: uAP, R@FPR, milliseconds an image.

usage: kin_score.py EDITS [--whole] [--limit N]

Queries are the edited copies, the database is the originals (`<photo>__orig.jpg`); each query has one true match.
uAP is the micro average precision over all pairs, ties counted against; R@FPR the share of true pairs above the
similarity that lets 1 false pair in 100,000 through, averaged over the kinds of edits (Douze et al. 2021).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from imkin import image
from imkin.join import cosine
from imkin.prints import embedding

FALSE_RATE = 1e-5


def score(names, similarity, originals):
    """names: of the queries' files and of the originals' (with `__`); similarity: (queries, originals)."""
    base, edit = zip(*(name.split(".")[0].split("__") for name in names), strict=True)
    truth = np.array(base)[:, None] == np.array([name.split("__")[0] for name in originals])[None]
    flat, good = similarity.ravel().astype(np.float64), truth.ravel()
    hits = good[np.lexsort((good, -flat))]
    uap = float(((np.cumsum(hits) / np.arange(1, hits.size + 1)) * hits).sum() / hits.sum())
    false = np.sort(similarity[~truth])[::-1]
    limit = float(false[int(FALSE_RATE * false.size)])
    found = similarity[truth] > limit
    edits = {kind: round(float(found[np.array(edit) == kind].mean()), 3) for kind in sorted(set(edit))}
    return {
        "uAP": round(uap, 4),
        "R@FPR": round(float(np.mean(list(edits.values()))), 4),
        "threshold": round(limit, 4),
        "edits": edits,
        "false": {share: round(float(false[int(share * false.size)]), 4) for share in (0.0, 1e-6, 1e-5, 1e-4, 1e-3)},
    }


def fingerprints(paths, method):
    """Values of files, and the median seconds an image of decoding and of fingerprinting."""
    values, decoding, making = [], [], []
    for path in paths:
        began = time.perf_counter()
        picture = image.decode(path.read_bytes(), path=str(path), side=method.spec.side)
        decoded = time.perf_counter()
        values.append(method.embed_batch([picture.pixels])[0][0])
        decoding.append(decoded - began)
        making.append(time.perf_counter() - decoded)
    return np.stack(values), float(np.median(decoding)), float(np.median(making))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("edits", type=Path)
    parser.add_argument("--whole", action="store_true", help="the vector of the whole picture alone")
    parser.add_argument("--limit", type=int, help="so many photos only")
    wanted = parser.parse_args()
    paths = sorted(wanted.edits.glob("*__*.jpg"))
    stems = set(sorted({path.name.split("__")[0] for path in paths})[: wanted.limit])
    paths = [path for path in paths if path.name.split("__")[0] in stems]
    method = embedding.fingerprinter(regions=not wanted.whole)
    values, decode_s, make_s = fingerprints(paths, method)
    original = np.array(["__orig" in path.name for path in paths])
    similarity = cosine.similarities(
        values[~original], values[original], regions=len(method.regions), cost=embedding.REGION_COST
    )
    names = np.array([path.name for path in paths])
    result = score(names[~original], similarity, names[original])
    times = {"decode_ms": round(1e3 * decode_s, 2), "kin_ms": round(1e3 * make_s, 2)}
    print(json.dumps({"images": len(paths), "regions": len(method.regions), **times, **result}, indent=1))


if __name__ == "__main__":
    main()
