"""Keep rules: each alone, in order, near ties, and what they say."""

import random
from dataclasses import replace

import pytest

from imkin.errors import UsageError
from imkin.policy import DEFAULT_RULES, Facts, Rule, choose, parse_rules
from imkin.policy.keep import family, matches
from imkin.types import File


def photo(path="a.jpg", *, size=1000, mtime_s=0, width=400, height=300, kind="JPEG"):
    return File(path, size, mtime_s * 10**9, "00" * 32, "00" * 20, width, height, kind)


def kept(files, rules, facts=None):
    index, reason = choose(files, parse_rules(rules), facts=facts)
    return files[index].path, reason


def test_the_largest_picture_is_kept_and_the_reason_gives_both_sizes():
    files = [photo("small", width=1600, height=1200), photo("large", width=4000, height=3000), photo("tiny")]
    assert kept(files, "resolution") == ("large", "largest: 4000x3000 (others at most 1600x1200)")


def test_pictures_within_two_percent_of_the_pixels_are_of_one_size():
    files = [photo("a", width=1000, height=980, size=5), photo("b", width=1000, height=1000, size=1)]
    assert kept(files, "resolution,bytes") == ("a", "largest file: 5 bytes (others at most 1)")
    files[0] = photo("a", width=1000, height=979, size=5)
    assert kept(files, "resolution,bytes")[0] == "b"


def test_each_rule_breaks_the_ties_of_the_one_before_and_every_narrowing_is_told():
    files = [photo("a", width=10), photo("b", size=7), photo("c", size=9), photo("d", size=9, mtime_s=-5)]
    assert kept(files, "resolution,bytes,oldest") == (
        "d",
        "largest: 400x300 (others at most 10x300); largest file: 9 bytes (others at most 7); "
        "oldest: 1969-12-31 23:59:55 UTC (others from 1970-01-01 00:00:00 UTC)",
    )


def test_a_rule_that_decides_nothing_says_nothing():
    assert kept([photo("a"), photo("b")], "resolution,bytes,oldest") == ("a", "the first of equals")
    assert kept([photo("a"), photo("b")], "resolution,first") == ("a", "the first of 2")
    assert kept([photo("a")], DEFAULT_RULES) == ("a", "the only one")


def test_formats_are_preferred_in_the_order_given():
    files = [
        photo("a.jpg"),
        photo("b.png", kind="PNG"),
        photo("c.heic", kind="HEIF"),
        photo("d.nef", kind="TIFF"),
        photo("e.webp", kind="WEBP"),
    ]
    assert kept(files, "format=raw,tiff,png") == ("d.nef", "preferred format: raw (others png)")
    assert kept(files[:3] + files[4:], "format=raw,tiff,png")[0] == "b.png"
    assert kept(files, "format=heif+jpeg,bytes")[0] == "c.heic"
    assert kept([files[4], files[0]], "format=png,jpg")[0] == "a.jpg"
    assert kept([files[4], files[1]], "format=gif,first")[0] == "e.webp"


def test_the_words_after_format_belong_to_it_until_the_next_rule():
    assert parse_rules("format=raw,TIFF,png,bytes,format=jpeg+heic,first") == (
        Rule("format", ("raw", "tiff", "png")),
        Rule("bytes"),
        Rule("format", ("jpg", "heic")),
        Rule("first"),
    )
    assert str(parse_rules("format=raw,tif")[0]) == "format=raw+tiff"


def test_the_default_rules_can_be_parsed():
    assert [rule.name for rule in parse_rules(DEFAULT_RULES)] == ["resolution", "quality", "bytes", "oldest", "first"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "resolutoin",
            "unknown keep rule `resolutoin`; known: resolution, bytes, format=raw,tiff,png,heic,jpg, quality, oldest, "
            "newest, exif, path=GLOB, not-path=GLOB, shortest-name, first; did you mean `resolution`?",
        ),
        ("", "unknown keep rule ``"),
        ("bytes,,first", "unknown keep rule ``"),
        ("path", "the keep rule `path` is written `path=GLOB`"),
        ("path=", "the keep rule `path=` is written `path=GLOB`"),
        ("bytes=3", "the keep rule `bytes=3` is written `bytes`"),
        ("bytes=", "the keep rule `bytes=` is written `bytes`"),
        ("format=docx", "unknown format `docx` in the keep rule `format=docx`; known: avif, bmp, gif, heic, ico, jp2"),
        ("png", "unknown keep rule `png`"),
        ("bytes,png", "unknown keep rule `png`"),
    ],
)
def test_a_wrong_rule_is_refused_and_the_known_ones_are_named(text, says):
    with pytest.raises(UsageError) as caught:
        parse_rules(text)
    assert str(caught.value).startswith(says)


def test_oldest_and_newest_go_by_the_time_of_last_change():
    files = [photo("a", mtime_s=50), photo("b", mtime_s=10), photo("c", mtime_s=90)]
    assert kept(files, "oldest") == (
        "b",
        "oldest: 1970-01-01 00:00:10 UTC (others from 1970-01-01 00:00:50 UTC)",
    )
    assert kept(files, "newest") == (
        "c",
        "newest: 1970-01-01 00:01:30 UTC (others until 1970-01-01 00:00:50 UTC)",
    )


def test_files_of_one_second_are_of_one_age():
    late, early = photo("a"), photo("b")
    late = replace(late, mtime_ns=late.mtime_ns + 999_999_999)
    assert kept([late, early], "oldest,first") == ("a", "the first of 2")
    assert kept([early, late], "newest,first") == ("b", "the first of 2")


def test_a_time_outside_the_calendar_is_told_in_seconds():
    files = [photo("a", mtime_s=10**15), photo("b")]
    assert kept(files, "newest") == ("a", f"newest: {10**15} s (others until 1970-01-01 00:00:00 UTC)")


def test_a_path_is_preferred_or_avoided_by_a_glob():
    files = [photo("/p/downloads/a.jpg"), photo("/p/albums/2020/b.jpg"), photo("/p/albums/c copy.jpg")]
    assert kept(files, "path=albums,not-path=*copy*") == (
        "/p/albums/2020/b.jpg",
        "its path matches albums; its path does not match *copy*",
    )
    assert kept(files, "not-path=/p/albums/*") == ("/p/downloads/a.jpg", "its path does not match /p/albums/*")


@pytest.mark.parametrize(
    ("glob", "hit"),
    [
        ("a.jpg", True),
        ("*.jpg", True),
        ("albums", True),
        ("p/albums", True),
        ("/p/albums/", True),
        ("2020/*", True),
        ("album", False),
        ("A.jpg", False),
        ("/albums", False),
    ],
)
def test_a_glob_matches_the_path_its_end_or_a_folder_above(glob, hit):
    assert matches("/p/albums/2020/a.jpg", glob) is hit


def test_the_shortest_name_counts_the_name_alone():
    files = [photo("/x/img-1 (1).jpg"), photo("/a/very/long/folder/img-1.jpg")]
    assert kept(files, "shortest-name") == (
        "/a/very/long/folder/img-1.jpg",
        "shortest name: 9 characters (others at least 13)",
    )


def test_quality_prefers_the_sharp_then_the_less_compressed():
    known = {
        "blurred": Facts(compression=1.0, blur=0.40),
        "coarse": Facts(compression=0.50, blur=0.31),
        "fine": Facts(compression=0.95, blur=0.33),
        "finer": Facts(compression=0.97, blur=0.34),
    }
    files = [photo(name) for name in known]
    assert kept(files, "quality,first", lambda file: known[file.path]) == (
        "fine",
        "sharpest: blur 0.31 (others at least 0.40); least compressed: 97% (others at most 50%); the first of 2",
    )


def test_quality_decides_nothing_where_it_cannot_be_known_for_all():
    known = {"a": Facts(), "b": Facts(compression=0.9, blur=0.1)}
    files = [photo("a"), photo("b")]
    assert kept(files, "quality,first", lambda file: known[file.path]) == ("a", "the first of 2")
    assert kept(files, "quality,exif,first") == ("a", "the first of 2")


def test_camera_data_is_preferred():
    files = [photo("a"), photo("b"), photo("c")]
    assert kept(files, "exif,first", lambda file: Facts(camera=file.path != "a")) == (
        "b",
        "has camera data (others have none); the first of 2",
    )


def test_facts_are_asked_only_for_files_that_are_still_tied():
    asked = []

    def measure(file):
        asked.append(file.path)
        return Facts()

    files = [photo("a", width=10), photo("b"), photo("c")]
    kept(files, "resolution,quality,first", measure)
    assert asked == ["b", "c"]
    asked.clear()
    kept(files, "shortest-name,first,quality", measure)
    assert asked == []


def test_the_choice_does_not_hang_on_the_order_unless_all_is_equal():
    rng = random.Random(4)
    files = [
        photo(f"{n:02}", size=rng.randrange(4), mtime_s=rng.randrange(3), width=rng.choice([400, 300]))
        for n in range(30)
    ]
    files.append(photo("winner", size=9, mtime_s=-1))
    for _ in range(20):
        rng.shuffle(files)
        assert kept(files, DEFAULT_RULES)[0] == "winner"


def test_choosing_from_nothing_is_an_error_of_the_program():
    with pytest.raises(ValueError, match="no files"):
        choose([], parse_rules("first"))


def test_a_raw_file_is_raw_whatever_its_container():
    assert family(photo("x.NEF", kind="TIFF")) == "raw"
    assert family(photo("x.jpg", kind="MPO")) == "jpg"
    assert family(photo("x.qoi", kind="QOI")) == "qoi"
