"""Archives, tables and videos as sources of every command, each result traced to where it comes from."""

import json
import os
import shutil
import zipfile

import pytest
from typer.testing import CliRunner

import film
import imkin
from drawn import picture, write
from imkin import image
from imkin.cli import app
from imkin.errors import MissingPathError
from imkin.report.html import file_url
from imkin.sources import Filter, places
from imkin.types import Failure
from servers import pictures

CLIP = "clip.mp4!/00:00:0"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder with a photo, an archive and a video that hold the same scene, and an odd photo."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos" / "one.png", picture(1, width=96, height=64))
    write(tmp_path / "photos" / "odd.png", picture(7, width=96, height=64))
    with zipfile.ZipFile("album.zip", "w") as album:
        album.write("photos/one.png", "a/b.png")
        album.write("photos/odd.png", "c.png")
    film.write("clip.mp4", film.scenes(1, 2, each=40), rate=25)
    return tmp_path


def run(*args: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def group(*paths, **options):
    result = imkin.group(paths, by="phash", **options)
    return [sorted(member.path for member in found.members) for found in result.groups]


def test_folders_archives_and_videos_are_grouped_together_and_traced():
    assert group("photos", "album.zip", "clip.mp4") == [
        ["album.zip!/c.png", "photos/odd.png"],
        ["album.zip!/a/b.png", f"{CLIP}0.000", f"{CLIP}1.000", "photos/one.png"],
        [f"{CLIP}2.000", f"{CLIP}3.000"],
    ]


def test_a_frame_is_the_jpeg_that_frames_writes():
    imkin.frames("clip.mp4", "stills")
    first = next(places.walk(["clip.mp4"], Filter()))
    with open("stills/clip/frame0000000.jpg", "rb") as file:
        assert (first.path, first.read()) == (f"{CLIP}0.000", file.read())
    assert f"{CLIP}0.000" in str(imkin.group(["stills", "clip.mp4"], by="exact").groups)


def test_what_is_no_file_is_never_removable_and_never_acted_on():
    result = imkin.group(["album.zip", "photos", "clip.mp4"], by="phash")
    removable = {member.path for member in result.removable}
    assert removable <= {"photos/one.png", "photos/odd.png"}
    shutil.copy("photos/one.png", "photos/two.png")
    before = {name: os.stat(name).st_mtime_ns for name in ("album.zip", "clip.mp4")}
    code, told, _ = run(
        "clean", "photos", "album.zip", "clip.mp4", "--by", "phash", "--out", "plan", "--apply", "--action", "move:gone"
    )
    assert code == 0
    assert sorted(os.listdir("photos")) == ["odd.png", "one.png"]
    assert "two.png" in told
    assert "album.zip!" not in told
    assert "clip.mp4!" not in told
    assert {name: os.stat(name).st_mtime_ns for name in before} == before


def test_one_thing_inside_a_file_is_named_as_it_is_shown():
    assert [item.path for item in places.walk(["album.zip!/a/b.png"], Filter())] == ["album.zip!/a/b.png"]
    assert [item.path for item in places.walk(["album.zip!/a"], Filter())] == ["album.zip!/a/b.png"]
    assert [item.path for item in places.walk([f"{CLIP}2.000"], Filter())] == [f"{CLIP}2.000"]
    with pytest.raises(MissingPathError, match="no such image in album"):
        list(places.walk(["album.zip!/nothing.png"], Filter()))
    found = imkin.compare("album.zip!/a/b.png", "photos/one.png")
    assert found.methods[0].similarity == 1.0


def test_what_lies_inside_a_file_is_asked_about():
    found = imkin.rank("photos", by="phash", query=["album.zip!/a/b.png"], top=1)
    assert found == {"album.zip!/a/b.png": [("album.zip!/a/b.png", 1.0), ("photos/one.png", 1.0)]}
    assert set(imkin.rank("photos", by="phash", query=["clip.mp4"])) == {f"{CLIP}{at}.000" for at in range(4)}
    code, _, _ = run("compare", "album.zip!/a/b.png", f"{CLIP}0.000", "--diff", "diff.png")
    assert (code, os.path.exists("diff.png")) == (0, True)


def test_a_second_run_decodes_no_frame_and_a_replaced_video_is_read_again(home):
    first = imkin.group("clip.mp4", by="phash", catalogue=home / "cat.db")
    with imkin.Library(str(home / "cat.db")) as library:
        again = library.scan(["clip.mp4"], "phash")
    assert (again.made, again.reused) == (0, len(first.groups[0].members) + len(first.groups[1].members))
    facts = os.stat("clip.mp4")
    film.write("clip.mp4", film.scenes(3, 4, each=41), rate=25)
    os.utime("clip.mp4", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with imkin.Library(str(home / "cat.db")) as library:
        assert library.scan(["clip.mp4"], "phash").reused == 0


@pytest.mark.parametrize("name", ["bframes.mp4", "matroska.mkv", "untimed.avi", "vp8.webm"])
@pytest.mark.parametrize("order", ["forward", "backward", "far"])
def test_frames_read_in_any_order_are_those_of_a_whole_decode(home, name, order):
    codec = {"untimed.avi": "mpeg4", "vp8.webm": "libvpx"}.get(name, "libx264")
    options = {"g": "30", "bf": "3"} if codec == "libx264" else {"g": "30"}
    film.write(name, film.moving(140, step=3), codec=codec, rate=10, options=options)
    whole = film.decoded(name)
    items = list(places.walk([name], Filter()))
    assert not any(isinstance(item, Failure) for item in items)
    assert [item.moment.number for item in items] == list(range(0, 140, 10))
    chosen = {"forward": items, "backward": items[::-1], "far": items[::5] + items[::-4]}[order]
    for item in chosen:
        _, _, expected = whole[item.moment.number]
        decoded = image.decode(item.read(), path="", side=0).pixels
        assert abs(decoded.astype(int) - expected).mean() < 4


def test_a_damaged_video_gives_what_can_be_read_and_a_failure(home):
    film.write("whole.mkv", film.moving(300), rate=25)
    with open("whole.mkv", "rb") as file:
        data = file.read()
    with open("cut.mkv", "wb") as file:
        file.write(data[: len(data) // 2])
    entries = list(places.walk(["cut.mkv"], Filter()))
    assert isinstance(entries[-1], Failure)
    assert len(entries) > 3
    with open("broken.mp4", "wb") as file:
        file.write(b"nothing" * 50)
    (failure,) = places.walk(["broken.mp4"], Filter())
    assert failure.reason == "no video, or a damaged one"


def test_the_report_leads_to_where_a_picture_comes_from(home):
    assert file_url("album.zip!/a/b.png") == (home / "album.zip").as_uri()
    assert file_url("clip.mp4!/00:01:03.400") == (home / "clip.mp4").as_uri() + "#t=63.4"
    assert file_url("t.csv!12!https://example.org/a.jpg") == "https://example.org/a.jpg"
    assert file_url("photos/a!b.png") == (home / "photos").as_uri() + "/a%21b.png"


def test_a_table_of_this_network_is_grouped_only_when_allowed(home):
    with pictures() as (_, base):
        with open("t.csv", "w") as file:
            file.write(f"thumb,full\n{base}/img/1.PNG,{base}/img/2.PNG\n{base}/img/1.PNG,{base}/img/1.PNG\n")
        code, _, said = run("group", "t.csv", "--json")
        assert (code, "choose one with --url-column" in said) == (2, True)
        code, told, _ = run("group", "t.csv", "--json", "--url-column", "thumb")
        assert "is not a public address" in json.loads(told)["failures"][0]["reason"]
        code, told, _ = run("group", "t.csv", "--json", "--url-column", "thumb", "--allow-private")
        (found,) = json.loads(told)["groups"]
        assert [member["path"] for member in found["members"]] == [f"t.csv!{row}!{base}/img/1.PNG" for row in (1, 2)]
        result = imkin.group("t.csv", by="phash", wanted=Filter(url_column="full", allow_private=True))
        assert (result.images, result.failures) == (2, ())
