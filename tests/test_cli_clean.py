"""Cleaning up from the command line, on real pictures."""

import json
import os

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from imkin.cli import clean, decide, lay
from imkin.cli.options import Setup
from imkin.errors import UsageError
from imkin.library import Library


@pytest.fixture
def program():
    """The commands of this test alone."""
    app = typer.Typer(pretty_exceptions_enable=False)
    clean.register(app)
    decide.register(app)
    return app


def picture(seed, width=240, height=180):
    """Smooth blobs, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def place(tmp_path):
    photos = tmp_path / "photos"
    (photos / "backup").mkdir(parents=True)
    picture(1, 480, 360).save(photos / "boat.jpg", quality=92)
    picture(1).save(photos / "backup" / "boat-small.jpg", quality=80)
    (photos / "backup" / "boat-small.xmp").write_text("<x/>")
    picture(2).save(photos / "hill.png")
    picture(2).save(photos / "hill.jpg", quality=90)
    picture(3).save(photos / "alone.jpg", quality=90)
    return tmp_path


@pytest.fixture
def imkin(place, program, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    monkeypatch.chdir(place)

    def run(*arguments, code=0):
        done = CliRunner().invoke(program, list(map(str, arguments)), catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    return run


def content(place):
    return {str(path.relative_to(place)): path.read_bytes() for path in (place / "photos").rglob("*") if path.is_file()}


def test_without_apply_the_plan_is_shown_and_nothing_changes(imkin, place):
    before = content(place)
    done = imkin("clean", "photos")
    lines = done.stdout.splitlines()
    assert lines[0] == "group 1"
    assert "  keep             photos/boat.jpg  (largest: 480x360 (others at most 240x180))" in lines
    (gone,) = [line for line in lines if line.endswith("KB") and "boat-small.jpg" in line]
    assert gone.split()[0] == "trash"
    assert 0.9 <= float(gone.split()[1]) <= 1
    assert lines[lines.index(gone) + 1].split() == ["+", "photos/backup/boat-small.xmp"]
    assert lines[-1].startswith("trash: 2 files (")
    assert "nothing was changed; to do it: add --apply" in done.stderr
    assert content(place) == before


def test_apply_history_undo_and_back_to_the_start(imkin, place):
    before = content(place)
    done = imkin("clean", "photos", "--action", "delete", "--apply")
    assert "run 1: 2 done" in done.stderr
    assert "to take it back: imkin undo 1" in done.stderr
    assert {name for name in content(place) if ".imkin-held" not in name} == {
        "photos/boat.jpg",
        "photos/hill.png",
        "photos/alone.jpg",
    }
    assert imkin("history").stdout.splitlines()[1].split()[:2] == [
        "1",
        imkin("history").stdout.splitlines()[1].split()[1],
    ]
    listed = json.loads(imkin("history", "--json").stdout)
    assert [(run["run"], run["verb"], run["state"], len(run["rows"])) for run in listed] == [
        (1, "delete", "applied", 2)
    ]
    assert "done      " in imkin("history", "1").stdout
    assert "run 1: 2 undone, 0 not" in imkin("undo").stderr
    assert content(place) == before
    assert "nothing to undo" in imkin("undo", code=2).stderr


def test_a_plan_is_written_edited_and_applied(imkin, place):
    imkin("clean", "photos", "--plan-out", "plan.json")
    plan = json.loads((place / "plan.json").read_text())
    assert plan["verb"] == "trash"
    (hill,) = [group for group in plan["groups"] if "hill" in group[0]["path"]]
    (gone,) = [member for member in hill if member["do"] == "trash"]
    gone["do"] = "leave"
    (place / "plan.json").write_text(json.dumps(plan))
    assert "run 1: 1 done" in imkin("apply", "plan.json").stderr
    assert not (place / "photos/backup/boat-small.jpg").exists()
    assert (place / "photos/hill.jpg").exists()
    assert set(os.listdir(place / "data/Trash/files")) == {"boat-small.jpg", "boat-small.xmp"}
    done = imkin("apply", "plan.json")
    assert "skipped: photos/backup/boat-small.jpg: is not there any more" in done.stderr
    assert (
        "cannot write plan.json: there is something of that name"
        in imkin("clean", "photos", "--plan-out", "plan.json", code=2).stderr
    )


def test_a_tampered_plan_is_refused_whole(imkin, place):
    imkin("clean", "photos", "--plan-out", "plan.json")
    before = content(place)
    text = (place / "plan.json").read_text()
    (place / "plan.json").write_text(text.replace("hill.jpg", "alone.jpg"))
    assert "plan.json is refused, nothing was done: more was changed" in imkin("apply", "plan.json", code=2).stderr
    (place / "plan.json").write_text(text.replace('"imkin_plan": 1', '"imkin_plan": 9'))
    assert "plan version 9" in imkin("apply", "plan.json", code=2).stderr
    assert "cannot read the plan none.json" in imkin("apply", "none.json", code=2).stderr
    assert "name a plan file, or a run with --resume" in imkin("apply", code=2).stderr
    assert content(place) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--action", "shred"], "unknown action `shred`; known: trash, move:DIR, delete, hardlink, reflink, symlink"),
        (["--action", "move"], "is written `move:DIR`"),
        (["--keep", "bigest"], "unknown keep rule `bigest`; known: resolution, bytes"),
        (["--no-catalogue", "--apply"], "--apply needs the catalogue"),
        (["--grouping", "x"], "unknown grouping"),
    ],
)
def test_bad_words_are_refused_before_anything_is_read(imkin, place, arguments, says):
    done = imkin("clean", "photos", *arguments, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (place / "cache").exists()


def test_json_holds_the_plan_and_what_was_done(imkin, place):
    dry = json.loads(imkin("clean", "photos", "--json").stdout)
    assert dry["outcome"] is None
    assert dry["plan"]["roots"] == [str(place / "photos")]
    done = json.loads(imkin("clean", "photos", "--json", "--action", f"move:{place}/out", "--apply").stdout)
    assert [row["state"] for row in done["outcome"]["rows"]] == ["done", "done"]
    assert (place / "out/backup/boat-small.xmp").exists()


def test_keep_rules_and_folders_decide_who_stays(imkin, place):
    done = imkin("clean", "photos", "--keep", "path=backup,format=jpg")
    assert "keep             photos/backup/boat-small.jpg  (its path matches backup)" in done.stdout
    assert "keep             photos/hill.jpg  (preferred format: jpg (others png))" in done.stdout
    assert "trash: 1 file" in imkin("clean", "photos", "--keep-per-folder", "1").stdout


def test_a_reference_folder_is_never_touched(imkin, place):
    done = imkin("clean", "photos", "--reference", "photos/backup", "--keep", "resolution")
    assert "keep             photos/backup/boat-small.jpg  (in a reference folder" in done.stdout
    assert "trash: 1 file" in done.stdout


def test_what_was_marked_as_different_is_never_grouped_again(imkin, place):
    imkin("mark", "photos/boat.jpg", "photos/backup/boat-small.jpg", "--different")
    assert "boat" not in imkin("clean", "photos").stdout
    imkin("mark", "photos/alone.jpg", "photos/hill.png", "--same")
    done = imkin("clean", "photos", "--keep", "format=png")
    assert "photos/alone.jpg" in done.stdout
    os.rename(place / "photos", place / "moved")
    assert "boat" not in imkin("clean", "moved").stdout


def test_decisions_travel_between_machines(imkin, place):
    imkin("mark", "photos/boat.jpg", "photos/backup/boat-small.jpg", "photos/hill.png", "--different")
    imkin("decisions", "export", "mine.jsonl")
    assert (place / "mine.jsonl").read_text() == imkin("decisions", "export").stdout
    assert len((place / "mine.jsonl").read_text().splitlines()) == 3
    assert (
        "3 decisions read, 3 of them new"
        in imkin("decisions", "import", "mine.jsonl", "--catalogue", "other.sqlite").stderr
    )
    assert "boat" not in imkin("clean", "photos", "--catalogue", "other.sqlite").stdout
    (place / "bad.jsonl").write_text("nonsense\n")
    assert "bad.jsonl, line 1: no decision" in imkin("decisions", "import", "bad.jsonl", code=2).stderr
    assert "there is something of that name" in imkin("decisions", "export", "mine.jsonl", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photos/boat.jpg", "photos/hill.png"], "say what they are: --same or --different"),
        (["photos/boat.jpg", "--same"], "name two files or more"),
        (["photos/boat.jpg", "photos/boat.jpg", "--same"], "the same content, byte for byte"),
        (["photos/boat.jpg", "none.jpg", "--same"], "cannot read none.jpg"),
        (["photos/boat.jpg", "photos", "--same"], "cannot read photos"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(imkin, arguments, says):
    assert says in imkin("mark", *arguments, code=2).stderr


def test_purge_says_what_went_for_good(imkin, place):
    imkin("clean", "photos", "--action", "hardlink", "--apply")
    done = imkin("purge")
    assert done.stdout.startswith("purged 2 files (")
    assert not (place / "photos/.imkin-held").exists()
    assert imkin("purge").stdout.startswith("purged 0 files")


def test_the_report_shows_the_plan(imkin, place):
    imkin("clean", "photos", "--out", "report", "--action", "delete", "--apply")
    page = (place / "report/report.html").read_text()
    assert "keep: largest: 480x360 (others at most 240x180)" in page
    plan = json.loads((place / "report/plan.json").read_text())
    assert plan["verb"] == "delete"
    report = json.loads((place / "report/report.json").read_text())
    assert sorted(map(os.path.basename, report["photos_to_remove"])) == ["boat-small.jpg", "hill.jpg"]


def test_an_undo_that_cannot_put_everything_back_says_so_and_exits_with_3(imkin, place):
    imkin("clean", "photos", "--apply")
    (place / "photos/hill.jpg").write_text("new")
    done = imkin("undo", code=3)
    assert "not undone: photos/hill.jpg: there is something else at" in done.stderr
    assert (place / "photos/backup/boat-small.xmp").exists()


@pytest.mark.parametrize("mode", ["copy", "move", "link"])
def test_groups_are_laid_out_with_their_singles(place, monkeypatch, mode, capsys):
    monkeypatch.chdir(place)
    setup = Setup(catalogue=str(place / "catalogue.sqlite"))
    folders = {f"{each}_to": "out" if each == mode else None for each in ("copy", "move", "link")}
    layout = lay.layout_of(**folders, singles=True, into_existing=False, setup=setup)
    with Library() as library:
        scanned = library.scan(["photos"])
        result = library.group(scanned, library.kin(scanned, 0.9), threshold=0.9)
        outcome = lay.lay_out(layout, result, scanned, references=0, bundle=True, setup=setup)
    found = sorted(str(path.relative_to(place / "out")) for path in (place / "out").rglob("*") if not path.is_dir())
    assert found == [
        "group-0001/boat-small.jpg",
        "group-0001/boat-small.xmp",
        "group-0001/boat.jpg",
        "group-0002/hill.jpg",
        "group-0002/hill.png",
        "single-0001/alone.jpg",
    ]
    assert outcome.count("done") == 5
    assert ("to take it back: imkin undo 1" in capsys.readouterr().err) is (mode == "move")
    with pytest.raises(UsageError, match="out is not empty"):
        lay.layout_of(**folders, singles=True, into_existing=False, setup=setup)


def test_a_layout_that_cannot_be_is_refused():
    for wrong in (("a", "b", None), (None, None, None)):
        with pytest.raises(UsageError):
            lay.layout_of(*wrong, singles=True, into_existing=False, setup=Setup())
    with pytest.raises(UsageError, match="leave out --no-catalogue"):
        lay.layout_of(None, "a", None, singles=False, into_existing=False, setup=Setup(no_catalogue=True))
