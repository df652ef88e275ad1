"""Applying a plan to real files: each verb, and the run as a whole."""

import errno
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cleaning import failing, lay, plan_of, rows, tree
from imkin.actions import DISK, apply, history, resume, undo
from imkin.actions.lock import exclusive
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal
from imkin.errors import StoppedError, UsageError
from imkin.plan import edited

GROUP = ("a.jpg", "sub/b.jpg", "c.jpg")
STAYS = {"a.jpg": "large", "d.jpg": "other"}
BEFORE = STAYS | {"sub/b.jpg": "middle", "c.jpg": "small"}


def test_deleted_files_wait_in_a_hidden_folder_as_they_lay(root, database):
    outcome = apply(plan_of(root, GROUP), database=database)
    (held,) = os.listdir(root / ".imkin-held")
    assert held.startswith("1-")
    assert tree(root) == STAYS | {f".imkin-held/{held}/sub/b.jpg": "middle", f".imkin-held/{held}/c.jpg": "small"}
    assert rows(outcome) == {"b.jpg": ("done", ""), "c.jpg": ("done", "")}
    assert (outcome.run, outcome.verb, outcome.state, outcome.bytes_won) == (1, "delete", "applied", 11)
    assert os.lstat(outcome.rows[1].dest).st_mtime_ns == 10**18 + 2


def test_trashed_files_are_where_the_desktop_finds_them(root, database, tmp_path):
    apply(plan_of(root, GROUP, verb="trash"), database=database)
    assert tree(root) == STAYS
    trash = tree(tmp_path / "data" / "Trash")
    assert trash["files/b.jpg"] == "middle"
    assert set(trash) == {"files/b.jpg", "files/c.jpg", "info/b.jpg.trashinfo", "info/c.jpg.trashinfo"}
    header, path, date = trash["info/b.jpg.trashinfo"].splitlines()
    assert (header, path) == ("[Trash Info]", f"Path={root}/sub/b.jpg")
    assert len(date) == len("DeletionDate=2026-01-02T03:04:05")


def test_a_name_that_is_in_the_trash_already_is_numbered(root, database, tmp_path):
    lay(tmp_path / "data" / "Trash", {"files/b.jpg": "older", "info/c.jpg.trashinfo": "an orphan"})
    apply(plan_of(root, GROUP, verb="trash"), database=database)
    trash = tree(tmp_path / "data" / "Trash")
    assert (trash["files/b.jpg"], trash["files/b.2.jpg"], trash["files/c.2.jpg"]) == ("older", "middle", "small")
    assert trash["info/c.jpg.trashinfo"] == "an orphan"


def test_moved_files_keep_their_folders_times_and_names(root, database, tmp_path):
    target = tmp_path / "out"
    apply(plan_of(root, GROUP, verb="move", target=target), database=database)
    assert tree(root) == STAYS
    assert tree(target) == {"sub/b.jpg": "middle", "c.jpg": "small"}
    assert os.lstat(target / "c.jpg").st_mtime_ns == 10**18 + 2


def test_a_move_overwrites_nothing_and_numbers_the_whole_bundle(root, database, tmp_path):
    lay(root, {"c.xmp": "edits"})
    lay(tmp_path / "out", {"c.xmp": "of another"})
    apply(
        plan_of(root, ("a.jpg", "c.jpg"), verb="move", target=tmp_path / "out", bundles={"c.jpg": ["c.xmp"]}),
        database=database,
    )
    assert tree(tmp_path / "out") == {"c.xmp": "of another", "c-2.xmp": "edits", "c-2.jpg": "small"}


def test_moves_out_of_several_roots_stay_apart(root, database, tmp_path):
    lay(tmp_path / "more", {"c.jpg": "too"})
    made = plan_of(
        tmp_path,
        ("root/a.jpg", "root/c.jpg", "more/c.jpg"),
        verb="move",
        target=tmp_path / "out",
        roots=[root, tmp_path / "more"],
    )
    apply(made, database=database)
    assert tree(tmp_path / "out") == {"root/c.jpg": "small", "more/c.jpg": "too"}


def test_names_that_differ_in_case_alone_never_meet(root, database, tmp_path):
    lay(
        root,
        {"x/IMG.jpg": "upper", "x/img.jpg": "lower", "x/İmg.JPG": "dotted", "e\u0301.jpg": "two", "\u00e9.jpg": "one"},
    )
    made = plan_of(
        root, ("a.jpg", "x/IMG.jpg", "x/img.jpg", "e\u0301.jpg", "\u00e9.jpg"), verb="move", target=tmp_path / "out"
    )
    apply(made, database=database)
    names = sorted(tree(tmp_path / "out").items())
    assert names == [("e\u0301.jpg", "two"), ("x/IMG.jpg", "upper"), ("x/img-2.jpg", "lower"), ("\u00e9-2.jpg", "one")]


def test_a_hard_link_takes_the_place_of_the_file_which_is_held(root, database):
    outcome = apply(plan_of(root, GROUP, verb="hardlink"), database=database)
    assert os.path.samefile(root / "sub" / "b.jpg", root / "a.jpg")
    assert os.lstat(root / "a.jpg").st_nlink == 3
    assert [Path(row.dest).read_text() for row in outcome.rows] == ["middle", "small"]
    assert not [name for name in tree(root) if name.endswith(".part")]


def test_a_symbolic_link_is_relative_inside_one_root_and_leads_to_the_kept_file(root, database):
    apply(plan_of(root, GROUP, verb="symlink"), database=database)
    assert os.readlink(root / "sub" / "b.jpg") == "../a.jpg"
    assert (root / "sub" / "b.jpg").read_text() == "large"


def test_a_symbolic_link_to_another_root_is_absolute(root, database, tmp_path):
    lay(tmp_path / "ref", {"k.jpg": "best"})
    made = plan_of(
        tmp_path, ("ref/k.jpg", "root/c.jpg"), verb="symlink", roots=[root], reference_roots=[tmp_path / "ref"]
    )
    apply(made, database=database)
    assert os.readlink(root / "c.jpg") == str(tmp_path / "ref" / "k.jpg")


def test_a_reflink_is_a_file_of_its_own_with_the_kept_content(root, database):
    outcome = apply(plan_of(root, GROUP, verb="reflink"), database=database, disk=replace(DISK, clone=DISK.copy))
    assert (root / "c.jpg").read_text() == "large"
    assert os.lstat(root / "a.jpg").st_nlink == 1
    assert Path(outcome.rows[1].dest).read_text() == "small"


def test_a_filesystem_that_cannot_share_blocks_says_so_and_nothing_changes(root, database):
    disk = failing(errno.EOPNOTSUPP, "clone")
    outcome = apply(plan_of(root, GROUP, verb="reflink"), database=database, disk=disk)
    assert {row.state for row in outcome.rows} == {"failed"}
    assert tree(root) == BEFORE


def test_real_reflinks_work_or_say_why_not(root, database):
    outcome = apply(plan_of(root, GROUP, verb="reflink"), database=database)
    if outcome.count("done"):
        assert (root / "c.jpg").read_text() == "large"
    else:
        assert "this filesystem cannot share blocks between files" in outcome.rows[0].reason
        assert tree(root) == BEFORE


# The run as a whole


def test_a_plan_edited_by_a_person_does_what_it_says(root, database):
    words = {str(root / "a.jpg"): "leave", str(root / "sub/b.jpg"): "leave"}
    with pytest.raises(UsageError):
        edited(plan_of(root, GROUP), words)
    apply(edited(plan_of(root, GROUP), {str(root / "c.jpg"): "leave"}), database=database)
    assert "c.jpg" in tree(root)
    assert "sub/b.jpg" not in tree(root)


def test_a_run_that_is_asked_to_stop_stops_between_files_and_can_go_on(root, database):
    asked = iter([False, True])
    with pytest.raises(StoppedError, match="stopped after 1 of 2 files"):
        apply(plan_of(root, GROUP), database=database, stop=lambda: next(asked))
    assert {name for name in tree(root) if not name.startswith(".imkin")} == {*STAYS, "c.jpg"}
    assert history(database)[0].state == "stopped"
    outcome = resume(1, database=database)
    assert [row.state for row in outcome.rows] == ["done", "done"]
    with pytest.raises(UsageError, match="was not stopped, it is applied"):
        resume(1, database=database)
    undo(1, database=database)
    assert tree(root) == BEFORE


def test_ctrl_c_in_the_middle_of_a_file_leaves_it_whole_and_the_run_stopped(root, database):
    pressed = []

    def interrupted(path):
        if path.endswith("root/c.jpg") and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        os.unlink(path)

    with pytest.raises(KeyboardInterrupt):
        apply(plan_of(root, GROUP), database=database, disk=replace(DISK, unlink=interrupted))
    assert history(database)[0].state == "stopped"
    undo(database=database)
    assert tree(root) == BEFORE


@pytest.mark.parametrize("verb", ["delete", "trash", "hardlink"])
def test_every_change_stands_in_the_journal_before_it_is_made(root, database, verb):
    seen = []

    def link(source, dest):
        with Database(database.path) as other:
            seen.append([step.state for step in Journal(other).steps(1)][-1])
        os.link(source, dest)

    apply(plan_of(root, GROUP, verb=verb), database=database, disk=replace(DISK, link=link))
    assert len(seen) >= 2
    assert set(seen) == {"intended"}


def test_progress_is_told_after_every_file(root, database):
    told = []
    apply(plan_of(root, GROUP), database=database, progress=lambda *args: told.append(args))
    assert told == [("cleaning", 1, 2), ("cleaning", 2, 2)]


def test_without_a_catalogue_file_nothing_is_changed(root):
    with Database(None) as database, pytest.raises(UsageError, match="leave out --no-catalogue"):
        apply(plan_of(root, GROUP), database=database)
    assert tree(root) == BEFORE


def test_two_processes_never_change_files_at_once(root, database):
    errors = []

    def other():
        with Database(database.path) as second:
            try:
                apply(plan_of(root, GROUP), database=second)
            except UsageError as error:
                errors.append(str(error))

    with exclusive(database):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "another imkin is changing files" in errors[0]
    assert tree(root) == BEFORE


def test_the_kept_file_is_read_once_a_run(root, database, monkeypatch):
    module = sys.modules["imkin.actions.recheck"]
    read = []
    real = module.digest
    monkeypatch.setattr(module, "digest", lambda path: (read.append(os.path.basename(path)), real(path))[1])
    apply(plan_of(root, GROUP), database=database)
    assert sorted(read) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("a.cr2", os.unlink, "is not there any more"),
        ("a.mov", os.unlink, "is not there any more"),
        ("a.mov", lambda path: path.write_text("another video"), "changed since the scan"),
    ],
)
def test_raw_and_video_stay_when_those_of_the_kept_file_do_not_stand(root, database, name, change, reason):
    lay(root, {"a.cr2": "its raw", "a.mov": "its video", "c.cr2": "raw", "c.mov": "video"})
    bundles = {"a.jpg": ["a.cr2", "a.mov"], "c.jpg": ["c.cr2", "c.mov"]}
    made = plan_of(root, ("a.jpg", "sub/b.jpg", "c.jpg"), bundles=bundles)
    change(root / name)
    outcome = apply(made, database=database)
    assert rows(outcome)["c.jpg"] == ("skipped", f"{root}/{name}, which belongs to the kept {root}/a.jpg, {reason}")
    assert rows(outcome)["b.jpg"] == ("done", "")
    assert tree(root)["c.cr2"] == "raw"


def test_a_sidecar_of_the_kept_file_may_change_meanwhile(root, database):
    lay(root, {"a.xmp": "its edits", "c.xmp": "edits"})
    made = plan_of(root, ("a.jpg", "c.jpg"), bundles={"a.jpg": ["a.xmp"], "c.jpg": ["c.xmp"]})
    os.unlink(root / "a.xmp")
    assert rows(apply(made, database=database))["c.jpg"] == ("done", "")


def test_a_kept_file_that_is_rewritten_during_the_run_is_seen_although_size_and_time_are_the_same(root, database):
    before = os.lstat(root / "a.jpg")

    def link(source, dest):
        os.link(source, dest)
        (root / "a.jpg").write_text("LARGE")
        os.utime(root / "a.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))

    outcome = apply(plan_of(root, GROUP), database=database, disk=replace(DISK, link=link))
    reason = f"the kept {root}/a.jpg changed since the scan, in its content alone"
    assert rows(outcome) == {"b.jpg": ("done", ""), "c.jpg": ("skipped", reason)}
