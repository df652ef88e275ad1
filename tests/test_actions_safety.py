"""Applying a plan to real files: every rule of safety, so that no file is lost."""

import errno
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from cleaning import failing, lay, plan_of, rows, tree, two_volumes, without_links
from imkin.actions import DISK, apply, history, undo
from imkin.errors import MissingPathError, OutputError, UsageError


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
