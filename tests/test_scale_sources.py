"""What a job over shards reads: archives, videos, tables of URLs, a sample; and what it says when a shard is lost."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import imkin
from drawn import picture, write
from imkin.errors import UsageError
from servers import pictures


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder, a zip with a damaged entry, and two tars of the same pictures."""
    folder = tmp_path_factory.mktemp("places")
    for seed in range(9):
        write(folder / "photos" / f"{seed}.png", picture(seed % 5, width=64, height=48))
    files = sorted((folder / "photos").iterdir())
    with zipfile.ZipFile(folder / "some.zip", "w") as made:
        for file in files[:5]:
            made.write(file, f"inside/{file.name}")
        made.writestr("inside/broken.png", b"\x89PNG\r\n\x1a\nno picture")
    for ending, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        with tarfile.open(folder / f"some.{ending}", mode) as made:
            for file in files[3:7]:
                made.add(file, file.name)
    return [folder / "some.zip", folder / "photos", folder / "some.tar.gz", folder / "some.tar"]


def test_what_lies_in_archives_is_found_over_shards_as_without(places, tmp_path):
    found = imkin.group(places, "phash", work=tmp_path / "work")
    assert found.to_dict() == imkin.group(places, "phash").to_dict()
    assert found.images == 9 + 5 + 4 + 4
    assert [failure.path for failure in found.failures] == [f"{places[0]}!/inside/broken.png"]


def test_another_engine_needs_no_work_folder(places, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = imkin.pairs(places, "phash", engine="processes", jobs=1)
    assert found == imkin.pairs(places, "phash")
    assert list(tmp_path.glob("imkin-*")) == []


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_a_sample_of_a_job_is_that_of_one_machine(places, tmp_path, ratio):
    sample = imkin.Sample(ratio, seed=3)
    found = imkin.group(places[1:], "phash", sample=sample, work=tmp_path / "work")
    assert found.to_dict() == imkin.group(places[1:], "phash", sample=sample).to_dict()
    assert found.images == round(17 * ratio)
    with pytest.raises(UsageError, match="other sample"):
        imkin.group(places[1:], "phash", sample=imkin.Sample(0.9), work=tmp_path / "work")


def test_a_sample_spares_the_reference(places, tmp_path):
    more = {"sample": imkin.Sample(0.5, seed=1), "scope": imkin.Scope(reference=(str(places[1]),))}
    found = imkin.group(places[2:], "phash", work=tmp_path / "work", **more)
    assert found.to_dict() == imkin.group(places[2:], "phash", **more).to_dict()
    assert found.images == 9 + 4


def test_an_archive_in_a_store_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"memory://bucket/some\.zip: what lies in an archive or a video is not read"):
        imkin.group("memory://bucket/some.zip", "phash", work=tmp_path)


def test_rows_of_urls_are_fetched_by_the_shards_that_hold_them(tmp_path):
    with pictures() as (server, base):
        rows = ["id,image", f"1,{base}/img/1", f"2,{base}/img/1?again", f"3,{base}/img/2", f"4,{base}/missing/7"]
        (tmp_path / "urls.csv").write_text("\n".join(rows))
        reached = imkin.Filter(allow_private=True)
        found = imkin.group(tmp_path / "urls.csv", "phash", work=tmp_path / "work", wanted=reached)
        again = imkin.group(tmp_path / "urls.csv", "phash", work=tmp_path / "work", wanted=reached)
        asked = dict(server.asked)
    table = tmp_path / "urls.csv"
    assert found.images == 3
    assert [[member.path for member in group.members] for group in found.groups] == [
        [f"{table}!1!{base}/img/1", f"{table}!2!{base}/img/1?again"]
    ]
    assert [failure.path for failure in found.failures] == [f"{table}!4!{base}/missing/7"]
    assert again == found
    assert {path: count for path, count in asked.items() if "img" in path} == {
        "/img/1": 1,
        "/img/1?again": 1,
        "/img/2": 1,
    }
    refused = imkin.group(table, "phash", work=tmp_path / "other")
    assert refused.images == 0
    assert refused.failures[0].reason == "127.0.0.1 is not a public address (see --allow-private)"


PLUGIN = """
import dataclasses, os, signal
from imkin import prints

def make():
    return Deadly()

class Deadly:
    spec = dataclasses.replace(prints.spec("phash"), name="deadly")

    def embed_batch(self, images):
        if any(picture[:, :, 0].min() == 77 for picture in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return prints.fingerprinter("phash").embed_batch(images)
"""


def test_the_command_ends_with_3_where_a_shard_is_lost_and_tells_of_it(places, tmp_path):
    plugin = tmp_path / "plugin"
    (plugin / "deadly-1.dist-info").mkdir(parents=True)
    (plugin / "deadly.py").write_text(PLUGIN)
    (plugin / "deadly-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1\n")
    (plugin / "deadly-1.dist-info" / "entry_points.txt").write_text("[imkin.fingerprinters]\ndeadly = deadly:make\n")
    shutil.copytree(places[1], tmp_path / "photos")
    write(tmp_path / "photos" / "poison.png", picture(1, width=64, height=48) * 0 + 77)
    words = ["group", tmp_path / "photos", "--by", "deadly", "--work", tmp_path / "work", "--engine", "processes"]
    done = subprocess.run(
        [sys.executable, "-m", "imkin", *map(str, words), "--jobs", "1", "--no-report", "--no-catalogue"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(plugin), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "items/000000.parquet: no worker finished this shard: its process ended with -9" in done.stderr
    assert not list((tmp_path / "work").glob("prints/*"))
