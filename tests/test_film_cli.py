import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import film
import imkin
from imkin.cli import app
from imkin.cli.film import seconds
from imkin.errors import UsageError
from test_video_groups import gray, shot


@pytest.fixture(autouse=True)
def no_traces(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def clip(tmp_path):
    return film.write(tmp_path / "clip.mp4", film.scenes(1, 2, 1, 3))


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """An original, a trimmed gray copy of it, a stranger, and a file that is no video."""
    folder = tmp_path_factory.mktemp("family")
    film.write(folder / "original.mp4", shot(1), rate=15)
    film.write(folder / "copy.mp4", gray(shot(1)[30:]), rate=15)
    film.write(folder / "stranger.mp4", shot(2), rate=15)
    (folder / "broken.mp4").write_bytes(b"no video" * 100)
    return folder


def run(*args: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_frames_writes_a_folder_for_each_video_and_says_where(clip):
    code, told, _ = run("frames", clip, "--out", "out")
    assert (code, told) == (0, f"{clip}: 3 of 48 frames kept: out/clip/timeline.html\n")
    assert sorted(os.listdir("out/clip")) == [
        *("frame0000000.jpg", "frame0000012.jpg", "frame0000036.jpg"),
        *("frames.json", "timeline.html"),
    ]


@pytest.mark.parametrize(
    ("options", "kept", "looked_at"),
    [
        (["--skip", 10], [0, 20, 40], 5),
        (["--every", "0.5s"], [0, 13, 38], 4),
        (["--keyframes"], [0, 36], 2),
        (["--max-frames", 2], [0, 12], None),
        (["--threshold", 0], [0], 48),
        (["--by", "pdq", "--crop", 0.85], [0, 12, 36], 48),
    ],
)
def test_the_options_of_frames_mean_what_they_say(clip, options, kept, looked_at):
    code, told, _ = run("frames", clip, "--out", "out", "--json", *options)
    (video,) = json.loads(told)["videos"]
    assert code == 0
    assert [frame["frame"] for frame in video["frames"]] == kept
    assert looked_at in (None, video["looked_at"])


def test_together_leaves_out_what_an_earlier_video_showed(clip, tmp_path):
    second = film.write(tmp_path / "second.mp4", film.scenes(2, 4))
    _, alone, _ = run("frames", clip, second, "--out", "alone")
    _, told, _ = run("frames", clip, second, "--out", "out", "--together")
    assert f"{second}: 2 of 24" in alone
    assert f"{second}: 1 of 24" in told


def test_a_video_that_cannot_be_read_is_a_failure_and_the_others_are_done(clip, tmp_path):
    sound = film.write_sound(tmp_path / "sound.mp4")
    code, told, said = run("frames", sound, clip, "--out", "out", "--strict")
    assert code == 3
    assert told.startswith(f"{clip}: 3 of 48")
    assert said == f"failed: {sound}: no moving pictures in it, only sound\n"


def test_a_second_run_says_what_was_done_already(clip):
    run("frames", clip, "--out", "out")
    code, told, said = run("frames", clip, "--out", "out")
    assert (code, said) == (0, "1 of 1 videos were done already\n")
    assert told.startswith(f"{clip}: 3 of 48")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every", "soon"], "--every is a time such as 0.5s, 500ms or 2min, not soon"),
        (["--every", "0"], "every must be over 0 seconds, not 0.0"),
        (["--skip", 2, "--keyframes"], "give one of skip, every and keyframes"),
        (["--crop", 0], "crop must be over 0 and at most 1, not 0.0"),
        (["--max-frames", 0], "max frames must be at least 1, not 0"),
        (["--threshold", 7], "a threshold is a similarity in 0..1, not 7.0"),
        (["--by", "exact"], "method `exact` compares files"),
        (["--by", "pahsh"], "unknown method `pahsh`"),
        (["nowhere"], "cannot read nowhere: no such file or folder"),
    ],
)
def test_wrong_use_of_frames_is_one_line_and_writes_nothing(clip, options, message):
    code, told, said = run("frames", clip, "--out", "out", *options)
    assert (code, told) == (2, "")
    assert said.startswith(f"imkin: {message}")
    assert said.count("\n") == 1
    assert os.listdir() == []


def test_times_are_read_as_people_write_them():
    assert [seconds(text) for text in ("0.5s", "500ms", "0.5", " 2 min", "1M", ".5S")] == [0.5, 0.5, 0.5, 120, 60, 0.5]
    for text in ("", "s", "-1s", "1h", "1e3"):
        with pytest.raises(UsageError):
            seconds(text)


def test_the_python_calls_return_what_the_commands_print(clip, family):
    _, told, _ = run("frames", clip, "--out", "out", "--json", "--every", "0.5s")
    done = imkin.frames(clip, "python", every_s=0.5)
    assert json.dumps(done.to_dict()).replace("python/", "out/") == told.strip()
    _, told, _ = run("group", "--videos", family, "--json")
    assert json.loads(told) == json.loads(json.dumps(imkin.group_videos(family).to_dict()))
    assert not os.path.exists("imkin-out")


def test_group_videos_prints_the_families_and_what_they_share(family):
    code, told, said = run("group", "--videos", family, "--no-report", "--fail-if-found")
    assert code == 1
    lines = told.splitlines()
    assert lines[0] == "group 1: 2 videos"
    assert re.match(rf"    keep  {family}/original.mp4  +128x96  00:00:05.9 ", lines[1])
    assert re.match(rf"   [01]\.\d{{3}}  {family}/copy.mp4  +128x96  00:00:03.9 ", lines[2])
    shared = re.fullmatch(
        rf"          00:00:00\.\d-00:00:0(.*) is 00:00:0(.*)-00:00:0(.*) of {family}/original.mp4", lines[3]
    )
    assert [float(time) for time in shared.groups()] == pytest.approx([3.9, 2.0, 5.9], abs=0.3)
    assert "videos                      3" in lines
    assert said == f"failed: {family}/broken.mp4: no video, or a damaged one\n"
    assert os.listdir() == []


def test_group_videos_writes_a_report_with_the_shared_moments(family):
    code, _, said = run("group", "--videos", family, "--out", "report")
    assert code == 0
    assert "report: report/report.html" in said
    assert sorted(os.listdir("report")) == ["pairs.csv", "report.html", "report.json"]
    page = Path("report/report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    assert "original.mp4 at 00:00:0" in page
    assert "1 video could not be read" in page
    assert "script" not in page
    rows = Path("report/pairs.csv").read_text().splitlines()
    assert rows[0] == "a,b,similarity,share,a_start_s,a_end_s,b_start_s,b_end_s,speed"
    assert rows[1].startswith(f"{family}/copy.mp4,{family}/original.mp4,")
    report = json.loads(Path("report/report.json").read_text())
    assert (report["videos"], report["folder_list"]) == (3, [str(family)])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--by", "pdq"], "--by"),
        (["--turns"], "--turns"),
        (["--across"], "--across"),
        (["--sample", 0.5], "--sample"),
        (["--grouping", "star"], "--grouping"),
        (["--keep", "largest"], "--keep"),
        (["--move-to", "x"], "--move-to"),
    ],
)
def test_options_of_images_do_not_go_with_videos(family, options, named):
    code, told, said = run("group", "--videos", family, *options)
    assert (code, told, said) == (2, "", f"imkin: {named} goes with images, not with --videos\n")


def test_without_the_extra_the_command_says_what_to_install(clip):
    code = "import sys; sys.modules['av'] = None; import imkin.cli; imkin.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "frames", clip, "--out", "out"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "imkin: reading videos needs the extra `video`: pip install 'imkin[video]'\n"
