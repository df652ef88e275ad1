"""A process that dies at any point: between any two steps, in each of them, and at random by kill -9."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from cleaning import Fate, KilledError, MortalDatabase, lay, plan_of, plan_text, tree, two_volumes, without_links
from imkin.actions import DISK, apply, history, purge, recover, resume, undo
from imkin.catalogue import Database

FILES = {"a.jpg": "large", "b.jpg": "middle", "b.xmp": "edits", "sub/c.jpg": "large"}
CLONES = replace(DISK, clone=DISK.copy)
SETTINGS = [
    "delete",
    "trash",
    "move",
    "move far",
    "hardlink",
    "symlink",
    "reflink",
    "delete linkless",
    "symlink linkless",
]


class World:
    """A fresh folder and catalogue for each death."""

    def __init__(self, folder, setting, catalogue=None):
        self.folder, self.root, self.target = folder, folder / "root", folder / "out"
        self.verb = setting.split()[0]
        self.far, self.linkless = "far" in setting, "linkless" in setting
        self.catalogue = catalogue or str(folder / "catalogue.sqlite")
        os.environ["XDG_DATA_HOME"] = str(folder / "data")
        lay(self.root, FILES)
        target = self.target if self.verb == "move" else ""
        bundles = {"b.jpg": ["b.xmp"]} if self.verb in ("delete", "trash", "move") else {}
        self.plan = plan_of(self.root, ("a.jpg", "b.jpg", "sub/c.jpg"), verb=self.verb, target=target, bundles=bundles)

    def disk(self, fate=None):
        disk = two_volumes(self.target, CLONES) if self.far else without_links(CLONES) if self.linkless else CLONES
        return fate.disk(disk) if fate else disk

    def dies(self, limit, work):
        """Whether a process that does this work dies at its limit-th step."""
        fate = Fate(limit)
        try:
            with MortalDatabase(self.catalogue, fate) as database:
                work(database, self.disk(fate))
        except KilledError:
            return True
        return False

    def contents(self):
        """All contents but those of the trash's info files, sorted; hard links once."""
        seen, found = set(), []
        for at, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(at, name)
                status = os.lstat(path)
                if name.endswith((".trashinfo", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".lock")) or os.path.islink(
                    path
                ):
                    continue
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    with open(path) as file:
                        found.append(file.read())
        return sorted(found)

    def unfinished(self):
        """Names of temporary files that were left behind."""
        return [name for _, _, names in os.walk(self.folder) for name in names if name.endswith(".part")]

    def check_restored(self):
        assert tree(self.root) == FILES
        assert tree(self.folder / "data") == {}
        assert {name: text for name, text in tree(self.target).items() if text} == {}


def applying(plan):
    return lambda database, disk: apply(plan, database=database, disk=disk)


def undo_all(database, disk):
    """Undo whatever can be, as often as there is something; a run that does not come back whole fails the test."""
    recover(database=database, disk=disk)
    while any(row.state in ("done", "intended", "undoing") for run in history(database) for row in run.rows):
        outcome = undo(database=database, disk=disk)
        assert outcome.state == "undone", outcome


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in memory where there is one: thousands of synced commits would keep a disk busy for a minute."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def worlds(memory):
    return lambda setting: (World(memory / f"{number}", setting) for number in count())


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_death_at_any_step_of_a_run_loses_nothing_and_the_run_can_be_undone(worlds, setting):
    for limit, world in enumerate(worlds(setting)):
        died = world.dies(limit, applying(world.plan))
        assert set(FILES.values()) <= set(world.contents())
        with Database(world.catalogue, durable=True) as database:
            recover(database=database, disk=world.disk())
            assert world.unfinished() == []
            assert {run.state for run in history(database)} <= {"stopped", "applied"}
            undo_all(database, world.disk())
            assert {row.state for run in history(database) for row in run.rows} <= {"undone", "not done"}
        world.check_restored()
        if not died:
            break
    assert limit > 10


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_that_died_can_be_gone_on_with(worlds, setting):
    for limit, world in enumerate(worlds(setting)):
        died = world.dies(limit, applying(world.plan))
        with Database(world.catalogue, durable=True) as database:
            recover(database=database, disk=world.disk())
            runs = history(database)
            if runs and runs[0].state == "stopped":
                resume(1, database=database, disk=world.disk())
            if runs:
                assert [row.state for row in history(database)[0].rows] == ["done", "done"]
                assert world.unfinished() == []
            undo_all(database, world.disk())
        world.check_restored()
        if not died:
            break


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_death_at_any_step_of_an_undo_loses_nothing_and_it_can_be_gone_on_with(worlds, setting):
    for limit, world in enumerate(worlds(setting)):
        with Database(world.catalogue, durable=True) as database:
            apply(world.plan, database=database, disk=world.disk())
        died = world.dies(limit, lambda database, disk: undo(database=database, disk=disk))
        assert set(FILES.values()) <= set(world.contents())
        with Database(world.catalogue, durable=True) as database:
            undo_all(database, world.disk())
            assert history(database)[0].state == "undone"
        world.check_restored()
        if not died:
            break
    assert limit > 5


def test_a_death_at_any_step_of_putting_a_bundle_back_leaves_it_together(worlds):
    def stuck(source, dest):
        if source.endswith("root/b.xmp"):
            raise OSError(13, "no", source)
        os.link(source, dest)

    for limit, world in enumerate(worlds("delete")):
        fate = Fate(limit)
        died = False
        try:
            with MortalDatabase(world.catalogue, fate) as database:
                apply(world.plan, database=database, disk=fate.disk(replace(CLONES, link=stuck)))
        except KilledError:
            died = True
        with Database(world.catalogue, durable=True) as database:
            recover(database=database)
        assert ("b.jpg" in tree(world.root), "b.xmp" in tree(world.root)) == (True, True)
        if not died:
            break


def test_a_death_at_any_step_of_a_purge_can_be_gone_on_with(worlds):
    for limit, world in enumerate(worlds("delete")):
        with Database(world.catalogue, durable=True) as database:
            apply(world.plan, database=database)
        died = world.dies(limit, lambda database, disk: purge(database=database, disk=disk))
        with Database(world.catalogue, durable=True) as database:
            purge(database=database)
            assert {row.state for row in history(database)[0].rows} == {"purged"}
        assert tree(world.root) == {"a.jpg": "large"}
        if not died:
            break


def test_what_nobody_can_tell_now_is_settled_when_the_disk_is_back(worlds):
    for limit, world in enumerate(worlds("move far")):
        world.dies(limit, applying(world.plan))
        if not (world.root / "b.jpg").exists():
            break
    os.rename(world.target, f"{world.target}-unplugged")
    with Database(world.catalogue, durable=True) as database:
        recover(database=database, disk=world.disk())
        assert history(database)[0].rows[0].state == "intended"
        os.rename(f"{world.target}-unplugged", world.target)
        recover(database=database, disk=world.disk())
        assert history(database)[0].rows[0].state == "not done"
    world.check_restored()


# About twice what the run of a child takes here, so that half of them die at work.
LONGEST_S = 0.06

CHILD = """
import sys
from imkin.actions import apply
from imkin.catalogue import Database
from imkin.plan import read_plan
with Database(sys.argv[1], durable=True) as database:
    plan = read_plan(sys.argv[2])
    print("ready", flush=True)
    apply(plan, database=database)
"""


def kill_runs(folder, runs, *, rng):
    """Apply plans in processes that are killed at random moments; returns how many died in the middle of the work.

    After each, every content must be in place, or come back by undo.
    """
    files = {f"{n:02}.jpg": f"content {n}" for n in range(40)}
    died = 0
    for number in range(runs):
        here = folder / f"run{number}"
        root, catalogue, plan = here / "root", str(here / "catalogue.sqlite"), here / "plan.json"
        lay(root, files)
        verb = ("delete", "trash", "move", "hardlink", "symlink")[number % 5]
        made = plan_of(root, tuple(files), verb=verb, target=here / "out" if verb == "move" else "")
        plan.write_text(plan_text(made))
        Database(catalogue).close()
        command = [sys.executable, "-c", CHILD, catalogue, str(plan)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(rng.uniform(0, LONGEST_S))
            child.send_signal(signal.SIGKILL)
        with Database(catalogue, durable=True) as database:
            recover(database=database)
            runs_now = history(database)
            assert {row.state for run in runs_now for row in run.rows} <= {"done", "not done"}
            died += any(run.state == "stopped" and run.rows for run in runs_now)
            undo_all(database, DISK)
        assert tree(root) == files, f"run {number} ({verb}) lost files; what is left lies in {here}"
    return died


def test_kill_9_at_a_random_moment_leaves_every_content_in_place_or_restorable(memory, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(memory / "data"))
    kill_runs(memory, 20, rng=random.Random(4))
