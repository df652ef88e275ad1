"""Search of a collection in PostgreSQL: all of it compared by the server, nearly all found through its graphs."""

import numpy as np
import pytest

import drawn
from imkin import Collection, Library, fingerprint, metric, prints
from imkin.prints.auto import RECORD
from imkin.segments import Sizes
from imkin.types import Prints
from test_ann import Given, recall, shas, some, vectors

FEW = Sizes(server_vectors=10**9)
GRAPHS = Sizes(server_vectors=500)
N = 1200


def codes(spec, n, seed=0):
    """n random codes in families of five, whose members differ in up to 40 bits of each part."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (n // 5, spec.dim // 8), np.uint8).repeat(5, axis=0)
    noise = (rng.random((n, spec.dim)) < rng.uniform(0, 0.15, (n, 1))).astype(np.uint8)
    return Prints(spec, values ^ np.packbits(noise, axis=1), np.ones(n, np.float32))


class Of:
    """A fingerprinter of a spec, whose values are given."""

    def __init__(self, spec):
        self.spec = spec


def filled(url, made, many, sizes=FEW):
    library = Library(url, jobs=1)
    opened(library, made, sizes).add_prints(many, shas(len(many)), shas(len(many)))
    return library


def opened(library, made, sizes=FEW):
    return Collection(library, "a", by=made, sizes=sizes)


def best(many, query, top, threshold=0.0):
    """What brute force finds: (name, similarity) by falling similarity, then by age."""
    row = metric.similarity(query, many)[0]
    order = np.lexsort((np.arange(len(row)), -row))[:top]
    return [(f"{at:064x}", float(row[at])) for at in order if row[at] >= threshold]


def told(matches):
    return [(match.name, match.similarity) for match in matches]


def tables(library):
    return [
        name for (name,) in library.database.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'near%'")
    ]


@pytest.mark.parametrize(
    "spec",
    [prints.spec(name, turns=turns) for name in ("phash", "pdq", "vote") for turns in (False, True)],
    ids=lambda spec: spec.id,
)
def test_the_server_tells_of_hashes_what_brute_force_tells(url, spec):
    many = codes(spec, 200)
    # The first one's third turn is the upright one of the last.
    turned, last = prints.turn_parts(many), len(many) - 1
    turned[last, 0] = turned[0, -1]
    with filled(url, Of(spec), many) as library:
        assert len(tables(library)) == 1
        for at in (0, 7, last):
            query = some(many, [at])
            found = opened(library, Of(spec)).search_prints(query, top=12)[0]
            assert told(found) == best(many, query, 12)
            near = opened(library, Of(spec)).search_prints(query, threshold=0.8)[0]
            assert told(near) == best(many, query, None, 0.8)
            assert 1 <= len(near) < 20


@pytest.mark.parametrize("regions", [1, 6])
def test_few_vectors_are_compared_one_by_one(url, regions):
    made = Given(regions)
    many = vectors(made.spec, 300)
    with filled(url, made, many) as library:
        for at in (0, 150):
            query = some(many, [at])
            found = opened(library, made).search_prints(query, top=10)[0]
            assert told(found) == best(many, query, 10)
            near = opened(library, made).search_prints(query, threshold=0.6)[0]
            assert told(near) == best(many, query, None, 0.6)


@pytest.mark.parametrize("regions", [1, 3])
def test_the_servers_graphs_find_nearly_all_that_brute_force_finds(url, regions):
    made = Given(regions)
    many = vectors(made.spec, N)
    with filled(url, made, many, GRAPHS) as library:
        queries = some(many, range(0, N, 40))
        found = opened(library, made, GRAPHS).search_prints(queries, top=10)
        assert recall(found, metric.similarity(queries, many)) >= 0.99
        library.database.execute("SELECT pg_stat_force_next_flush()")
        used = library.database.execute(
            "SELECT count(*), min(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'near%_v_'"
        )
        assert used[0][0] == regions
        assert used[0][1] >= len(queries), "each search went through each graph"


def test_what_is_added_or_removed_is_found_or_gone_at_once_for_every_process(url):
    made = Given()
    many, late = vectors(made.spec, N), vectors(made.spec, 5, seed=9)
    with filled(url, made, many, GRAPHS) as library, Library(url, jobs=1) as other:
        there = opened(other, made, GRAPHS)
        opened(library, made, GRAPHS).add_prints(late, shas(5, start=N), shas(5, start=N))
        assert there.search_prints(some(late, [3]), top=1)[0][0].name == f"{N + 3:064x}"
        # More than a graph looks at: what is behind them is found all the same.
        order = np.argsort(-metric.similarity(some(many, [0]), many)[0], kind="stable")
        opened(library, made, GRAPHS).remove([f"{at:064x}" for at in order[:400]])
        assert there.search_prints(some(many, [0]), top=1)[0][0].name == f"{order[400]:064x}"


def test_a_threshold_finds_all_however_many_they_are(url):
    made = Given()
    values = np.tile(vectors(made.spec, 5).values[:1], (N, 1)) + np.random.default_rng(1).normal(size=(N, 16)) / 99
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    many = Prints(made.spec, values, np.ones(N, np.float32))
    with filled(url, made, many, GRAPHS) as library:
        found = opened(library, made, GRAPHS).search_prints(some(many, [0]), threshold=0.95)[0]
        assert told(found) == best(many, some(many, [0]), None, 0.95)
        assert len(found) > 1000


def test_images_that_are_there_already_or_too_blank_to_be_compared_add_nothing_to_search(url):
    made = Given()
    many = vectors(made.spec, 50)
    blank = Prints(made.spec, many.values[:1], np.zeros(1, np.float32))
    with filled(url, made, many) as library:
        photos = opened(library, made)
        assert photos.add_prints(some(many, [0]), shas(1), shas(1)).known == 1
        assert photos.add_prints(blank, shas(1, start=50), shas(1, start=50)).added == 1
        assert library.database.execute(f"SELECT count(*) FROM {tables(library)[0]}") == [(50,)]


def test_a_collection_that_came_without_its_rows_gets_them_when_it_is_opened(url):
    made = Given()
    many = vectors(made.spec, 50)
    with filled(url, made, many) as library:
        library.database.execute(f"DROP TABLE {tables(library)[0]}")
        found = opened(library, made).search_prints(some(many, [3]), top=5)[0]
        assert told(found) == best(many, some(many, [3]), 5)


def test_a_deleted_collection_takes_its_table_with_it(url):
    made = Given()
    with filled(url, made, vectors(made.spec, 50)) as library:
        assert len(tables(library)) == 1
        opened(library, made).delete()
        assert tables(library) == []


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Records of pictures: of each an upright one, a cut one, a mirrored one."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        picture = drawn.picture(seed)
        drawn.write(folder / f"{seed}.png", picture)
        drawn.write(folder / f"{seed}.jpg", picture[8:, 8:], quality=60)
        drawn.write(folder / f"{seed}-turned.png", picture[:, ::-1])
    return fingerprint([str(path) for path in sorted(folder.iterdir())], "auto")


@pytest.mark.parametrize("sizes", [FEW, GRAPHS], ids=["one by one", "graphs"])
def test_records_of_auto_are_found_as_brute_force_finds_them(url, real, sizes):
    # More than a search of a graph takes.
    others = np.zeros(200, RECORD)
    others["vectors"] = np.random.default_rng(0).integers(-127, 128, others["vectors"].shape)
    values = np.concatenate([real.values, others.view(np.uint8).reshape(200, -1)])
    many = Prints(real.spec, values, np.ones(len(values), np.float32))
    with filled(url, Of(many.spec), many, sizes) as library:
        assert len(tables(library)) == 1
        for at in (0, 4, 8):
            query = some(many, [at])
            near = opened(library, Of(many.spec), sizes).search_prints(query, threshold=0.5)[0]
            assert told(near) == best(many, query, None, 0.5)
            assert len(near) >= 2
