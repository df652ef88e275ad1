"""Collections: what is added is found at once, what is removed never again, and every similarity is the oracle's."""

import os
import shutil

import numpy as np
import pytest

import drawn
from imkin import Collection, Library, metric, prints
from imkin.errors import MissingPathError, UsageError
from imkin.prints.auto import RECORD
from imkin.segments import Sizes
from imkin.testing import scene
from imkin.types import QUALITY_FLOOR, Prints

METHODS = ("exact", "ahash", "phash", "pdq", "vote", "kin")


@pytest.fixture
def library(any_catalogue):
    with Library(any_catalogue, jobs=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(6):
        drawn.write(folder / f"{seed}.png", drawn.picture(seed))
    return folder


def unit(values):
    values = values.reshape(len(values), -1, 8)
    return (values / np.linalg.norm(values, axis=2, keepdims=True)).reshape(len(values), -1).astype(np.float32)


def vectors(spec, n, seed=0):
    """n random vectors in families of five, one in eight of low quality."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n // 5, spec.dim)).repeat(5, axis=0) + rng.normal(size=(n // 5 * 5, spec.dim)) / 3
    quality = np.where(np.arange(len(values)) % 8 == 7, QUALITY_FLOOR / 2, 1).astype(np.float32)
    return Prints(spec, unit(values), quality)


class OfVectors:
    """A fingerprinter whose values are given, not made."""

    def __init__(self, regions):
        params = {"regions": regions, "region_cost": 0.03} if regions > 1 else {}
        self.spec = prints.spec("phash").__class__("given", 1, "unit vector", 8 * regions, 0.8, 8, params)

    def embed_batch(self, images):
        raise AssertionError("nothing is to be embedded")


def shas(n, start=0):
    return [f"{number:064x}" for number in range(start, start + n)]


def names(found):
    return [os.path.basename(match.name) for match in found]


@pytest.mark.parametrize("method", METHODS)
def test_an_added_image_is_found_as_itself_first(library, pictures, method):
    collection = Collection(library, "a", by=method)
    added = collection.add([str(pictures)])
    assert (added.added, added.known, added.failures, len(collection)) == (6, 0, (), 6)
    found = collection.search(str(pictures / "3.png"), top=3)
    assert found[0].name == str(pictures / "3.png")
    assert found[0].similarity == 1.0
    assert [match.similarity for match in found] == sorted((match.similarity for match in found), reverse=True)


@pytest.mark.parametrize("method", METHODS)
def test_similarities_are_those_of_the_oracle(library, pictures, method):
    collection = Collection(library, "a", by=method)
    collection.add([str(pictures)])
    scanned = library.fingerprint([str(pictures)], method)
    expected = metric.similarity(scanned.prints, scanned.prints)
    for at, file in enumerate(scanned.files):
        order = sorted(range(6), key=lambda j: (-expected[at, j], j))
        found = collection.search(file.path, top=6)
        assert [(m.sha256, m.similarity) for m in found] == [
            (scanned.files[j].sha256, float(expected[at, j])) for j in order
        ]


@pytest.mark.parametrize("regions", [1, 6])
@pytest.mark.parametrize("top", [1, 10, 100, None])
def test_many_vectors_are_ranked_as_by_brute_force(library, regions, top):
    made = OfVectors(regions)
    collection = Collection(library, "a", by=made)
    many, queries = vectors(made.spec, 1000), vectors(made.spec, 20, seed=0)
    collection.add_prints(many, shas(1000), [f"n{number}" for number in range(1000)])
    expected = metric.similarity(queries, many)
    expected[:, many.quality < QUALITY_FLOOR] = -1
    threshold = 0.7
    for at, found in enumerate(collection.search_prints(queries, top=top, threshold=threshold)):
        order = np.lexsort((np.arange(1000), -expected[at]))
        order = order[expected[at, order] >= threshold]
        if queries.quality[at] < QUALITY_FLOOR:
            assert found == ()
            continue
        assert len(order) >= 4  # the family
        assert [(m.name, m.similarity) for m in found] == [(f"n{j}", float(expected[at, j])) for j in order[:top]]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The records of five pictures, a piece of each and a turned one."""
    folder = tmp_path_factory.mktemp("records")
    for seed in range(5):
        whole = drawn.picture(seed, width=320, height=240)
        drawn.write(folder / f"{seed}.png", whole)
        drawn.write(folder / f"{seed} cut.jpg", whole[40:200, 60:280], quality=70)
        drawn.write(folder / f"{seed} turned.jpg", np.rot90(whole), quality=70)
    with Library(None, jobs=1) as library:
        return library.fingerprint([str(folder)], "auto")


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(exact_vectors=6)], ids=["memory", "graphs"])
def test_auto_finds_copies_by_the_vectors_in_its_records_and_measures_the_whole_record(tmp_path, records, sizes):
    expected = metric.similarity(records.prints, records.prints)
    with Library(str(tmp_path / "c.sqlite"), jobs=1) as library:
        collection = Collection(library, "a", by="auto", sizes=sizes)
        collection.add_prints(records.prints, shas(15), shas(15))
        assert len(list(tmp_path.glob("c.sqlite.index/*.graph"))) == (6 if sizes.exact_vectors == 6 else 0)
        for at, found in enumerate(collection.search_prints(records.prints, threshold=0.5)):
            order = [j for j in np.lexsort((np.arange(15), -expected[at])).tolist() if expected[at, j] >= 0.5]
            assert [(m.name, m.similarity) for m in found] == [(shas(15)[j], float(expected[at, j])) for j in order]
        assert [int(row.sum()) for row in expected >= 0.5] == [3] * 15
        (best,) = collection.search_prints(Prints(records.prints.spec, *(x[:1] for x in (
            records.prints.values, records.prints.quality))), top=3)  # fmt: skip
        assert {match.name for match in best} == {shas(15)[j] for j in np.flatnonzero(expected[0] >= 0.5)}


def test_auto_finds_an_equal_record_whose_regions_are_unlike_its_whole(tmp_path, records):
    rows = records.prints.values[:3].copy().view(RECORD)
    rows["vectors"][:, :, 1:] = np.where(np.arange(rows["vectors"].shape[3]) % 2, -90, 90)
    made = Prints(records.prints.spec, rows.view(np.uint8).reshape(3, -1), records.prints.quality[:3])
    with Library(str(tmp_path / "c.sqlite"), jobs=1) as library:
        collection = Collection(library, "a", by="auto")
        collection.add_prints(made, shas(3), shas(3))
        for at, found in enumerate(collection.search_prints(made, threshold=0.99)):
            assert (found[0].name, found[0].similarity) == (shas(3)[at], 1.0)


def test_a_threshold_is_met_by_a_similarity_that_equals_it(library):
    spec = prints.spec("phash")
    codes = np.packbits(np.tri(9, 64, -1).astype(np.uint8), axis=1)  # 0..8 bits set
    collection = Collection(library, "a", by="phash")
    collection.add_prints(Prints(spec, codes, np.ones(9, np.float32)), shas(9), [str(n) for n in range(9)])
    query = Prints(spec, codes[:1], np.ones(1, np.float32))
    (found,) = collection.search_prints(query, threshold=1 - 6 / 64)
    assert [match.name for match in found] == ["0", "1", "2", "3", "4", "5", "6"]


def test_a_search_changes_nothing_and_bytes_leave_no_trace(library, pictures):
    collection = Collection(library, "a")
    collection.add([str(pictures)])
    data = (pictures / "2.png").read_bytes()
    assert names(collection.search(data, top=1)) == ["2.png"]
    assert names(collection.search(b"GIF89a nothing" if False else data, top=1)) == ["2.png"]
    assert library.database.execute("SELECT count(*) FROM files") == [(6,)]
    assert len(collection) == 6


def test_what_is_there_is_not_read_again(library, pictures, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(pictures, folder)
    Collection(library, "a").add([str(folder)])
    drawn.write(folder / "new.png", drawn.picture(50))
    added = Collection(library, "a").add([str(folder)])
    assert (added.added, added.known) == (1, 6)


def test_a_changed_file_replaces_what_was_under_its_path(library, tmp_path):
    path = drawn.write(tmp_path / "a.png", drawn.picture(1))
    collection = Collection(library, "a")
    collection.add([path])
    old = (tmp_path / "a.png").read_bytes()
    drawn.write(tmp_path / "a.png", drawn.picture(2))
    assert collection.add([path]).replaced == 1
    assert len(collection) == 1
    assert collection.search(old, threshold=1.0) == ()
    assert collection.search(path, threshold=1.0)[0].name == path


def test_a_moved_file_is_found_under_its_new_path_though_another_took_its_place(library, tmp_path):
    path = drawn.write(tmp_path / "a.png", drawn.picture(1))
    collection = Collection(library, "a")
    collection.add([path])
    os.rename(path, tmp_path / "b.png")
    drawn.write(tmp_path / "a.png", drawn.picture(2))
    added = collection.add([str(tmp_path)])
    assert (added.added, added.known, added.replaced) == (1, 1, 0)
    assert collection.search(str(tmp_path / "b.png"), top=1)[0].name == str(tmp_path / "b.png")


def test_uploads_of_one_name_are_all_kept(library, pictures):
    collection = Collection(library, "a")
    data = [(pictures / f"{seed}.png").read_bytes() for seed in range(3)]
    added = collection.add_bytes([("image.jpg", each) for each in data] + [("again.jpg", data[0]), ("no", b"nothing")])
    assert (added.added, [failure.path for failure in added.failures]) == (3, ["no"])
    assert collection.search(data[0], top=1)[0].name == "again.jpg"
    assert collection.search(data[1], top=1)[0].name == "image.jpg"


def test_what_is_removed_is_found_no_more_by_content_path_or_folder(library, pictures, tmp_path):
    for name in ("x/0.png", "x/y/1.png", "xy/2.png", "3.png", "4.png"):
        drawn.write(tmp_path / name, drawn.picture(int(name[-5])))
    collection = Collection(library, "a")
    collection.add([str(tmp_path)])
    other = Collection(library, "a")
    assert names(other.search(str(tmp_path / "x/0.png"), top=1)) == ["0.png"]
    sha256 = collection.search(str(tmp_path / "3.png"), top=1)[0].sha256
    assert collection.remove([str(tmp_path / "x"), sha256]) == 3
    assert sorted(names(other.search(str(tmp_path / "x/0.png"), top=9))) == ["2.png", "4.png"]
    assert [os.path.basename(member.name) for member in other.members()] == ["4.png", "2.png"]
    with pytest.raises(UsageError, match="no member"):
        collection.remove([str(tmp_path / "4.png"), str(tmp_path / "gone.png")])
    assert len(collection) == 2


def test_removing_most_members_leaves_the_others_to_be_found(library):
    made = OfVectors(1)
    many = vectors(made.spec, 5000)
    collection = Collection(library, "a", by=made)
    collection.add_prints(many, shas(5000), shas(5000))
    query = Prints(made.spec, many.values[:1], many.quality[:1])
    assert collection.search_prints(query, top=1)[0][0].name == shas(1)[0]
    collection.remove(shas(4900))
    expected = metric.similarity(query, Prints(made.spec, many.values[4900:], many.quality[4900:]))[0]
    expected[many.quality[4900:] < QUALITY_FLOOR] = -1
    found = collection.search_prints(query, top=3)[0]
    assert [match.similarity for match in found] == sorted(expected.tolist(), reverse=True)[:3]


def test_a_blank_image_is_found_by_its_bytes_alone(library, tmp_path):
    for level in (10, 12):
        drawn.write(tmp_path / f"{level}.png", np.full((90, 90, 3), level, np.uint8))
    drawn.write(tmp_path / "scene.png", scene(1, 90, 90))
    collection = Collection(library, "a")
    added = collection.add([str(tmp_path)])
    assert len(added.low_quality) == 2
    assert names(collection.search(str(tmp_path / "10.png"))) == ["10.png"]
    assert names(collection.search(str(tmp_path / "scene.png"))) == ["scene.png"]


def test_search_each_answers_for_every_image_and_names_the_failures(library, pictures, tmp_path):
    collection = Collection(library, "a")
    collection.add([str(pictures)])
    shutil.copy(pictures / "1.png", tmp_path / "q.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    found = list(collection.search_each([str(tmp_path / "q.png"), str(tmp_path / "bad.jpg")], top=1))
    assert found[0].path.endswith("bad.jpg")
    file, low, matches = found[1]
    assert (os.path.basename(file.path), low, names(matches)) == ("q.png", False, ["1.png"])


def test_collections_have_names_and_keep_their_method(library, pictures):
    Collection(library, "b", by="pdq").add([str(pictures)])
    Collection(library, "a", by="phash", turns=True)
    assert [(each.name, each.method, len(each)) for each in Collection.all(library)] == [
        ("a", "phash", 0),
        ("b", "pdq", 6),
    ]
    assert Collection(library, "b").spec.name == "pdq"
    Collection(library, "a").add([str(pictures)])
    assert len(Collection(library, "a")) == 6
    with pytest.raises(UsageError, match="was made by `pdq"):
        Collection(library, "b", by="phash")
    with pytest.raises(UsageError, match="there is no collection `c`; these are there: `a`, `b`"):
        Collection(library, "c", create=False)
    Collection(library, "b").delete()
    assert [each.name for each in Collection.all(library)] == ["a"]


@pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 101])
def test_a_name_must_be_one(library, name):
    with pytest.raises(UsageError, match="printable"):
        Collection(library, name)


def test_what_cannot_be_is_said(library, pictures):
    collection = Collection(library, "a")
    with pytest.raises(MissingPathError):
        collection.add([str(pictures / "gone")])
    with pytest.raises(UsageError, match="one image"):
        collection.search(str(pictures))
    with pytest.raises(UsageError, match="cannot search for the image"):
        collection.search(b"nothing")
    with pytest.raises(UsageError, match="a similarity in"):
        collection.search(str(pictures / "1.png"), threshold=1.5)
    with pytest.raises(UsageError, match="at least 1"):
        collection.search(str(pictures / "1.png"), top=0)
    with pytest.raises(UsageError, match="keeps no fingerprints"):
        Collection(library, "s", by="ssim")
    collection.delete()
    with pytest.raises(UsageError, match="deleted"):
        collection.search(str(pictures / "1.png"))


def test_a_search_in_an_empty_collection_finds_nothing(library, pictures):
    assert Collection(library, "a").search(str(pictures / "1.png")) == ()
