"""`imkin leaks`: near-duplicates across splits, labels that disagree, and a split without."""

import csv
import json
import os
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import imkin
from drawn import picture, write
from imkin.cli import app
from imkin.image import encode_png


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["leaks", *map(str, arguments)])


@pytest.fixture
def data(tmp_path):
    """train 1..6, val 7, 8 and a copy of 1, test 9, 10 and copies of 1 and 7, one of them of another class."""
    for seed in range(1, 7):
        write(tmp_path / "train" / ("cat" if seed % 2 else "dog") / f"{seed}.png", picture(seed))
    for seed in (7, 8):
        write(tmp_path / "val" / "cat" / f"{seed}.png", picture(seed))
    write(tmp_path / "val" / "cat" / "1.jpg", picture(1), quality=80)
    for seed in (9, 10):
        write(tmp_path / "test" / "dog" / f"{seed}.png", picture(seed))
    write(tmp_path / "test" / "cat" / "1.png", picture(1))
    write(tmp_path / "test" / "dog" / "7.jpg", picture(7), quality=80)
    return tmp_path


def test_every_image_of_a_later_split_that_an_earlier_one_has_is_a_leak(data):
    found = imkin.leaks([data / "train", data / "val", data / "test"], "phash")
    assert [(os.path.relpath(leak.path, data), os.path.relpath(leak.twin, data)) for leak in found.leaks] == [
        ("val/cat/1.jpg", "train/cat/1.png"),
        ("test/cat/1.png", "train/cat/1.png"),
        ("test/dog/7.jpg", "val/cat/7.png"),
    ]
    assert [(leak.split, leak.twin_split) for leak in found.leaks] == [
        ("val", "train"),
        ("test", "train"),
        ("test", "val"),
    ]
    assert found.leaks[1].similarity == 1.0
    assert found.splits == {"train": 6, "val": 3, "test": 4}
    assert found.conflicts == ()


def test_copies_inside_one_split_are_no_leak(data):
    write(data / "train" / "cat" / "again.jpg", picture(3), quality=70)
    write(data / "train" / "cat" / "third.jpg", picture(3), quality=60)
    (data / "clean").mkdir()
    write(data / "clean" / "11.png", picture(11))
    found = imkin.leaks([data / "train", data / "clean"], "phash")
    assert (found.leaks, found.repair.moves) == ((), ())


def test_a_file_that_is_linked_into_both_splits_is_a_leak(data):
    os.link(data / "train" / "dog" / "2.png", data / "test" / "hard.png")
    os.symlink(data / "train" / "dog" / "4.png", data / "test" / "soft.png")
    found = imkin.leaks([data / "train", data / "test"], "phash", wanted=imkin.Filter(follow_links=True))
    assert {os.path.basename(leak.path) for leak in found.leaks} == {"1.png", "hard.png", "soft.png"}


def test_the_repaired_split_has_no_leak(data):
    found = imkin.leaks([data / "train", data / "val", data / "test"], "phash", labels="folders")
    for image in found.repair.moves:
        assert image.split != image.was
    new = data / "new"
    for number, image in enumerate(found.repair.images):
        os.makedirs(new / image.split / image.label, exist_ok=True)
        os.link(image.path, new / image.split / image.label / f"{number}{os.path.splitext(image.path)[1]}")
    assert imkin.leaks([new / "train", new / "val", new / "test"], "phash").leaks == ()


def test_labels_that_disagree_inside_a_group_are_found_by_folders_and_by_a_table(run, data):
    folders = imkin.leaks([data / "train", data / "val", data / "test"], "phash", labels="folders")
    ((labels, members),) = [(conflict.labels, conflict.members) for conflict in folders.conflicts]
    assert labels == ("cat", "dog")
    assert [(os.path.basename(m.path), m.split, m.label) for m in members] == [
        ("7.png", "val", "cat"),
        ("7.jpg", "test", "dog"),
    ]
    table = data / "labels.csv"
    table.write_text("label,path\ncat,val/cat/7.png\ndog,./test/dog/7.jpg\ncat,elsewhere.png\n")
    by_table = imkin.leaks([data / "train", data / "val", data / "test"], "phash", labels=table)
    assert by_table.conflicts == folders.conflicts
    assert by_table.unlabelled == 11
    table.write_text(f"{data}/val/cat/7.png,cat\n{data}/test/dog/7.jpg,dog\n")
    assert (
        imkin.leaks([data / "train", data / "val", data / "test"], "phash", labels=table).conflicts == folders.conflicts
    )


def test_an_archive_is_a_split_with_class_folders_too(data):
    with zipfile.ZipFile(data / "test.zip", "w") as archive:
        archive.writestr("dog/1.png", encode_png(picture(1)))
    found = imkin.leaks([data / "train", data / "test.zip"], "phash", labels="folders")
    assert [(leak.label, leak.twin_label) for leak in found.leaks] == [("dog", "cat")]
    assert len(found.conflicts) == 1


@pytest.mark.parametrize(("limit", "code"), [(2, 1), (3, 0)])
def test_the_exit_code_is_1_past_the_limit_only_and_junit_agrees(run, data, limit, code):
    done = run("train", "val", "test", "--by", "phash", "--max-leaks", limit, "--junit", "out.xml")
    assert done.exit_code == code
    suite = ET.parse(data / "out.xml").getroot()
    assert suite.get("tests") == "3"
    assert suite.get("failures") == ("3" if code else "0")
    assert suite.get("skipped") == ("0" if code else "3")
    (case,) = [case for case in suite.iter("testcase") if case.get("name") == "test/cat/1.png"]
    assert case[0].get("message") == "near-duplicate of train/cat/1.png in train, similarity 1.0000"
    assert run("train", "val", "--by", "phash", "--max-leaks", 9, "--junit", "out.xml").exit_code == 0, "it is replaced"


def test_conflicts_fail_only_where_a_limit_is_given(run, data):
    arguments = ["val", "test", "--by", "phash", "--labels", "folders", "--max-leaks", "9"]
    assert run(*arguments).exit_code == 0
    assert run(*arguments, "--max-conflicts", "1").exit_code == 0
    assert run(*arguments, "--max-conflicts", "0").exit_code == 1


def test_json_is_what_the_python_call_returns_and_the_split_is_written_as_csv(run, data):
    done = run("train", "test", "--by", "phash", "--labels", "folders", "--json", "--split-out", "split.csv")
    found = imkin.leaks(["train", "test"], "phash", labels="folders")
    assert json.loads(done.stdout) == found.to_dict()
    with open(data / "split.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "was", "split", "label"]
    assert [tuple(row) for row in rows[1:]] == [(i.path, i.was, i.split, i.label) for i in found.repair.images]


def test_a_name_that_xml_cannot_hold_still_makes_a_file_that_parses(run, data):
    os.link(data / "train" / "cat" / "1.png", os.fsencode(data / "test") + b'/a\x01<\xff&".png')
    assert run("train", "test", "--by", "phash", "--junit", "out.xml").exit_code == 1
    names = [case.get("name") for case in ET.parse(data / "out.xml").getroot().iter("testcase")]
    assert 'test/a�<�&".png' in names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "two splits or more"),
        (["train", "nowhere"], "cannot read nowhere"),
        (["train", "train/cat"], "lies in train"),
        (["train", "./train"], "lies in"),
        (["train", "empty"], "no image could be read in empty"),
        (["train", "test", "--labels", "nowhere.csv"], "cannot read nowhere.csv"),
        (["train", "test", "--labels", "other.csv"], "none of the labels"),
        (["train", "test", "--labels", "three.csv"], "needs the columns"),
        (["train", "test", "--labels", "twice.csv"], "two labels"),
        (["train", "test", "--split-out", "other.csv"], "nothing is overwritten"),
        (["train", "test", "--junit", "other.csv"], "nothing is overwritten"),
        (["train", "test", "--junit", "no/where.xml"], "no folder no"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(run, data, arguments, words):
    (data / "empty").mkdir()
    (data / "other.csv").write_text("path,label\nno.png,cat\n")
    (data / "three.csv").write_text("a,b,c\n1,2,3\n")
    (data / "twice.csv").write_text("path,label\nno.png,cat\nno.png,dog\n")
    before = sorted(path.name for path in data.iterdir())
    done = run(*arguments, "--by", "phash")
    assert done.exit_code == 2
    assert words in done.stderr
    assert sorted(path.name for path in data.iterdir() if path.name != "cache") == before


def test_the_hook_for_pre_commit_names_a_command_that_is_there():
    hook = (Path(__file__).parents[1] / ".pre-commit-hooks.yaml").read_text()
    entry = next(line.split(": ")[1] for line in hook.splitlines() if line.strip().startswith("entry:"))
    program, command = entry.split()
    assert program == "imkin"
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
