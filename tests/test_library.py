"""The main job, on real files."""

import itertools
import json
import os
import shutil

import numpy as np
import pytest

import imkin
from drawn import picture, write
from imkin.errors import CatalogueError, MissingPathError, UsageError
from imkin.result import rounded


@pytest.fixture
def photos(tmp_path):
    """Two families of three and a single, in two folders."""
    root = tmp_path / "photos"
    for seed in (1, 2):
        write(root / "a" / f"{seed}.png", picture(seed))
        write(root / "b" / f"{seed}.jpg", picture(seed), quality=60)
        write(root / "b" / f"{seed} small.png", picture(seed)[::2, ::2].copy())
    write(root / "a" / "single.png", picture(3))
    return root


def names(group):
    return sorted(os.path.basename(member.path) for member in group.members)


def test_copies_and_edits_are_grouped_and_singles_are_not(photos):
    result = imkin.group(photos)
    assert [names(group) for group in result.groups] == [
        ["1 small.png", "1.jpg", "1.png"],
        ["2 small.png", "2.jpg", "2.png"],
    ]
    assert result.images == 7
    assert result.summary.pairs == 6
    assert result.summary.unique_images == 3
    assert result.summary.removable == 4
    assert result.groups[0].members[0].path == result.groups[0].keeper
    assert result.groups[0].members[0].similarity == 1.0


@pytest.mark.parametrize("by", [name for name in imkin.methods() if name not in ("exact",)])
def test_pairs_are_those_of_the_slow_definition(photos, by):
    prints = imkin.fingerprint(sorted(str(path) for path in photos.rglob("*.*")), by=by)
    similar = imkin.similarity(prints, prints)
    for threshold in (0.0, 0.55, 0.9, 1.0):
        found = {(pair.a, pair.b): pair.similarity for pair in imkin.pairs(photos, by, threshold=threshold)}
        expected = {
            (prints.paths[i], prints.paths[j]): float(similar[i, j])
            for i, j in itertools.combinations(range(len(prints)), 2)
            if similar[i, j] >= threshold
        }
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("by", [name for name in imkin.methods() if name not in ("exact", "ssim", "kin", "auto")])
def test_turned_and_mirrored_copies_are_found_on_request(tmp_path, by):
    write(tmp_path / "a.png", picture(5))
    for turn in range(1, 4):
        write(tmp_path / f"turned{turn}.png", np.rot90(picture(5), turn).copy())
    write(tmp_path / "mirrored.png", picture(5)[:, ::-1].copy())
    write(tmp_path / "other.png", picture(6))
    assert len(imkin.group(tmp_path, by).groups) == 0
    (group,) = imkin.group(tmp_path, by, turns=True).groups
    assert len(group.members) == 5
    prints = imkin.fingerprint([tmp_path], by=by, turns=True)
    similar = imkin.similarity(prints, prints)
    found = imkin.pairs(tmp_path, by, turns=True)
    assert {(p.a, p.b): p.similarity for p in found} == pytest.approx(
        {
            (prints.paths[i], prints.paths[j]): float(similar[i, j])
            for i, j in itertools.combinations(range(6), 2)
            if similar[i, j] >= prints.spec.default_threshold
        }
    )


def test_equal_bytes_are_found_also_where_a_picture_is_blank(tmp_path):
    blank = np.full((50, 50, 3), 200, np.uint8)
    write(tmp_path / "a.png", blank)
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "c.png", blank[:40])
    result = imkin.group(tmp_path)
    assert [names(group) for group in result.groups] == [["a.png", "b.png"]]
    assert [os.path.basename(path) for path in result.low_quality] == ["a.png", "b.png", "c.png"]


def test_a_bad_file_is_a_failure_and_matches_nothing(photos):
    whole = (photos / "a" / "1.png").read_bytes()
    for name in ("cut1.png", "cut2.png"):
        (photos / name).write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_text("no picture")
    result = imkin.group(photos)
    assert sorted(os.path.basename(failure.path) for failure in result.failures) == ["cut1.png", "cut2.png", "text.jpg"]
    assert {failure.stage for failure in result.failures} == {"decode"}
    assert not any("cut" in member.path for group in result.groups for member in group.members)


def test_across_compares_only_between_the_roots(photos):
    result = imkin.group([photos / "a", photos / "b"], scope=imkin.Scope(across=True))
    assert [len(group.members) for group in result.groups] == [3, 3]
    for group in result.groups:
        assert all(os.path.dirname(pair.a) != os.path.dirname(pair.b) for pair in group.pairs)
    with pytest.raises(UsageError, match="at least two"):
        imkin.group([photos], scope=imkin.Scope(across=True))


def test_a_reference_is_kept_and_compared_with_the_others_only(photos):
    write(photos / "b" / "extra" / "1 again.png", picture(1))
    result = imkin.group(photos / "b", scope=imkin.Scope(reference=(str(photos / "a"),)))
    for group in result.groups:
        assert group.keeper.startswith(str(photos / "a"))
        assert all("/b/" in member.path for member in group.members if member.removable)
        assert all(("/a/" in pair.a) != ("/a/" in pair.b) for pair in group.pairs)
    assert len(result.removable) == 5


def test_a_sample_is_a_share_and_the_same_for_the_same_seed(photos):
    sample = imkin.Sample(0.5, seed=3)
    first = imkin.group(photos, threshold=0.0, sample=sample)
    assert first.images == 4
    assert first == imkin.group(photos, threshold=0.0, sample=sample)
    others = [imkin.group(photos, threshold=0.0, sample=imkin.Sample(0.5, seed=seed)).groups for seed in range(4, 9)]
    assert any(other != first.groups for other in others)


def test_a_second_run_reads_no_pixels_and_answers_the_same(photos, tmp_path):
    with imkin.Library(str(tmp_path / "cat" / "c.sqlite")) as library:
        first = library.scan([str(photos)])
        assert (first.made, first.copied, first.reused) == (7, 0, 0)
    shutil.copytree(photos, tmp_path / "copy")
    with imkin.Library(str(tmp_path / "cat" / "c.sqlite")) as library:
        again = library.scan([str(photos)])
        assert (again.made, again.copied, again.reused) == (0, 0, 7)
        assert again.files == first.files
        assert (again.prints.values == first.prints.values).all()
        assert library.scan([str(tmp_path / "copy")]).copied == 7
        other = library.scan([str(photos)], "dhash")
        assert other.made == 7


def test_a_changed_file_is_read_again(photos, tmp_path):
    catalogue = tmp_path / "c.sqlite"
    before = imkin.group(photos, catalogue=catalogue)
    write(photos / "a" / "1.png", picture(9))
    os.utime(photos / "a" / "1.png", ns=(1, 1))
    after = imkin.group(photos, catalogue=catalogue)
    assert len(before.groups[0].members) == 3
    assert [names(group) for group in after.groups] == [["2 small.png", "2.jpg", "2.png"], ["1 small.png", "1.jpg"]]


def test_failures_are_remembered_for_the_same_limits_only(tmp_path):
    write(tmp_path / "p" / "large.png", picture(1, width=100, height=100))
    catalogue = tmp_path / "c.sqlite"
    small = imkin.Limits(max_pixels=9_999)
    for _ in range(2):
        assert len(imkin.group(tmp_path / "p", catalogue=catalogue, limits=small).failures) == 1
    assert imkin.group(tmp_path / "p", catalogue=catalogue).images == 1
    assert len(imkin.group(tmp_path / "p", catalogue=catalogue, limits=small).failures) == 1


def test_the_answer_is_the_same_on_any_number_of_threads(photos):
    results = [imkin.group(photos, jobs=jobs).to_dict() for jobs in (1, 2, 5)]
    assert results[0] == results[1] == results[2]
    assert json.loads(json.dumps(results[0])) == results[0]


def test_prints_keep_the_order_of_the_paths_and_list_bad_files(photos):
    bad = photos / "bad.jpg"
    bad.write_bytes(b"no")
    paths = [photos / "b" / "2.jpg", bad, photos / "a" / "1.png", photos / "a" / "1.png"]
    prints = imkin.fingerprint(paths, by="phash")
    assert prints.paths == (str(paths[0]), str(paths[2]), str(paths[3]))
    assert prints.values.shape == (3, 8)
    assert prints.values.dtype == np.uint8
    assert [failure.path for failure in prints.failures] == [str(bad)]


def test_rank_puts_the_image_itself_first_and_then_its_kin(photos):
    ranking = imkin.rank(photos, top=2, query=[photos / "a" / "1.png"])
    ((path, kin),) = ranking.items()
    assert path == str(photos / "a" / "1.png") == kin[0][0]
    assert kin[0][1] == 1.0
    assert sorted(os.path.basename(name) for name, _ in kin[1:]) == ["1 small.png", "1.jpg"]
    assert len(imkin.rank(photos)) == 7
    assert all(len(kin) == 7 for kin in imkin.rank(photos).values())


def test_compare_tells_every_method(photos):
    found = imkin.compare(photos / "a" / "1.png", photos / "b" / "1.jpg")
    assert [method.name for method in found.methods] == list(imkin.methods())
    assert {m.name: m.similarity >= m.threshold for m in found.methods} == {
        name: name != "exact" for name in imkin.methods()
    }
    assert (found.a.format, found.b.format) == ("PNG", "JPEG")


def test_wrong_use_is_an_error_that_says_what_is_right(photos, tmp_path):
    with pytest.raises(MissingPathError, match="nowhere"):
        imkin.group([photos, tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"unknown method `pahsh`.*nearest: phash"):
        imkin.group(photos, "pahsh")
    with pytest.raises(UsageError, match=r"0\.\.1"):
        imkin.group(photos, threshold=1.5)
    with pytest.raises(UsageError, match="not both"):
        imkin.group(photos, threshold=0.5, max_bits=4)
    with pytest.raises(UsageError, match="no images in"):
        (tmp_path / "empty").mkdir()
        imkin.group(tmp_path / "empty")


def test_a_damaged_newer_or_foreign_catalogue_is_an_error_and_is_left_alone(photos, tmp_path):
    import sqlite3

    damaged, newer, foreign = (tmp_path / name for name in ("damaged", "newer", "foreign"))
    damaged.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    imkin.group(photos, catalogue=newer)
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    for path, words in ((damaged, "damaged"), (newer, "schema 999"), (foreign, "another program")):
        before = path.read_bytes()
        with pytest.raises(CatalogueError, match=words):
            imkin.group(photos, catalogue=path)
        assert path.read_bytes() == before


def test_a_thousand_copies_are_one_compact_group(tmp_path):
    data = write(tmp_path / "0.png", picture(1))
    for number in range(1, 1000):
        os.link(data, tmp_path / f"{number}.png") if number % 2 else shutil.copy(data, tmp_path / f"{number}.png")
    result = imkin.group(tmp_path)
    # Hard links are one file.
    assert result.images == 500
    (group,) = result.groups
    assert len(group.members) == 500
    assert len(group.pairs) == 499
    assert len(result.removable) == 499


def test_a_file_in_two_roots_belongs_to_the_inner_one(photos):
    found = imkin.pairs([photos, photos / "b"], scope=imkin.Scope(across=True))
    assert len(found) == 4
    assert all(("/b/" in pair.a) != ("/b/" in pair.b) for pair in found)


def test_only_what_is_the_same_is_shown_as_one():
    assert (rounded(1.0), rounded(0.99999), rounded(0.12345)) == (1.0, 0.9999, 0.1235)
