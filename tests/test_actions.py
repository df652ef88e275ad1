"""Applying a plan to real files: each verb, and every rule of safety."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cleaning import failing, lay, plan_of, rows, tree, two_volumes, without_links
from imkin.actions import DISK, apply, history, resume, undo
from imkin.actions.lock import exclusive
from imkin.catalogue import Database
from imkin.catalogue.journal import Journal
from imkin.errors import MissingPathError, OutputError, StoppedError, UsageError
from imkin.plan import edited


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with three alike files and one alone, and a trash of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    lay(tmp_path / "root", {"a.jpg": "large", "sub/b.jpg": "middle", "c.jpg": "small", "d.jpg": "other"})
    return tmp_path / "root"


@pytest.fixture
def database(tmp_path):
    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:
        yield database


@pytest.fixture
def second_volume(tmp_path):
    """A folder on another volume than tmp_path, and the disk to reach it: a real one, or else one that acts so."""
    for candidate in ("/dev/shm", os.path.expanduser("~"), os.getcwd()):
        if os.access(candidate, os.W_OK) and os.stat(candidate).st_dev != os.stat(tmp_path).st_dev:
            with tempfile.TemporaryDirectory(dir=candidate) as folder:
                yield Path(folder), DISK
            return
    (tmp_path / "far").mkdir()
    yield tmp_path / "far", two_volumes(tmp_path / "far")


@pytest.fixture
def small_volume(tmp_path):
    """A folder on a volume with room for 256 kB, and the disk to reach it; mounted, or else one that acts so."""
    folder = tmp_path / "stick"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(command, capture_output=True).returncode == 0:
        yield folder, DISK
        subprocess.run(["umount", str(folder)], check=True)
    else:
        yield folder, replace(two_volumes(folder), copy=copy_into_256_kb)


def copy_into_256_kb(source, dest):
    with open(source, "rb") as read, open(dest, "xb") as write:
        content = read.read()
        write.write(content[: 256 * 1024])
        if len(content) > 256 * 1024:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), dest)
    shutil.copystat(source, dest)


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


# Rules of safety


def test_a_kept_file_that_vanished_keeps_all_others_in_place(root, database):
    made = plan_of(root, GROUP)
    os.unlink(root / "a.jpg")
    outcome = apply(made, database=database)
    assert set(rows(outcome).values()) == {("skipped", f"the kept {root}/a.jpg is not there any more")}
    assert tree(root).keys() == {"sub/b.jpg", "c.jpg", "d.jpg"}


def test_a_kept_file_whose_content_changed_keeps_all_others_in_place(root, database):
    made = plan_of(root, GROUP)
    (root / "a.jpg").write_text("LARGE")
    os.utime(root / "a.jpg", ns=(10**18, 10**18))
    outcome = apply(made, database=database)
    assert rows(outcome)["c.jpg"] == ("skipped", f"the kept {root}/a.jpg changed since the scan, in its content alone")
    assert tree(root) == BEFORE | {"a.jpg": "LARGE"}


@pytest.mark.parametrize(("content", "time"), [("small!", 10**18 + 2), ("small", 10**18 + 3), ("SMALL", 10**18 + 2)])
def test_a_file_changed_since_the_scan_is_skipped_whatever_changed(root, database, content, time):
    made = plan_of(root, GROUP)
    (root / "c.jpg").write_text(content)
    os.utime(root / "c.jpg", ns=(time, time))
    outcome = apply(made, database=database)
    assert rows(outcome)["c.jpg"][0] == "skipped"
    assert "changed since the scan" in rows(outcome)["c.jpg"][1]
    assert rows(outcome)["b.jpg"] == ("done", "")
    assert (root / "c.jpg").read_text() == content


def test_a_file_that_vanished_or_became_something_else_is_skipped(root, database):
    made = plan_of(root, GROUP)
    os.unlink(root / "c.jpg")
    os.unlink(root / "sub" / "b.jpg")
    os.symlink("../a.jpg", root / "sub" / "b.jpg")
    outcome = apply(made, database=database)
    assert rows(outcome)["c.jpg"] == ("skipped", "is not there any more")
    assert rows(outcome)["b.jpg"] == ("skipped", "is no regular file any more")
    assert tree(root) == STAYS | {"sub/b.jpg": "-> ../a.jpg"}


@pytest.mark.parametrize("verb", ["delete", "trash", "move", "hardlink", "symlink", "reflink"])
def test_a_hard_link_of_the_kept_file_is_left(root, database, tmp_path, verb):
    os.link(root / "a.jpg", root / "e.jpg")
    made = plan_of(root, ("a.jpg", "e.jpg"), verb=verb, target=tmp_path / "out" if verb == "move" else "")
    outcome = apply(made, database=database)
    assert rows(outcome)["e.jpg"] == ("skipped", f"is a hard link of the kept {root}/a.jpg: nothing would be won")
    assert os.path.samefile(root / "e.jpg", root / "a.jpg")


def test_a_file_kept_by_another_group_under_another_name_stays(root, database):
    os.link(root / "d.jpg", root / "e.jpg")
    outcome = apply(plan_of(root, ("a.jpg", "e.jpg"), ("d.jpg", "c.jpg")), database=database)
    assert rows(outcome)["e.jpg"][1] == f"is a hard link of the kept {root}/d.jpg: nothing would be won"
    assert rows(outcome)["c.jpg"] == ("done", "")


def test_a_read_only_file_is_left(root, database):
    os.chmod(root / "c.jpg", 0o444)
    outcome = apply(plan_of(root, GROUP), database=database)
    assert rows(outcome)["c.jpg"] == ("skipped", "is read-only; make it writable to have it cleaned")
    assert (root / "c.jpg").read_text() == "small"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_a_file_that_the_system_does_not_let_go_stays_and_the_reason_is_told(root, database, number):
    disk = failing(number, "link", "replace", when=lambda a, _: a.endswith("c.jpg"))
    outcome = apply(plan_of(root, GROUP), database=database, disk=disk)
    assert rows(outcome)["c.jpg"][0] == "failed"
    assert rows(outcome)["b.jpg"] == ("done", "")
    assert tree(root)["c.jpg"] == "small"


def test_a_file_whose_removal_fails_after_its_second_name_stays_with_one_name(root, database):
    disk = failing(errno.EPERM, "unlink", when=lambda path: path.endswith("root/c.jpg"))
    outcome = apply(plan_of(root, GROUP), database=database, disk=disk)
    assert rows(outcome)["c.jpg"][0] == "failed"
    assert os.lstat(root / "c.jpg").st_nlink == 1
    assert sum(content == "small" for content in tree(root).values()) == 1


def test_a_full_disk_loses_nothing(root, database, tmp_path):
    target = tmp_path / "far"
    disk = failing(errno.ENOSPC, "copy", disk=two_volumes(target))
    outcome = apply(plan_of(root, GROUP, verb="move", target=target), database=database, disk=disk)
    assert rows(outcome)["c.jpg"] == ("failed", f"no room left on the disk ({root}/c.jpg)")
    assert tree(root) == BEFORE
    assert tree(target) == {}


def test_a_disk_that_really_is_full_loses_nothing(root, database, small_volume):
    stick, disk = small_volume
    lay(root, {"big.jpg": "x" * 400_000, "c.jpg": "small"})
    made = plan_of(root, ("a.jpg", "big.jpg", "c.jpg"), verb="move", target=stick / "out")
    outcome = apply(made, database=database, disk=disk)
    assert rows(outcome)["big.jpg"][0] == "failed"
    assert "no room left on the disk" in rows(outcome)["big.jpg"][1]
    assert len((root / "big.jpg").read_text()) == 400_000
    assert tree(stick) == {"out/c.jpg": "small"}


def test_a_name_too_long_loses_nothing(root, database, tmp_path):
    name = "n" * 251 + ".jpg"
    deep = tmp_path / "out"
    lay(root, {name: "long"})
    lay(deep, {name: "there"})
    outcome = apply(plan_of(root, ("a.jpg", name), verb="move", target=deep), database=database)
    assert rows(outcome)[name] == ("done", "")
    assert tree(deep) == {name: "there", "n" * 249 + "-2.jpg": "long"}
    disk = failing(
        errno.ENAMETOOLONG, "link", "make_folders", when=lambda path, *_: ".imkin-held" in path or "c.jpg" in path
    )
    outcome = apply(plan_of(root, ("a.jpg", "c.jpg")), database=database, disk=disk)
    assert rows(outcome)["c.jpg"][0] == "failed"
    assert "the name would be too long" in rows(outcome)["c.jpg"][1]
    assert tree(root)["c.jpg"] == "small"


def test_a_long_name_fits_into_the_trash(root, database, tmp_path):
    name = "é" * 125 + ".jpg"
    lay(root, {name: "long"})
    outcome = apply(plan_of(root, ("a.jpg", name), verb="trash"), database=database)
    assert rows(outcome)[name] == ("done", "")
    assert max(len(os.fsencode(each)) for each in os.listdir(tmp_path / "data" / "Trash" / "info")) <= 255


def test_an_unplugged_root_is_refused_before_anything_is_done(root, database, tmp_path):
    lay(tmp_path / "stick", {"k.jpg": "kept"})
    made = plan_of(tmp_path, ("root/a.jpg", "root/c.jpg", "stick/k.jpg"), roots=[root, tmp_path / "stick"])
    os.rename(tmp_path / "stick", tmp_path / "unplugged")
    with pytest.raises(MissingPathError, match="stick of the plan is not there"):
        apply(made, database=database)
    assert tree(root) == BEFORE
    assert history(database) == ()


def test_a_root_unplugged_meanwhile_skips_what_is_left(root, database):
    made = plan_of(root, GROUP)

    def unplug(_stage, done, _total):
        if done == 1:
            os.rename(root, f"{root}-unplugged")

    outcome = apply(made, database=database, progress=unplug)
    assert [row.state for row in outcome.rows] == ["done", "skipped"]
    assert outcome.rows[1].reason == f"the kept {root}/a.jpg is not there any more"


def test_a_plan_that_a_link_leads_out_of_its_roots_is_refused_whole(root, database, tmp_path):
    lay(tmp_path / "elsewhere", {"x.jpg": "not yours"})
    os.symlink(tmp_path / "elsewhere", root / "way")
    with pytest.raises(UsageError, match="outside its roots; nothing was done"):
        apply(plan_of(root, ("a.jpg", "c.jpg"), ("d.jpg", "way/x.jpg")), database=database)
    assert tree(root) == BEFORE


def test_a_plan_that_would_lose_a_file_is_refused_whole(root, database):
    made = plan_of(root, GROUP)
    lost = replace(made, groups=((replace(made.groups[0][0], do="leave"), *made.groups[0][1:]),))
    with pytest.raises(UsageError, match="near no file that is kept"):
        apply(lost, database=database)
    assert tree(root) == BEFORE


def test_files_are_not_moved_into_the_folder_that_is_cleaned(root, database):
    with pytest.raises(UsageError, match="it is one of the folders to be cleaned"):
        apply(plan_of(root, GROUP, verb="move", target=root), database=database)


def test_a_target_that_cannot_be_made_is_an_error_before_anything_is_done(root, database, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make the folder"):
        apply(plan_of(root, GROUP, verb="move", target=tmp_path / "file" / "out"), database=database)
    assert tree(root) == BEFORE


def test_across_volumes_a_file_is_copied_compared_and_only_then_removed(root, database, second_volume):
    far, disk = second_volume
    os.chmod(root / "c.jpg", 0o640)
    outcome = apply(plan_of(root, GROUP, verb="move", target=far / "out"), database=database, disk=disk)
    assert tree(root) == STAYS
    assert tree(far) == {"out/sub/b.jpg": "middle", "out/c.jpg": "small"}
    status = os.lstat(far / "out" / "c.jpg")
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (10**18 + 2, 0o640)
    assert outcome.count("done") == 2
    undo(database=database, disk=disk)
    assert tree(root) == BEFORE
    assert tree(far) == {}
    assert os.lstat(root / "c.jpg").st_mtime_ns == 10**18 + 2


def test_a_copy_that_came_out_wrong_is_removed_and_the_file_stays(root, database, tmp_path):
    def corrupt(_source, dest):
        with open(dest, "w") as file:
            file.write("smalL")

    disk = replace(two_volumes(tmp_path / "far"), copy=corrupt)
    outcome = apply(plan_of(root, GROUP, verb="move", target=tmp_path / "far"), database=database, disk=disk)
    assert {row.state for row in outcome.rows} == {"skipped"}
    assert tree(root) == BEFORE
    assert tree(tmp_path / "far") == {}


def test_a_file_that_cannot_be_removed_after_its_copy_is_not_there_twice(root, database, tmp_path):
    disk = failing(
        errno.EPERM, "unlink", when=lambda path: path.endswith("root/c.jpg"), disk=two_volumes(tmp_path / "far")
    )
    made = plan_of(root, GROUP, verb="move", target=tmp_path / "far")
    outcome = apply(made, database=database, disk=disk)
    assert rows(outcome)["c.jpg"][0] == "failed"
    assert tree(root) == STAYS | {"c.jpg": "small"}
    assert tree(tmp_path / "far") == {"sub/b.jpg": "middle"}


def test_a_file_changed_while_it_is_copied_stays(root, database, tmp_path):
    def slow(source, dest):
        DISK.copy(source, dest)
        with open(source, "a") as file:
            file.write("er")

    disk = replace(two_volumes(tmp_path / "far"), copy=slow)
    outcome = apply(
        plan_of(root, ("a.jpg", "c.jpg"), verb="move", target=tmp_path / "far"), database=database, disk=disk
    )
    assert rows(outcome)["c.jpg"] == ("skipped", "changed while it was copied")
    assert tree(root)["c.jpg"] == "smaller"
    assert tree(tmp_path / "far") == {}


@pytest.mark.parametrize("verb", ["delete", "trash", "symlink", "reflink"])
def test_a_filesystem_without_hard_links_is_cleaned_as_well(root, database, verb):
    disk = replace(without_links(), clone=DISK.copy)
    outcome = apply(plan_of(root, GROUP, verb=verb), database=database, disk=disk)
    assert outcome.count("done") == 2
    undo(database=database, disk=disk)
    assert tree(root) == BEFORE


def test_something_that_appears_at_the_new_name_is_not_overwritten(root, database, tmp_path):
    def appear(source, dest):
        if dest.endswith("out/c.jpg"):
            with open(dest, "w") as file:
                file.write("mine")
        os.link(source, dest)

    outcome = apply(
        plan_of(root, GROUP, verb="move", target=tmp_path / "out"), database=database, disk=replace(DISK, link=appear)
    )
    assert rows(outcome)["c.jpg"][0] == "failed"
    assert tree(tmp_path / "out") == {"sub/b.jpg": "middle", "c.jpg": "mine"}
    assert tree(root)["c.jpg"] == "small"


@pytest.mark.parametrize("verb", ["delete", "trash", "move"])
def test_a_bundle_goes_together(root, database, tmp_path, verb):
    lay(root, {"c.xmp": "edits", "c.cr2": "raw"})
    made = plan_of(
        root, GROUP, verb=verb, target=tmp_path / "out" if verb == "move" else "", bundles={"c.jpg": ["c.xmp", "c.cr2"]}
    )
    outcome = apply(made, database=database)
    assert {name for name in tree(root) if not name.startswith(".imkin-held")} == STAYS.keys()
    assert outcome.rows[1].bytes == len("small") + len("edits") + len("raw")
    undo(database=database)
    assert tree(root) == BEFORE | {"c.xmp": "edits", "c.cr2": "raw"}


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_bundle_of_which_one_file_cannot_go_stays_together(root, database, number):
    lay(root, {"c.xmp": "edits", "c.cr2": "raw"})
    made = plan_of(root, GROUP, bundles={"c.jpg": ["c.xmp", "c.cr2"]})
    disk = failing(number, "link", when=lambda source, _: source.endswith("root/c.cr2"))
    outcome = apply(made, database=database, disk=disk)
    state, reason = rows(outcome)["c.jpg"]
    assert state == "failed"
    assert reason.startswith(f"{root}/c.cr2 of its bundle: ")
    assert rows(outcome)["b.jpg"] == ("done", "")
    assert {name for name in tree(root) if not name.startswith(".imkin-held")} == {*STAYS, "c.jpg", "c.xmp", "c.cr2"}


def test_a_bundle_of_which_one_file_changed_stays_together(root, database):
    lay(root, {"c.xmp": "edits"})
    made = plan_of(root, GROUP, bundles={"c.jpg": ["c.xmp"]})
    (root / "c.xmp").write_text("more edits")
    outcome = apply(made, database=database)
    assert rows(outcome)["c.jpg"] == ("skipped", f"{root}/c.xmp of its bundle changed since the scan")
    assert tree(root)["c.jpg"] == "small"


def test_names_that_are_not_utf8_are_cleaned_and_come_back(root, database):
    name = os.fsdecode(b"caf\xe9.jpg")
    lay(root, {name: "latin"})
    for verb in ("trash", "delete"):
        outcome = apply(plan_of(root, ("a.jpg", name), verb=verb), database=database)
        assert rows(outcome)[name] == ("done", "")
        assert name not in tree(root)
        undo(database=database)
        assert tree(root)[name] == "latin"


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
