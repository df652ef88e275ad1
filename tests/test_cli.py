"""The command line, as a process, on real files."""

import csv
import io
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

import imkin
from drawn import picture, write

# Where the method does not matter: the quickest to begin.
PHASH = ("--by", "phash")


@pytest.fixture
def run(tmp_path):
    """Run imkin in an empty folder with a catalogue of its own; returns the finished process."""
    home = tmp_path / "cwd"
    home.mkdir()

    def run_imkin(*arguments, **options):
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "imkin", *map(str, arguments)],
            cwd=home,
            env=environment,
            capture_output=True,
            timeout=120,
            **options,
        )

    run_imkin.home = home
    return run_imkin


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for seed in (1, 2):
        write(root / "a" / f"{seed}.png", picture(seed))
        write(root / "b" / f"{seed}.jpg", picture(seed), quality=70)
    write(root / "a" / "single.png", picture(3))
    return root


def test_group_prints_groups_and_a_summary_and_writes_a_report(run, photos):
    done = run("group", photos)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "group 1: 2 images" in text
    assert "unique images               3" in text
    (folder,) = (run.home / "imkin-out").iterdir()
    assert {path.name for path in folder.iterdir()} == {"report.json", "pairs.csv", "report.html", "collage.jpg"}
    assert f"report: imkin-out/{folder.name}/report.html" in done.stderr.decode()
    run("group", photos)
    assert len(list((run.home / "imkin-out").iterdir())) == 2


def test_json_is_what_the_python_call_returns(run, photos):
    done = run("group", photos, *PHASH, "--json", "--threshold", "0.8", "--grouping", "star")
    assert json.loads(done.stdout) == imkin.group(photos, by="phash", threshold=0.8, grouping="star").to_dict()
    assert list(run.home.iterdir()) == []


def test_the_report_holds_the_same_object_and_the_facts_of_the_run(run, photos):
    run("group", photos / "a", photos / "b", "--across", *PHASH, "--out", "out", "--sample", "1.0")
    report = json.loads((run.home / "out" / "report.json").read_bytes())
    printed = json.loads(run("group", photos / "a", photos / "b", "--across", *PHASH, "--json").stdout)
    assert {key: report[key] for key in printed} == printed
    assert report["folder_list"] == [str(photos / "a"), str(photos / "b")]
    assert (report["compare_mode"], report["compare_scope"]) == ("full", "inter_folder")
    assert report["total_images_in_folders"] == 5
    assert report["number_of_similar_pairs"] == len(report["similar_pairs"]) == 2
    assert report["number_of_unique_groups"] == 2
    assert len(report["photos_to_remove"]) == 2


def test_an_older_report_is_never_overwritten(run, photos):
    assert run("group", photos, *PHASH, "--out", "out").returncode == 0
    before = (run.home / "out" / "report.json").read_bytes()
    done = run("group", photos, *PHASH, "--out", "out")
    assert done.returncode == 2
    assert b"holds a report already" in done.stderr
    assert (run.home / "out" / "report.json").read_bytes() == before


def test_pairs_are_csv_or_json_lines(run, photos):
    rows = list(csv.reader(io.StringIO(run("pairs", photos, *PHASH).stdout.decode())))
    assert rows[0] == ["a", "b", "similarity"]
    lines = [json.loads(line) for line in run("pairs", photos, *PHASH, "--json").stdout.splitlines()]
    assert [(row[0], row[1]) for row in rows[1:]] == [(line["a"], line["b"]) for line in lines]
    assert len(lines) == 2


def test_pairs_into_a_closed_pipe_end_quietly(photos):
    with subprocess.Popen(
        [sys.executable, "-m", "imkin", "pairs", photos, "--no-catalogue", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_rank_writes_one_file_an_image_with_itself_first(run, photos):
    shutil.copy(photos / "a" / "1.png", photos / "b" / "single.png")
    done = run("rank", photos, "--by", "phash", "--out", "ranks", "--vectors", "vectors")
    assert done.returncode == 0
    rows = (
        json.loads((run.home / "ranks" / "2.json").read_bytes()) if (run.home / "ranks" / "2.json").exists() else None
    )
    assert rows is None, "two images are called 2: their names must tell them apart"
    written = sorted(path.name for path in (run.home / "ranks").iterdir())
    assert len(written) == 6
    for path in (run.home / "ranks").iterdir():
        rows = json.loads(path.read_bytes())
        assert rows[0]["similarity"] == 1.0
        assert len(rows) == 6
        assert sorted((row["similarity"] for row in rows), reverse=True) == [row["similarity"] for row in rows]
    vectors = [np.load(path) for path in (run.home / "vectors").iterdir()]
    assert len(vectors) == 6
    assert all(vector.shape == (8,) and vector.dtype == np.uint8 for vector in vectors)
    assert run("rank", photos, *PHASH, "--out", "ranks").returncode == 2


def test_rank_of_a_query_lists_its_kin(run, photos, tmp_path):
    query = write(tmp_path / "query.jpg", picture(2), quality=40)
    done = run("rank", photos, "--query", query, "--top", "2")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == query
    assert {line.split()[1] for line in lines[1:]} == {str(photos / "a" / "2.png"), str(photos / "b" / "2.jpg")}


def test_compare_tells_every_method_and_draws_the_difference(run, photos):
    done = run("compare", photos / "a" / "1.png", photos / "b" / "1.jpg", "--diff", "diff.png", "--json")
    found = json.loads(done.stdout)
    assert [method["name"] for method in found["methods"]] == list(imkin.methods())
    assert (run.home / "diff.png").read_bytes().startswith(b"\x89PNG")


def test_methods_lists_all(run):
    text = run("methods").stdout.decode()
    assert all(name in text for name in imkin.methods())


def test_demo_finds_the_copies_it_drew(run):
    done = run("demo", "there")
    assert done.returncode == 0
    report = json.loads((run.home / "there" / "report" / "report.json").read_bytes())
    assert report["summary"]["groups"] >= 15
    assert len(report["failures"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["group", "nowhere"], "cannot read nowhere"),
        (["group", "{photos}", "nowhere"], "cannot read nowhere"),
        (["group", "{empty}"], "no images in"),
        (["group", "{photos}", "--by", "pahsh"], "nearest: phash"),
        (["group", "{photos}", "--threshold", "1.5"], "0..1"),
        (["group", "{photos}", "--threshold", "-0.1"], "0..1"),
        (["group", "{photos}", "--by", "phash", "--max-bits", "65"], "0..64"),
        (["group", "{photos}", "--grouping", "heap"], "transitive, star, clique"),
        (["group", "{photos}", "--sample", "0"], "over 0"),
        (["group", "{photos}", "--across"], "at least two"),
        (["group", "{photos}", "--reference", "nowhere"], "cannot read nowhere"),
        (["group", "{photos}", "--formats", "docx"], "unknown image format"),
        (["group", "{photos}", "--keep", "prettiest"], "prettiest"),
        (["group", "{photos}", "--out", "/dev/null/out"], "cannot make the folder"),
        (["group", "{photos}", "--catalogue", "/dev/null/c"], "catalogue"),
        (["group", "{photos}", "--log-file", "/dev/null/log"], "cannot write the log"),
        (["group", "{photos}", "--jobs", "0"], "jobs"),
        (["group", "{loop}"], "cannot read"),
        (["pairs", "{photos}", "--by", "ssim", "--max-bits", "3"], "no bits"),
        (["rank", "{photos}", "--top", "0"], "at least 1"),
        (["rank", "{photos}", "--top", "some"], "valid integer"),
        (["group", "{photos}", "--by-name"], "No such option"),
        (["grup", "{photos}"], "No such command 'grup'. Did you mean 'group'?"),
        (["group"], "Missing argument"),
        (["rank", "{photos}", "--query", "{text}"], "text"),
        (["compare", "{photos}/a/1.png", "{text}"], "text"),
        (["compare", "{photos}/a/1.png", "nowhere.png"], "cannot read nowhere.png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(run, photos, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "loop").symlink_to("loop")
    places = {"photos": photos, "empty": tmp_path / "empty", "text": tmp_path / "text.jpg", "loop": tmp_path / "loop"}
    done = run(*(argument.format(**places) for argument in arguments))
    (line,) = [line for line in done.stderr.decode().splitlines() if line.startswith("imkin: ")]
    assert "Usage" not in done.stderr.decode()
    assert words in line
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert list(run.home.iterdir()) == []


def test_exit_codes_tell_what_was_found_and_what_failed(run, photos):
    assert run("group", photos, *PHASH, "--json", "--fail-if-found").returncode == 1
    assert run("pairs", photos, *PHASH, "--fail-if-found").returncode == 1
    assert run("pairs", photos / "a", *PHASH, "--fail-if-found").returncode == 0
    (photos / "bad.jpg").write_text("bad")
    assert run("group", photos, *PHASH, "--json").returncode == 0
    done = run("group", photos, *PHASH, "--json", "--strict")
    assert done.returncode == 3
    assert b"bad.jpg: not an image: text" in done.stderr


def test_quiet_says_nothing_and_the_log_tells_all(run, photos):
    (photos / "bad.jpg").write_text("bad")
    done = run("pairs", photos, *PHASH, "-q", "--log-file", "log.txt")
    assert done.stderr == b""
    log = (run.home / "log.txt").read_text()
    assert "bad.jpg" in log
    assert "5 images" in log


def test_names_that_are_not_utf8_survive(run, photos):
    name = os.fsencode(photos) + b"/caf\xe9.png"
    shutil.copy(photos / "a" / "1.png", name)
    found = json.loads(run("group", photos, *PHASH, "--json").stdout)
    paths = {os.fsencode(member["path"]) for group in found["groups"] for member in group["members"]}
    assert name in paths
    assert name in run("pairs", photos, *PHASH).stdout
    assert run("group", photos, *PHASH, "--out", "out").returncode == 0


def test_only_the_wanted_files_are_looked_at(run, photos):
    hidden = photos / ".trash" / "1.png"
    write(hidden, picture(1))
    os.symlink(photos / "a", photos / "link")
    os.symlink(photos, photos / "a" / "loop")
    shutil.copy(photos / "a" / "1.png", photos / "noending")
    (photos / "notes.txt").write_text("not an image and not meant to be one")

    def paths(*options):
        found = json.loads(run("rank", photos, *PHASH, "--json", "--top", "99", *options).stdout.splitlines()[0])
        return sorted(os.path.relpath(kin["path"], photos) for kin in [found, *found["kin"]])

    assert paths() == ["a/1.png", "a/2.png", "a/single.png", "b/1.jpg", "b/2.jpg", "noending"]
    assert paths("--no-recursive") == ["noending"]
    assert ".trash/1.png" in paths("--hidden")
    assert paths("--follow-links") == paths()
    assert paths("--include", "*.JPG") == ["b/1.jpg", "b/2.jpg"]
    assert paths("--include", "a/*") == ["a/1.png", "a/2.png", "a/single.png"]
    assert paths("--exclude", "a", "--exclude", "no*") == ["b/1.jpg", "b/2.jpg"]
    assert "notes.txt" not in paths("--min-size", "5")


def test_a_name_with_control_characters_stays_on_its_line(run, tmp_path):
    folder = tmp_path / "odd"
    for name in ("a\nb.png", "c\x1b[31m.png", "d\udcff.png"):
        write(folder / name, picture(1))
    done = run("group", folder, *PHASH, "--out", "out")
    lines = done.stdout.split(b"\n")
    assert [line.split(b"/")[-1].split()[0] for line in lines[1:4]] == [b"a\\nb.png", b"c\\x1b[31m.png", b"d\xff.png"]
    for arguments in (["rank", folder, *PHASH], ["compare", folder / "a\nb.png", folder / "c\x1b[31m.png"]):
        assert b"a\\nb.png" in (found := run(*arguments).stdout)
        assert b"\x1b" not in found
    plan = run("clean", folder, *PHASH).stdout
    assert b"a\\nb.png" in plan
    assert b"\x1b" not in plan


def test_a_full_disk_is_an_error_and_leaves_no_half_report(run, photos):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    done = run("group", photos, *PHASH, "--no-catalogue", "--out", "out", preexec_fn=limit)
    assert done.returncode == 2
    assert b"cannot write" in done.stderr
    assert not (run.home / "out").exists()
    for command in (["rank", photos, *PHASH, "--no-catalogue", "--out", "out/ranks"], ["demo", "there"]):
        done = run(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
        assert done.returncode == 2
        assert b"cannot write" in done.stderr
        assert list(run.home.iterdir()) == []
    with open("/dev/full", "wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "imkin", "group", photos, *PHASH, "--json", "--no-catalogue"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert process.returncode == 2
    assert b"No space left" in process.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough noise to keep a scan busy for some seconds."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("many")
    for number in range(4):
        write(root / f"{number}.png", rng.integers(0, 256, (700, 700, 3), dtype=np.uint8))
    for copy in range(50):
        for number in range(4):
            data = (root / f"{number}.png").read_bytes()
            # Bytes behind the end of a PNG change the content but not the picture.
            (root / f"{number}-{copy}.png").write_bytes(data + bytes([copy]))
    return root


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_scan_keeps_what_was_done(many, tmp_path, ending):
    catalogue = tmp_path / "c.sqlite"
    command = [sys.executable, "-m", "imkin", "pairs", many, *PHASH, "--catalogue", catalogue, "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while _saved(catalogue) < 20:
            assert process.poll() is None
            time.sleep(0.05)
        started = time.monotonic()
        process.send_signal(ending)
        process.wait(30)
        took = time.monotonic() - started
        words = process.stderr.read()
    saved = _saved(catalogue)
    assert 20 <= saved < 204
    assert process.returncode == (130 if ending == signal.SIGINT else -9)
    if ending == signal.SIGINT:
        assert b"interrupted" in words
        assert took < 5, "a second on a free machine"
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert f"{saved} reused".encode() in done.stderr


def test_two_processes_may_scan_at_once(many, tmp_path):
    command = [sys.executable, "-m", "imkin", "pairs", many, *PHASH, "--catalogue", tmp_path / "c.sqlite"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0][0] == answers[1][0]
    assert _saved(tmp_path / "c.sqlite") == 204


def _saved(catalogue) -> int:
    if not catalogue.exists():
        return 0
    connection = sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT count(*) FROM prints").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
