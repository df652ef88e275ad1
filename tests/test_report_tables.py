"""report.json, pairs.csv and the one function that writes files."""

import csv
import io
import json
import os
import stat
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from imkin.errors import OutputError
from imkin.report.csv import csv_lines, write_csv
from imkin.report.files import shown, write_atomic
from imkin.report.json import Run, json_lines, report_object, result_json, write_json
from imkin.result import Group, Member, Pair, Result, Summary
from imkin.types import Failure

ODD = os.fsdecode(b'a/caf\xe9 "x", y.jpg')
RUN = Run(
    timestamp=datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=2))),
    folder_list=("a", "b"),
    total_images_in_folders=10,
    compare_mode="sample",
    sample_ratio=0.3,
    compare_scope="inter_folder",
)


def member(path: str, similarity: float | None = None) -> Member:
    return Member(path, "0" * 64, "1" * 40, 640, 480, 1000, similarity, removable=similarity is not None)


def result() -> Result:
    first = Group(
        "a/1.jpg", "largest picture", (member("a/1.jpg"), member(ODD, 0.984375)), (Pair("a/1.jpg", ODD, 0.984375),)
    )
    second = Group("b/3.jpg", "oldest", (member("b/3.jpg"), member("b/4.jpg", 1.0)), (Pair("b/3.jpg", "b/4.jpg", 1.0),))
    return Result(
        schema=1,
        method="phash",
        threshold=0.9,
        grouping="transitive",
        images=5,
        failures=(Failure("b/text.jpg", "decode", "not an image"),),
        low_quality=("a/blank.png",),
        groups=(first, second),
        summary=Summary(pairs=2, groups=2, unique_images=3, removable=2, removable_bytes=2000),
    )


def test_the_written_report_is_the_report_object_key_for_key(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_json(str(target), result(), RUN, removable=[ODD, "b/4.jpg"])
    read = json.loads(target.read_bytes())
    expected = json.loads(json.dumps(report_object(result(), RUN, removable=[ODD, "b/4.jpg"])))
    assert list(read.items()) == list(expected.items())


def test_the_report_object_holds_the_keys_that_other_programs_read() -> None:
    read = report_object(result(), RUN, removable=[ODD, "b/4.jpg"])
    assert read["timestamp"] == "2024-05-06T07:08:09+02:00"
    assert read["folder_list"] == ["a", "b"]
    assert read["total_images_in_folders"] == 10
    assert (read["compare_mode"], read["sample_ratio"], read["compare_scope"]) == ("sample", 0.3, "inter_folder")
    assert (read["number_of_similar_pairs"], read["number_of_unique_groups"]) == (2, 2)
    assert read["photos_to_remove"] == [ODD, "b/4.jpg"]
    assert read["similar_pairs"] == [
        {"index": 0, "image1": "a/1.jpg", "image2": ODD, "similarity_score": 0.9844},
        {"index": 1, "image1": "b/3.jpg", "image2": "b/4.jpg", "similarity_score": 1.0},
    ]


def test_json_text_of_a_result_is_its_dictionary_also_when_it_is_empty() -> None:
    empty = replace(result(), failures=(), low_quality=(), groups=())
    for each in (result(), empty):
        text = "".join(result_json(each))
        assert text.isascii()
        assert text.endswith("}\n")
        assert list(json.loads(text).items()) == list(json.loads(json.dumps(each.to_dict())).items())


def test_a_name_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_json(str(target), result(), RUN, removable=[ODD])
    assert os.fsencode(json.loads(target.read_bytes())["photos_to_remove"][0]) == b'a/caf\xe9 "x", y.jpg'
    assert json.loads(next(iter(json_lines([Pair(ODD, "b", 0.5)])))) == {"a": ODD, "b": "b", "similarity": 0.5}


def test_a_run_without_a_zone_or_with_an_impossible_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Run(datetime(2024, 1, 1), ("a",), 1)
    for ratio in (0.0, 1.01):
        with pytest.raises(ValueError, match="sample_ratio"):
            Run(datetime(2024, 1, 1, tzinfo=UTC), ("a",), 1, sample_ratio=ratio)


def test_writing_many_pairs_needs_no_second_copy_of_them(tmp_path: Path) -> None:
    pairs = tuple(Pair("one.jpg", "two.jpg", 0.95) for _ in range(2_000))
    many = tuple(Group("one.jpg", "", (member("one.jpg"),), pairs) for _ in range(10))
    whole = replace(result(), groups=many)
    tracemalloc.start()
    write_json(str(tmp_path / "report.json"), whole, RUN, removable=[])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # 20,000 pairs as dictionaries alone are over 5 MB; one group's are 0.5 MB
    assert json.loads((tmp_path / "report.json").read_bytes())["number_of_similar_pairs"] == 20_000


def test_csv_holds_a_pair_a_line_with_four_decimals() -> None:
    assert "".join(csv_lines([Pair("a.jpg", "b.jpg", 0.984375), Pair("a.jpg", "c.jpg", 1.0)])) == (
        "a,b,similarity\na.jpg,b.jpg,0.9844\na.jpg,c.jpg,1.0000\n"
    )


def test_csv_survives_every_character_a_name_may_hold(tmp_path: Path) -> None:
    names = ['q"uote', "com,ma", "line\nfeed", "carriage\rreturn", "both\r\n", "=1+1", " blank ", "é", ODD, "\ud800"]
    target = tmp_path / "pairs.csv"
    write_csv(str(target), [Pair(name, "x", 0.5) for name in names])
    assert b"caf\xe9" in target.read_bytes()
    text = target.read_bytes().replace("\ud800".encode("utf-8", "surrogatepass"), b"LONE")
    rows = list(csv.reader(io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")))
    assert rows[0] == ["a", "b", "similarity"]
    assert rows[1:] == [[name.replace("\ud800", "LONE"), "x", "0.5000"] for name in names]


def test_an_older_file_is_replaced_in_one_step_and_only_by_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomic(str(target), [b"old"])

    def breaks() -> object:
        yield b"half"
        assert target.read_bytes() == b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(str(target), breaks())
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]
    write_atomic(str(target), [b"n", b"ew"])
    assert target.read_bytes() == b"new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write .*missing/report.json: No such file or directory$"):
        write_atomic(str(tmp_path / "missing" / "report.json"), [b"x"])
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"^cannot write .*folder: "):
        write_atomic(str(tmp_path / "folder"), [b"x"])
    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    def full() -> object:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        write_atomic(str(tmp_path / "report.json"), full())
    assert os.listdir(tmp_path) == []


def test_names_are_shown_with_a_mark_for_each_byte_that_is_no_text() -> None:
    assert shown(os.fsdecode(b"caf\xe9\xff \xc3\xa9 \xf0\x9f\x98\x80")) == "caf\ufffd\ufffd é 😀"
