"""Multi-index hashing: whatever it finds is what comparing every code finds, at every radius and number of results."""

import numpy as np
import pytest

from imkin import Collection, Library
from imkin.join.multi_index import MultiIndex
from imkin.prints import spec
from imkin.types import Prints

N = 4000


@pytest.fixture(autouse=True, params=[0, 100], ids=["tables", "tables while they pay"])
def look_up(request, monkeypatch):
    """Tables to the end, whatever they cost, and as they are used."""
    monkeypatch.setattr("imkin.join.multi_index.LOOK_UP", request.param)


def oracle(codes, code, count, most):
    apart = np.array([int.from_bytes(bytes(each ^ code), "big").bit_count() for each in codes])
    order = np.lexsort((np.arange(len(codes)), apart))
    order = order[apart[order] <= most]
    limit = apart[order[count - 1]] if len(order) > count else most
    order = order[apart[order] <= limit]
    return order.tolist(), apart[order].tolist()


def flipped(rng, code, bits):
    """The code with so many of its bits the other way round."""
    changed = np.unpackbits(code)
    changed[rng.choice(len(changed), bits, replace=False)] ^= 1
    return np.packbits(changed)


def planted(length, radii, seed=0):
    """Random codes with some at each radius of the first, in random places: (codes, place of each planted one)."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (N, length // 8), np.uint8)
    places = rng.choice(np.arange(1, N), len(radii), replace=False)
    for place, radius in zip(places.tolist(), radii, strict=True):
        codes[place] = flipped(rng, codes[0], radius)
    return codes, places.tolist()


@pytest.mark.parametrize(("length", "radius"), [(64, 6), (64, 11), (64, 15), (256, 30), (256, 31), (256, 47)])
def test_what_is_within_a_radius_is_found_and_nothing_else(length, radius):
    radii = [0, 1, radius - 1, radius - 1, radius, radius, radius, radius + 1, radius + 1]
    codes, places = planted(length, radii)
    positions, bits = MultiIndex(codes).best(codes[0], N, most=radius)
    assert (positions.tolist(), bits.tolist()) == oracle(codes, codes[0], N, radius)
    inside = {place for place, at in zip(places, radii, strict=True) if at <= radius}
    assert inside == set(positions.tolist()) - {0}
    assert len(inside) == 7


@pytest.mark.parametrize("length", [64, 256])
@pytest.mark.parametrize("count", [1, 2, 7, 10, 100, 5000])
def test_the_nearest_are_found_with_all_that_are_as_near(length, count):
    codes, _ = planted(length, [0, 3, 3, 4, 9, 9, 9, 12, 13, 14, 17, 20])
    rng = np.random.default_rng(1)
    index = MultiIndex(codes)
    for query in (codes[0], flipped(rng, codes[0], 2), codes[77], rng.integers(0, 256, length // 8, np.uint8)):
        positions, bits = index.best(query, count, most=length)
        assert (positions.tolist(), bits.tolist()) == oracle(codes, query, count, length)


def test_many_equal_codes_and_codes_that_agree_in_most_pieces_lose_nothing():
    rng = np.random.default_rng(2)
    codes = np.zeros((N, 8), np.uint8)
    codes[: N // 2, 7] = rng.integers(0, 256, N // 2)
    index = MultiIndex(codes)
    for count, most in ((1, 64), (3, 2), (N, 1)):
        positions, bits = index.best(codes[3], count, most=most)
        assert (positions.tolist(), bits.tolist()) == oracle(codes, codes[3], count, most)


def test_a_collection_of_many_hashes_is_searched_through_tables_and_answers_as_without(tmp_path, monkeypatch):
    codes, places = planted(64, [0, 1, 5, 6, 7])
    made = Prints(spec("phash"), codes, np.ones(N, np.float32))
    shas = [f"{at:064x}" for at in range(N)]
    queries = Prints(made.spec, codes[[0, 1, *places]], np.ones(2 + len(places), np.float32))
    with Library(str(tmp_path / "c.sqlite")) as library:
        plain = Collection(library, "plain", by="phash")
        plain.add_prints(made, shas, shas)
        expected = [
            plain.search_prints(queries, top=top, threshold=least) for top, least in ((8, 0.0), (None, 58 / 64))
        ]
        monkeypatch.setattr("imkin.nearby.FEW", 1000)
        tabled = Collection(library, "tabled", by="phash")
        tabled.add_prints(Prints(made.spec, codes[:3000], made.quality[:3000]), shas[:3000], shas[:3000])
        tabled.search_prints(queries)
        assert len(tabled._index.view().tables) == 3000
        tabled.add_prints(Prints(made.spec, codes[3000:], made.quality[3000:]), shas[3000:], shas[3000:])
        assert [tabled.search_prints(queries, top=8), tabled.search_prints(queries, threshold=58 / 64)] == expected
        assert len(tabled._index.view().tables) == 3000
        assert len(expected[1][0]) == 5
        tabled.remove([shas[places[1]]])
        assert shas[places[1]] not in {match.sha256 for match in tabled.search_prints(queries, top=8)[0]}
    with Library(str(tmp_path / "c.sqlite")) as library:
        again = Collection(library, "tabled", create=False)
        assert [match.sha256 for match in again.search_prints(queries, top=1)[0]] == [shas[0]]
        assert len(again._index.view().tables) == N - 1
