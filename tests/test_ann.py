"""Search through graphs: nearly all that brute force finds, at once after each change, and right without the files."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imkin import Collection, Library, metric
from imkin.join import ann
from imkin.segments import Sizes
from imkin.types import Prints, Spec

DIM, N = 16, 3000
SIZES = Sizes(exact_vectors=500, segment_bytes=4 * DIM * 1024)


class Given:
    """A fingerprinter whose values are given, not made."""

    def __init__(self, regions=1):
        params = {"regions": regions, "region_cost": 0.03} if regions > 1 else {}
        self.spec = Spec("given", 1, "unit vector", DIM * regions, 0.8, 8, params)

    def embed_batch(self, images):
        raise AssertionError("nothing is to be embedded")


def vectors(spec, n, seed=0):
    """n vectors in families of five."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n // 5, spec.dim)).repeat(5, axis=0) + rng.normal(size=(n, spec.dim)) / 3
    parts = values.reshape(n, -1, DIM)
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    return Prints(spec, parts.reshape(n, spec.dim).astype(np.float32), np.ones(n, np.float32))


def shas(n, start=0):
    return [f"{number:064x}" for number in range(start, start + n)]


def some(prints, rows):
    return Prints(prints.spec, prints.values[rows], prints.quality[rows])


def fill(path, made, many, *, jobs=1, sizes=SIZES):
    with Library(str(path), jobs=jobs) as library:
        Collection(library, "a", by=made, sizes=sizes).add_prints(many, shas(len(many)), shas(len(many)))


def graphs(path):
    return sorted(Path(f"{path}.index").glob("*"))


def opened(library, made):
    return Collection(library, "a", by=made, sizes=SIZES)


def recall(found, expected, top=10):
    """Share of the ten nearest that were found, and that no similarity is not the oracle's."""
    hits = 0
    for row, matches in zip(expected, found, strict=True):
        best = {f"{at:064x}" for at in np.argsort(-row, kind="stable")[:top]}
        hits += len(best & {match.name for match in matches})
        assert all(match.similarity == row[int(match.name, 16)] for match in matches)
    return hits / top / len(expected)


@pytest.mark.parametrize("regions", [1, 6])
def test_graphs_find_nearly_all_that_brute_force_finds(tmp_path, regions):
    made = Given(regions)
    many = vectors(made.spec, N)
    fill(tmp_path / "c", made, many)
    # Three segments of at most 1,024 numbers, a graph a part.
    assert len(graphs(tmp_path / "c")) == 3 * regions
    queries = some(many, slice(0, N, 60))
    with Library(str(tmp_path / "c")) as library:
        found = opened(library, made).search_prints(queries, top=10)
        close = opened(library, made).search_prints(queries, threshold=0.7)
    expected = metric.similarity(queries, many)
    assert recall(found, expected) >= 0.99
    pairs = sum(int((row >= 0.7).sum()) for row in expected)
    assert pairs > 3 * len(queries)
    assert sum(map(len, close)) >= 0.99 * pairs


def test_the_best_region_decides_through_graphs_too(tmp_path):
    made = Given(6)
    many = vectors(made.spec, N)
    # Of the member 1700 one region shows what all of the query shows; of the query 2 one region all of member 2900.
    values = many.values.reshape(N, 6, DIM)
    queries = vectors(made.spec, 10, seed=9)
    values[1700, 4] = queries.values.reshape(10, 6, DIM)[0, 0]
    queries.values.reshape(10, 6, DIM)[2, 3] = values[2900, 0]
    fill(tmp_path / "c", made, many)
    with Library(str(tmp_path / "c")) as library:
        found = opened(library, made).search_prints(queries, top=1)
    assert found[0][0].name == f"{1700:064x}"
    assert found[2][0].name == f"{2900:064x}"
    assert found[0][0].similarity == pytest.approx(0.97, abs=1e-6)


def test_what_is_added_and_removed_shows_at_once_beside_graphs(tmp_path):
    made = Given()
    many = vectors(made.spec, N)
    fill(tmp_path / "c", made, many)
    with Library(str(tmp_path / "c")) as library:
        reader, writer = opened(library, made), opened(library, made)
        query = some(many, slice(0, 1))
        assert reader.search_prints(query, top=5)[0][0].name == f"{0:064x}"
        writer.remove(shas(5))
        assert all(int(match.name, 16) >= 5 for match in reader.search_prints(query, top=5)[0])
        writer.add_prints(query, shas(1, 10**6), ["new"])
        assert [match.name for match in reader.search_prints(query, threshold=0.99)[0]] == ["new"]
        # All near ones go: the next best are found behind them.
        expected = metric.similarity(query, many)[0]
        order = [at for at in np.argsort(-expected).tolist() if at >= 5]
        writer.remove([f"{at:064x}" for at in order[:300]])
        assert [match.name for match in reader.search_prints(query, top=2)[0]] == ["new", f"{order[300]:064x}"]


def test_worn_segments_are_made_anew_and_the_others_stay(tmp_path):
    made = Given()
    fill(tmp_path / "c", made, vectors(made.spec, N))
    before = {path.name: path.stat().st_ino for path in graphs(tmp_path / "c")}
    with Library(str(tmp_path / "c"), jobs=1) as library:
        collection = opened(library, made)
        collection.remove(shas(400))
        more = vectors(made.spec, 600, seed=5)
        collection.add_prints(more, shas(600, N), shas(600, N))
        collection.index()
    after = {path.name: path.stat().st_ino for path in graphs(tmp_path / "c")}
    ranges = sorted(tuple(map(int, name.split("-")[2:4])) for name in after)
    assert ranges == [(0, 1024), (1024, 2048), (2048, 3072), (3072, 3600)]
    assert {int(name.split("-")[2]) for name in before.keys() & after.keys()} == {1024}


@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "one part gone", "of a later time"])
def test_without_good_graph_files_the_answers_are_those_of_brute_force(tmp_path, harm):
    made = Given(2)
    many = vectors(made.spec, N)
    fill(tmp_path / "c", made, many)
    for path in graphs(tmp_path / "c"):
        if harm == "gone" or (harm == "one part gone" and path.name.endswith("-1.graph")):
            path.unlink()
        elif harm in ("empty", "cut"):
            path.write_bytes(path.read_bytes()[: 100 * (harm == "cut")])
        elif harm == "of a later time":
            first, generation, *rest = path.name.split("-")
            path.rename(path.with_name("-".join([first, str(int(generation) + 9), *rest])))
    queries = some(many, slice(0, N, 100))
    with Library(str(tmp_path / "c"), jobs=1) as library:
        collection = opened(library, made)
        assert recall(collection.search_prints(queries, top=10), metric.similarity(queries, many)) == 1
        collection.index()
        assert recall(collection.search_prints(queries, top=10), metric.similarity(queries, many)) >= 0.99
    assert len(graphs(tmp_path / "c")) == 6


def test_graphs_of_a_catalogue_that_was_put_back_are_not_used(tmp_path):
    made = Given()
    many, others = vectors(made.spec, N), vectors(made.spec, N, seed=3)
    fill(tmp_path / "c", made, some(many, slice(0, 400)))
    shutil.copy(tmp_path / "c", tmp_path / "copy")
    with Library(str(tmp_path / "c"), jobs=1) as library:
        opened(library, made).add_prints(some(many, slice(400, N)), shas(N - 400, 400), shas(N - 400, 400))
    assert graphs(tmp_path / "c")
    shutil.copy(tmp_path / "copy", tmp_path / "c")
    for ending in ("-wal", "-shm"):
        (tmp_path / f"c{ending}").unlink(missing_ok=True)
    with Library(str(tmp_path / "c"), jobs=1) as library:
        collection = opened(library, made)
        for start in range(400, N, 400):
            part = some(others, slice(start, start + 400))
            collection.add_prints(part, shas(len(part), start), shas(len(part), start))
        both = Prints(made.spec, np.concatenate([many.values[:400], others.values[400:]]), many.quality)
        queries = some(both, slice(0, N, 50))
        assert recall(collection.search_prints(queries, top=10), metric.similarity(queries, both)) >= 0.99


def test_a_collection_too_large_for_memory_is_read_for_each_search(tmp_path):
    made = Given()
    many = vectors(made.spec, N)
    sizes = Sizes(exact_vectors=10**9, kept_bytes=1000)
    fill(tmp_path / "c", made, many, sizes=sizes)
    queries = some(many, slice(0, N, 300))
    with Library(str(tmp_path / "c")) as library:
        collection = Collection(library, "a", by=made, sizes=sizes)
        assert recall(collection.search_prints(queries, top=10), metric.similarity(queries, many)) == 1
    assert graphs(tmp_path / "c") == []


def test_graphs_are_the_same_from_any_number_of_threads(tmp_path):
    made = Given(2)
    many = vectors(made.spec, N)
    for jobs in (1, 3):
        fill(tmp_path / str(jobs), made, many, jobs=jobs)
    one, three = ([path.read_bytes() for path in graphs(tmp_path / str(jobs))] for jobs in (1, 3))
    assert len(one) == 6
    assert one == three


def test_a_deleted_collection_leaves_no_files(tmp_path):
    made = Given()
    fill(tmp_path / "c", made, vectors(made.spec, N))
    with Library(str(tmp_path / "c")) as library:
        opened(library, made).delete()
    assert graphs(tmp_path / "c") == []


def test_a_graph_is_rough_by_less_than_it_says():
    rng = np.random.default_rng(0)
    for dim in (16, 256):
        values = rng.normal(size=(2000, dim)).astype(np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        numbers, similar = ann.Graph.build(np.arange(2000), values).search(values[:50], 20)
        exact = np.array([[values[at] @ values[n] for n in row] for at, row in enumerate(numbers)])
        assert abs(exact - similar).max() < ann.ROUGH


CHILD = """
import sys
import numpy as np
from imkin import Collection, Library
from imkin.segments import Sizes
from test_ann import Given, SIZES, shas, some, vectors
made = Given()
many = vectors(made.spec, 3000)
with Library(sys.argv[1], jobs=2) as library:
    collection = Collection(library, "a", by=made, sizes=SIZES)
    start = len(collection)
    for at in range(start, 3000, 50):
        collection.add_prints(some(many, slice(at, at + 50)), shas(50, at), shas(50, at))
        print("added", at + 50, flush=True)
        if at % 200 == 0:
            collection.remove(shas(1, at))
            collection.add_prints(some(many, slice(at, at + 1)), shas(1, at), shas(1, at))
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    path, acknowledged = tmp_path / "c", 0
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    for lines in (2, 11, 7, 16):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        with child:
            # After the last line read the child goes on, into the next addition or the making of graphs.
            for _ in range(lines):
                line = child.stdout.readline()
                acknowledged = int(line.split()[1])
            child.send_signal(signal.SIGKILL)
        made = Given()
        many = vectors(made.spec, N)
        with Library(str(path), jobs=1) as library:
            collection = opened(library, made)
            there = {member.name for member in collection.members()}
            # The one that is removed and added again may be between the two.
            assert len(set(shas(acknowledged)) - there) <= 1
            assert len(collection) == len(there)
            rows = [at for at in range(0, acknowledged, 37) if f"{at:064x}" in there]
            found = collection.search_prints(some(many, rows), top=1)
            assert [match.name for (match,) in found] == [f"{at:064x}" for at in rows]
    assert acknowledged > 500
    assert graphs(path)
