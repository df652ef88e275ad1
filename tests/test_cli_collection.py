"""`imkin collection` as a person uses it."""

import json

import pytest
from typer.testing import CliRunner

import drawn
from imkin.cli import app


@pytest.fixture
def run(tmp_path):
    def call(*words, code=0):
        done = CliRunner().invoke(app, ["collection", *words, "--catalogue", str(tmp_path / "c.sqlite")])
        assert done.exit_code == code, done.output
        return done

    return call


@pytest.fixture
def photos(tmp_path):
    for seed in range(3):
        drawn.write(tmp_path / "photos" / f"{seed}.png", drawn.picture(seed))
    drawn.write(tmp_path / "copy.jpg", drawn.picture(1), quality=60)
    drawn.write(tmp_path / "other.png", drawn.picture(9))
    return tmp_path


def test_a_collection_is_filled_searched_thinned_and_deleted(run, photos):
    assert "3 added, 0 known; 3 images by pdq" in run("add", "a", str(photos / "photos"), "--by", "pdq").stderr
    assert "0 added, 3 known" in run("add", "a", str(photos / "photos")).stderr
    lines = run("search", "a", str(photos / "copy.jpg"), "--top", "2").stdout.splitlines()
    assert lines[0] == str(photos / "copy.jpg")
    assert lines[1].startswith("* ")
    assert lines[1].endswith(f"  {photos / 'photos' / '1.png'}")
    assert lines[2].startswith("  ")
    assert json.loads(run("list", "--json").stdout) == [{"name": "a", "method": "pdq", "images": 3}]
    rows = [line.split("  ") for line in run("members", "a").stdout.splitlines()]
    assert [name for _, name in rows] == [str(photos / "photos" / f"{seed}.png") for seed in range(3)]
    assert "2 removed; 1 images" in run("remove", "a", rows[0][0], str(photos / "photos" / "1.png")).stderr
    assert "no member" in run("remove", "a", rows[0][0], code=2).stderr
    run("delete", "a")
    assert run("list").stdout == ""


def test_the_exit_code_tells_whether_an_image_is_known(run, photos):
    run("add", "a", str(photos / "photos"))
    found = run("search", "a", str(photos / "copy.jpg"), "--json", "--fail-if-found", code=1)
    assert json.loads(found.stdout)["matches"][0]["name"] == str(photos / "photos" / "1.png")
    none = run("search", "a", str(photos / "other.png"), "--threshold", "0.9", "--json", "--fail-if-found")
    assert json.loads(none.stdout)["matches"] == []


def test_what_cannot_be_is_one_line_and_exit_code_2(run, photos):
    assert "there is no collection `a`; these are there: none" in run("search", "a", str(photos), code=2).stderr
    run("add", "a", str(photos / "photos"))
    assert "a similarity in 0..1" in run("search", "a", str(photos), "--threshold", "7", code=2).stderr
    assert "cannot read" in run("add", "a", str(photos / "gone"), code=2).stderr
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    run("add", "a", str(photos / "bad.jpg"), "--strict", code=3)
    run("search", "a", str(photos / "bad.jpg"), "--strict", code=3)
