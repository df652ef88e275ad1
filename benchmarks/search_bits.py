"""Search among a million hashes: the tables of `join.multi_index` beside faiss and beside comparing all.

    python benchmarks/search_bits.py [N]

Codes are random in families of five, whose members have 0 to 20 of 64 bits, or 0 to 60 of 256, the other way round;
queries are 100 members with 3 bits changed. One thread. faiss's IndexBinaryFlat is exact; its IndexBinaryMultiHash
looks up keys of 20 bits within 2 bits, in as many tables as fit, and its recall is said. Times are medians.
"""

import statistics
import sys
import time

import faiss
import numpy as np

from imkin import metric
from imkin.join.multi_index import MultiIndex
from imkin.prints import spec
from imkin.types import Prints

FAMILY, QUERIES, TOP = 5, 100, 10
METHODS = {"phash": (20, 6), "pdq": (60, 31)}


def drawn(n, length, spread):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (n // FAMILY, length // 8), np.uint8)
    codes = [first]
    for _ in range(FAMILY - 1):
        kin = np.unpackbits(first, axis=1)
        flips = rng.random(kin.shape) < rng.integers(0, spread + 1, (len(kin), 1)) / length
        codes.append(np.packbits(kin ^ flips, axis=1))
    codes = np.concatenate(codes)[rng.permutation(n // FAMILY * FAMILY)]
    queries = np.unpackbits(codes[rng.choice(len(codes), QUERIES, replace=False)], axis=1)
    for row in queries:
        row[rng.choice(length, 3, replace=False)] ^= 1
    return codes, np.packbits(queries, axis=1)


def timed(ask, queries):
    took, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(ask(query))
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1e3, found


def measured(n, method, spread, radius):
    made = spec(method)
    codes, queries = drawn(n, made.dim, spread)
    started = time.process_time()
    index = MultiIndex(codes)
    print(f"{method}: {n:,} codes of {made.dim} bits; tables made in {time.process_time() - started:.2f} s")
    flat, hashed = faiss.IndexBinaryFlat(made.dim), faiss.IndexBinaryMultiHash(made.dim, made.dim // 20, 20)
    hashed.nflip = 2
    for each in (flat, hashed):
        each.add(codes)
    many = Prints(made, codes, np.ones(len(codes), np.float32))

    def near(query, one=index):
        return one.best(query, len(codes), most=radius)[0].tolist()

    def within(one, query):
        limits, _, found = one.range_search(query[None], radius + 1)
        return sorted(found[limits[0] : limits[1]].tolist())

    def compared(query):
        return metric.similarity(Prints(made, query[None], np.ones(1, np.float32)), many)[0]

    rows = {
        "tables, all within": timed(near, queries),
        "faiss flat, all within": timed(lambda q: within(flat, q), queries),
        "faiss multi-hash, all within": timed(lambda q: within(hashed, q), queries),
        "tables, the ten nearest": timed(lambda q: index.best(q, TOP, most=made.dim)[1][:TOP].tolist(), queries),
        "faiss flat, the ten nearest": timed(lambda q: flat.search(q[None], TOP)[0][0].tolist(), queries),
        "metric.similarity, all": timed(compared, queries[:20]),
    }
    exact = rows["faiss flat, all within"][1]
    assert [sorted(found) for found in rows["tables, all within"][1]] == exact
    assert rows["tables, the ten nearest"][1] == rows["faiss flat, the ten nearest"][1]
    hits = sum(len(set(a) & set(b)) for a, b in zip(rows["faiss multi-hash, all within"][1], exact, strict=True))
    for name, (median, _) in rows.items():
        print(f"  {name:<30}{median:8.2f} ms")
    total = sum(map(len, exact))
    print(f"  within {radius} bits: {total / QUERIES:.1f} each; faiss multi-hash finds {hits / total:.4f} of them")


def main(n):
    faiss.omp_set_num_threads(1)
    for method, (spread, radius) in METHODS.items():
        measured(n, method, spread, radius)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
