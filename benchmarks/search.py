"""Search among a million vectors: time, recall, memory; and what adding, removing and a restart take.

    python benchmarks/search.py [N] [DIM] [--catalogue postgresql://…]

The vectors are drawn, not photographed: N / 5 families of a random vector and four kin of it (similarities of 0.65 to
0.99). Their spread is that of the `kin` vectors of 3,000 photos: a mean of length 0.55, and variances that fall
exponentially, so that 28 dimensions count; the nearest of another family is at about 0.77. Queries are 500 further kin
of random members. What is found is held against brute force over all. Each step runs in a process of its own, with two
threads, and prints its peak memory, that of the catalogue's pages included. In a database it leaves the collection
`million` behind.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

FAMILY, QUERIES, TOP, LOT = 5, 500, 10, 20_000
SPREAD, MEAN = 14.0, 0.55


def spec(dim: int):
    from imkin.types import Spec

    return Spec("drawn", 1, "unit vector", dim, 0.8, 8)


class Given:
    """A fingerprinter whose values are drawn here."""

    def __init__(self, dim: int) -> None:
        self.spec = spec(dim)

    def embed_batch(self, _):
        raise TypeError("the vectors are drawn: there is no picture to embed")


class Drawn:
    """Draws the same families again from the same seed, lot by lot: they need not be kept."""

    def __init__(self, dim: int) -> None:
        rng = np.random.default_rng(0)
        scale = np.exp(-np.arange(dim) / SPREAD)
        turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
        mean = rng.normal(size=dim)
        self.mean = (MEAN * mean / np.linalg.norm(mean)).astype(np.float32)
        self.mix = (np.sqrt(scale / scale.sum())[:, None] * turn.T).astype(np.float32)

    def noise(self, rng, n: int) -> np.ndarray:
        return rng.standard_normal((n, len(self.mix)), dtype=np.float32) @ self.mix

    def kin(self, rng, vectors: np.ndarray) -> np.ndarray:
        near = vectors + self.noise(rng, len(vectors)) * rng.uniform(0.1, 0.6, (len(vectors), 1)).astype(np.float32)
        return near / np.linalg.norm(near, axis=1, keepdims=True)

    def lot(self, number: int, n: int) -> np.ndarray:
        """n members of lot `number`; a family's members lie apart, one in each fifth of the lot."""
        rng = np.random.default_rng((1, number))
        first = self.mean + np.sqrt(np.float32(1 - MEAN**2)) * self.noise(rng, n // FAMILY)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        return np.concatenate([first, *(self.kin(rng, first) for _ in range(FAMILY - 1))])

    def queries(self, n: int) -> np.ndarray:
        rng = np.random.default_rng(2)
        lots = rng.integers(0, n // LOT, QUERIES)
        members = [self.lot(lot, LOT)[rng.integers(LOT)] for lot in lots[: QUERIES // 10]]
        return self.kin(rng, np.repeat(np.stack(members), 10, axis=0))


def prints(values: np.ndarray):
    from imkin.types import Prints

    return Prints(spec(values.shape[1]), values, np.ones(len(values), np.float32))


def names(start: int, n: int) -> list[str]:
    return [f"{number:064x}" for number in range(start, start + n)]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fill(path: str, n: int, dim: int) -> None:
    """Add all, without graphs."""
    from imkin import Collection, Library

    drawn, spent = Drawn(dim), 0.0
    with Library(path, jobs=2) as library:
        collection = Collection(library, "million", by=Given(dim))
        for number in range(n // LOT):
            lot = prints(drawn.lot(number, LOT))
            started = time.process_time()
            collection.add_prints(lot, names(number * LOT, LOT), names(number * LOT, LOT), index=False)
            spent += time.process_time() - started
    print(f"added {n:,}: {spent:.1f} s of processor, {spent / n * 1e6:.0f} µs each; peak {peak_mb():,.0f} MB")


def build(path: str, _: int, dim: int) -> None:
    """Make the graphs."""
    from imkin import Collection, Library

    with Library(path, jobs=2) as library:
        started, cpu = time.perf_counter(), time.process_time()
        Collection(library, "million", by=Given(dim)).index()
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
        if library.database.server:
            tables = "FROM pg_tables WHERE tablename LIKE 'near%'"
            ((size,),) = library.database.execute(f"SELECT sum(pg_total_relation_size('imkin.' || tablename)) {tables}")
        else:
            size = sum(os.path.getsize(os.path.join(f"{path}.index", name)) for name in os.listdir(f"{path}.index"))
    print(f"graphs: {took:.0f} s, {cpu:.0f} s of processor here; {size / 2**20:,.0f} MB; peak {peak_mb():,.0f} MB")


def truth(n: int, dim: int) -> np.ndarray:
    """The names (queries, TOP) of the nearest by brute force."""
    drawn = Drawn(dim)
    queries = drawn.queries(n)
    best = np.full((len(queries), TOP), -1, np.float32)
    at = np.full((len(queries), TOP), -1)
    for number in range(n // LOT):
        similar = np.concatenate([best, queries @ drawn.lot(number, LOT).T], axis=1)
        every = np.concatenate([at, np.broadcast_to(np.arange(LOT) + number * LOT, (len(queries), LOT))], axis=1)
        order = np.argpartition(-similar, TOP, axis=1)[:, :TOP]
        best, at = np.take_along_axis(similar, order, 1), np.take_along_axis(every, order, 1)
    print(f"brute force: the nearest at {best.max(1).mean():.3f}, the tenth at {best.min(1).mean():.3f} on average")
    return at


def search(path: str, n: int, dim: int) -> None:
    """Search, add, remove."""
    from imkin import Collection, Library

    queries, expected = Drawn(dim).queries(n), truth(n, dim)
    started = time.perf_counter()
    with Library(path, jobs=2) as library:
        collection = Collection(library, "million", by=Given(dim))
        collection.search_prints(prints(queries[:1]))
        print(f"first answer after opening: {(time.perf_counter() - started) * 1e3:.0f} ms")
        hits, took, cpu = 0, [], time.process_time()
        for query, best in zip(queries, expected.tolist(), strict=True):
            started = time.perf_counter()
            (found,) = collection.search_prints(prints(query[None]), top=TOP)
            took.append(time.perf_counter() - started)
            hits += len({match.name for match in found} & {f"{number:064x}" for number in best})
        cpu = (time.process_time() - cpu) / len(queries)
        median, late = np.quantile(took, 0.5) * 1e3, np.quantile(took, 0.95) * 1e3
        recall = hits / TOP / len(queries)
        print(f"search: median {median:.2f} ms, 95 % {late:.2f} ms, {cpu * 1e3:.2f} ms of processor")
        print(f"recall@10 {recall:.4f}")
        change(collection, queries)
    print(f"peak with the brute force beside it: {peak_mb():,.0f} MB")


def change(collection, queries: np.ndarray) -> None:
    """Add and remove one by one, and see each at once."""
    added, removed = [], []
    for at, query in enumerate(queries[::10]):
        name = f"{10**9 + at:064x}"
        started = time.perf_counter()
        collection.add_prints(prints(query[None]), [name], [name])
        added.append(time.perf_counter() - started)
        assert collection.search_prints(prints(query[None]), top=1)[0][0].name == name
        started = time.perf_counter()
        collection.remove([name])
        removed.append(time.perf_counter() - started)
        assert collection.search_prints(prints(query[None]), top=1)[0][0].name != name
    print(
        f"add one: median {np.median(added) * 1e3:.2f} ms; remove one: {np.median(removed) * 1e3:.2f} ms; seen at once"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", nargs="?", type=int, default=1_000_000)
    parser.add_argument("dim", nargs="?", type=int, default=256)
    parser.add_argument("--step", choices=["fill", "build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--catalogue", help="of a PostgreSQL server, instead of a file")
    given = parser.parse_args()
    if given.step:
        {"fill": fill, "build": build, "search": search}[given.step](given.catalogue, given.n, given.dim)
        return
    with tempfile.TemporaryDirectory() as folder:
        for step in ("fill", "build", "search"):
            command = [sys.executable, __file__, str(given.n), str(given.dim), "--step", step]
            path = given.catalogue or os.path.join(folder, "catalogue.sqlite")
            subprocess.run([*command, "--catalogue", path], check=True, timeout=7200)


if __name__ == "__main__":
    main()
