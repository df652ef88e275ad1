"""A job over shards against the library of one machine: the same groups, whatever happens to it on the way."""

import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imkin
from drawn import picture, write
from imkin import prints
from imkin.engine import open_engine
from imkin.errors import UsageError
from imkin.library import Library
from imkin.scale.fingerprints import Scanner
from imkin.scale.run import find
from imkin.scale.task import Task
from imkin.sources import Filter
from imkin.sources.place import Folder, read_bytes

PIXELS = 32


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(12):
        write(folder / "a" / f"{seed:02}.png", picture(seed, width=80, height=60))
        if seed % 2:
            write(folder / "b" / f"{seed:02}.jpg", picture(seed, width=80, height=60), quality=70)
        if seed % 3 == 0:
            shutil.copy(folder / "a" / f"{seed:02}.png", folder / "a" / f"{seed:02} copy.png")
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    write(folder / "a" / "blank.png", picture(0, width=80, height=60) * 0 + 200)
    return folder


def task_of(paths, work, *, by="phash", shard=5, **more):
    spec = prints.spec(by)
    make = functools.partial(prints.fingerprinter, by)
    return Task([str(path) for path in paths], str(work), spec, make, spec.default_threshold, shard=shard, **more)


def grouped(found, task):
    return found.group(threshold=task.threshold, references=task.references).to_dict()


def expected(paths, *, by="phash", **more):
    """What one machine finds. Its failures come in another order: those of shards stand in theirs."""
    return imkin.group(paths, by, **more).to_dict()


def run(task, name="local", **more):
    engine = open_engine(name, jobs=2)
    try:
        return find(task, engine, **more)
    finally:
        engine.close()


@pytest.mark.parametrize("by", ["phash", "exact", "vote"])
def test_a_job_over_shards_finds_what_one_machine_finds(photos, tmp_path, by):
    task = task_of([photos], tmp_path / "work", by=by)
    found = run(task)
    assert found.images == 23
    assert len(found.scanned.files) < 23  # those that are like no other are only counted
    assert grouped(found, task) == expected(photos, by=by)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Pictures of several sizes of one shape, some within the least structural similarity of others, some beyond."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(0)
    for seed in range(10):
        for side, (width, height) in enumerate(((80, 60), (160, 120), (81, 61))):
            pixels = picture(seed % (5 - side), width=width, height=height).astype(int)
            noise = rng.integers(-seed * (side < 2), seed * (side < 2) + 1, pixels.shape)
            write(folder / f"{seed}{side}.png", np.clip(pixels + noise, 0, 255).astype(np.uint8))
        write(folder / f"{seed} other.png", picture(seed, width=40 + 10 * seed, height=61))
    write(folder / "tiny.png", picture(3, width=5, height=40))
    return folder


def pairs_of(found):
    return [pair.to_dict() for pair in found.pairs()]


@pytest.mark.parametrize("threshold", [0.0, 0.9, 1.0])
def test_structural_similarity_over_shards_is_that_of_one_machine(noisy, tmp_path, threshold):
    task = dataclasses.replace(task_of([noisy], tmp_path / "work", by="ssim", shard=7), threshold=threshold)
    found = run(task)
    want = [pair.to_dict() for pair in imkin.pairs(noisy, "ssim", threshold=threshold)]
    assert pairs_of(found) == want
    assert {pair["similarity"] < 0.95 for pair in want} == ({False} if threshold == 1 else {False, True})
    assert [os.path.basename(path) for path in found.low_quality] == ["tiny.png"]


def test_across_and_reference_mean_the_same_over_shards(photos, tmp_path):
    roots = [photos / "a", photos / "b"]
    task = task_of(roots, tmp_path / "across", across=True)
    assert grouped(run(task), task) == expected(roots, scope=imkin.Scope(across=True))
    task = task_of(roots, tmp_path / "reference", references=1)
    scope = imkin.Scope(reference=(str(roots[0]),))
    assert grouped(run(task), task) == expected(roots[1], scope=scope)


def test_what_a_person_decided_counts_over_shards_too(photos, tmp_path):
    task = task_of([photos], tmp_path / "work")
    plain = run(task)
    names = {os.path.relpath(file.path, photos): file.sha256 for file in plain.scanned.files}
    with Library() as library:
        sha256 = {
            os.path.relpath(file.path, photos): file.sha256 for file in library.scan([str(photos)], "phash").files
        }
    one, other = sorted([names["a/01.png"], names["b/01.jpg"]])
    new, alone = sorted([sha256["a/02.png"], sha256["a/04.png"]])
    verdicts = {(one, other): "different", (new, alone): "same"}
    found = run(task, verdicts=verdicts)
    with Library() as library:
        scanned = library.scan([str(photos)], "phash")
        want = library.group(scanned, library.kin(scanned, task.threshold, verdicts=verdicts), threshold=task.threshold)
    assert grouped(found, task) == want.to_dict()
    assert grouped(found, task) != grouped(plain, task)


@dataclass(frozen=True)
class Counting:
    """A method that notes every picture it is given."""

    note: str
    poison: bool = False

    @property
    def spec(self):
        return prints.spec("phash")

    def __call__(self):
        return self

    def embed_batch(self, images):
        with open(self.note, "a") as file:
            file.write("x" * len(images))
        if self.poison and any(picture[:, :, 0].max() == 77 for picture in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return prints.fingerprinter("phash").embed_batch(images)


def test_a_second_run_reads_no_picture_again(photos, tmp_path):
    note = tmp_path / "note"
    task = task_of([photos], tmp_path / "work")
    task = Task(**{**{name: getattr(task, name) for name in task.__slots__}, "make": Counting(str(note))})
    first = run(task)
    made = note.read_text()
    (tmp_path / "work" / "prints" / "000002.parquet").unlink()
    assert grouped(run(task), task) == grouped(first, task)
    assert len(note.read_text()) - len(made) <= 5
    assert grouped(run(task), task) == grouped(first, task)


def test_a_shard_that_kills_its_workers_is_listed_and_the_rest_is_done(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    write(folder / "c" / "poison.png", picture(1, width=80, height=60) * 0 + 77)
    task = task_of([folder], tmp_path / "work")
    task = Task(
        **{
            **{name: getattr(task, name) for name in task.__slots__},
            "make": Counting(str(tmp_path / "note"), poison=True),
        }
    )
    found = run(task, "processes")
    assert [os.path.basename(failure.path) for failure in found.lost] == ["000004.parquet"]
    assert found.lost[0] in found.scanned.failures
    assert found.images == 19  # all but the last shard's
    assert not (tmp_path / "work" / "prints" / "000004.parquet").exists()


def test_a_job_that_is_killed_goes_on_with_the_shards_that_are_missing(photos, tmp_path):
    task = [sys.executable, "-c", KILLED, str(photos), str(tmp_path / "work"), str(tmp_path / "note")]
    running = subprocess.Popen(task, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    third = tmp_path / "work" / "prints" / "000002.parquet"
    ends = time.monotonic() + 60
    while not third.exists():
        assert running.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    running.kill()
    running.wait()
    done = {path.name: path.stat().st_mtime_ns for path in third.parent.glob("*.parquet")}
    assert 3 <= len(done) < 5
    job = task_of([photos], tmp_path / "work")
    assert grouped(run(job), job) == expected(photos)
    after = {path.name: path.stat().st_mtime_ns for path in third.parent.glob("*.parquet")}
    assert len(after) == 5
    assert {name: after[name] for name in done} == done


KILLED = """
import sys, time
from test_scale import Counting, task_of
from imkin.engine import open_engine
from imkin.scale.fingerprints import Scanner
from imkin.scale.run import find
from imkin.scale.task import Task

class Slow(Counting):
    def embed_batch(self, images):
        time.sleep(0.2)
        return super().embed_batch(images)

task = task_of([sys.argv[1]], sys.argv[2])
values = {name: getattr(task, name) for name in task.__slots__}
find(Task(**{**values, "make": Slow(sys.argv[3])}), open_engine("serial"))
"""


def test_a_work_folder_belongs_to_one_job(photos, tmp_path):
    run(task_of([photos / "b"], tmp_path / "work"))
    with pytest.raises(UsageError, match="other paths; choose another --work"):
        run(task_of([photos / "a"], tmp_path / "work"))
    with pytest.raises(UsageError, match="other method"):
        run(task_of([photos / "b"], tmp_path / "work", by="dhash"))


def test_batches_that_are_decoded_ahead_give_the_same_shard(photos, tmp_path):
    task = task_of([photos], tmp_path / "work", shard=50)
    run(task)
    shard = tmp_path / "work" / "prints" / "000000.parquet"
    first = shard.read_bytes()
    shard.unlink()
    Scanner(Folder(task.work), task.make, task.limits, threads=3)()(0)
    assert shard.read_bytes() == first


def test_a_damaged_shard_is_made_again_and_a_damaged_job_is_told_of(photos, tmp_path):
    task = task_of([photos], tmp_path / "work")
    first = grouped(run(task), task)
    shard = tmp_path / "work" / "prints" / "000001.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    assert grouped(run(task), task) == first
    assert shard.read_bytes() == whole
    items = tmp_path / "work" / "items" / "000001.parquet"
    items.write_bytes(b"PAR1")
    shard.unlink()
    with pytest.raises(UsageError, match="a file of the work folder is damaged"):
        run(task)
    (tmp_path / "work" / "job.json").write_text("{")
    with pytest.raises(UsageError, match=r"job\.json is damaged"):
        run(task)


def listed(photos, target):
    files = sorted(str(path) for path in photos.rglob("*") if path.is_file())
    pq.write_table(pa.table({"id": range(len(files)), "path": files}), target)
    return files


def test_a_parquet_list_names_the_files(photos, tmp_path):
    files = listed(photos, tmp_path / "list.parquet")
    task = task_of([tmp_path / "list.parquet"], tmp_path / "work")
    found = grouped(run(task), task)
    assert found["images"] + len(found["failures"]) == len(files)
    assert found["summary"] == expected(photos)["summary"]


def test_inputs_and_work_may_lie_in_a_store(photos):
    import fsspec

    store = fsspec.filesystem("memory")
    for path in sorted(photos.rglob("*.*")):
        store.pipe_file(f"/bucket/{path.relative_to(photos)}", path.read_bytes())
    task = task_of(["memory://bucket"], "memory://jobs/one", wanted=Filter())
    found = grouped(run(task), task)
    assert found["summary"] == expected(photos)["summary"]
    assert found["groups"][0]["keeper"].startswith("memory://bucket/a/")
    assert read_bytes("memory://bucket/a/broken.png").startswith(b"\x89PNG")
    assert Folder("memory://jobs/one").has("job.json")
    assert grouped(run(task), task) == found
    pictures = task_of(["memory://bucket"], "memory://jobs/two", by="ssim", wanted=Filter())
    assert [pair["similarity"] for pair in pairs_of(run(pictures))] == [
        pair.to_dict()["similarity"] for pair in imkin.pairs(photos, "ssim")
    ]
    store.rm("/bucket", recursive=True)
    store.rm("/jobs", recursive=True)


def imkin_command(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "imkin", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


def test_the_command_says_what_does_not_go_together(photos, tmp_path):
    done = imkin_command("group", photos, "--gpus-per-actor", "1", "--no-report")
    assert done.returncode == 2
    assert "--gpus-per-actor goes with --engine ray" in done.stderr
    done = imkin_command("group", photos, "--work", tmp_path / "w", "--cells", "--by", "phash", "--no-report")
    assert done.returncode == 2
    assert "--cells goes with methods of vectors" in done.stderr


def test_the_command_over_shards_prints_what_it_prints_without(photos, tmp_path):
    words = ("group", photos, "--by", "phash", "--json", "--no-catalogue")
    plain = imkin_command(*words)
    assert plain.returncode == 0
    assert imkin_command(*words, "--work", tmp_path / "w", "--out", tmp_path / "out").stdout == plain.stdout
    assert (tmp_path / "out" / "report.html").exists()
