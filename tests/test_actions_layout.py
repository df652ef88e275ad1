"""Groups laid out in folders of their own."""

import errno
import os
from dataclasses import replace

import pytest

from cleaning import failing, lay, rows, tree, two_volumes
from imkin.actions import DISK, history, layout, undo
from imkin.bundles import FolderBundles, look
from imkin.catalogue import Database
from imkin.cli.lay import layout_of
from imkin.cli.options import Setup
from imkin.errors import OutputError, StoppedError, UsageError
from imkin.types import File

FILES = {"x/a.jpg": "large", "y/a.jpg": "middle", "x/b.jpg": "second", "y/c.jpg": "second too", "z.jpg": "alone"}
LAID = {
    "group-0001/a.jpg": "large",
    "group-0001/a-2.jpg": "middle",
    "group-0002/b.jpg": "second",
    "group-0002/c.jpg": "second too",
    "single-0001/z.jpg": "alone",
}


@pytest.fixture
def root(tmp_path):
    lay(tmp_path / "root", FILES)
    return tmp_path / "root"


@pytest.fixture
def database(tmp_path):
    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:
        yield database


def files(root, *names):
    found = [look(str(root / name)) for name in names]
    return [File(seen.path, seen.size, seen.mtime_ns, seen.sha256, "", 1, 1, "JPEG") for seen in found]


def run(root, database, mode, *, singles=("z.jpg",), **options):
    groups = [files(root, "x/a.jpg", "y/a.jpg"), files(root, "x/b.jpg", "y/c.jpg")]
    return layout(
        groups, str(root.parent / "out"), mode=mode, database=database, singles=files(root, *singles), **options
    )


def test_copies_lie_in_a_folder_a_group_with_the_keeper_under_its_plain_name(root, database, tmp_path):
    outcome = run(root, database, "copy")
    assert tree(tmp_path / "out") == LAID
    assert tree(root) == FILES
    assert os.lstat(tmp_path / "out/group-0001/a-2.jpg").st_mtime_ns == os.lstat(root / "y/a.jpg").st_mtime_ns
    assert (outcome.run, outcome.count("done")) == (0, 5)
    assert history(database) == ()


def test_without_singles_only_groups_are_laid_out(root, database, tmp_path):
    run(root, database, "copy", singles=())
    assert sorted(os.listdir(tmp_path / "out")) == ["group-0001", "group-0002"]


def test_links_lead_to_the_files(root, database, tmp_path):
    run(root, database, "link")
    assert os.readlink(tmp_path / "out/group-0001/a-2.jpg") == str(root / "y/a.jpg")
    assert {name: (tmp_path / "out" / name).read_text() for name in tree(tmp_path / "out")} == LAID


def test_where_there_are_no_symbolic_links_hard_links_are_made(root, database, tmp_path):
    run(root, database, "link", disk=failing(errno.EPERM, "symlink"))
    assert os.path.samefile(tmp_path / "out/group-0001/a-2.jpg", root / "y/a.jpg")


def test_moves_can_be_undone(root, database, tmp_path):
    outcome = run(root, database, "move")
    assert tree(root) == {}
    assert tree(tmp_path / "out") == LAID
    assert (outcome.run, outcome.verb, outcome.count("done")) == (1, "layout", 5)
    undo(database=database)
    assert tree(root) == FILES


def test_moves_across_volumes_can_be_undone(root, database, tmp_path):
    disk = two_volumes(tmp_path / "out")
    run(root, database, "move", disk=disk)
    assert tree(tmp_path / "out") == LAID
    undo(database=database, disk=disk)
    assert tree(root) == FILES


def test_files_of_a_reference_folder_and_read_only_ones_are_not_moved(root, database):
    os.chmod(root / "x/b.jpg", 0o444)
    outcome = run(root, database, "move", fixed={str(root / "x/a.jpg")})
    assert tree(root) == {"x/a.jpg": "large", "x/b.jpg": "second"}
    assert rows(outcome)["b.jpg"] == ("skipped", "is read-only; make it writable to have it cleaned")


def test_a_file_that_changed_since_the_scan_is_skipped(root, database, tmp_path):
    groups = [files(root, "x/a.jpg", "y/a.jpg")]
    (root / "y/a.jpg").write_text("MIDDLE")
    outcome = layout(groups, str(tmp_path / "out"), mode="copy", database=database)
    assert [(row.state, row.reason) for row in outcome.rows] == [("done", ""), ("skipped", "changed since the scan")]
    assert tree(tmp_path / "out") == {"group-0001/a.jpg": "large"}


def test_a_folder_that_is_not_empty_is_refused_unless_told(root, database, tmp_path):
    lay(tmp_path / "out", {"group-0007/a.jpg": "older", "note.txt": "mine"})
    with pytest.raises(UsageError, match="is not empty; name a new folder, or add --into-existing"):
        run(root, database, "copy")
    run(root, database, "copy", into_existing=True)
    found = tree(tmp_path / "out")
    assert (found["group-0007/a.jpg"], found["note.txt"], found["group-0008/a.jpg"]) == ("older", "mine", "large")
    assert len(found) == 7


def test_companions_come_along(root, database, tmp_path):
    lay(root, {"y/a.xmp": "edits", "x/b.cr2": "raw"})
    made = [files(root, "x/a.jpg", "y/a.jpg"), files(root, "x/b.jpg", "x/b.cr2")]
    layout(made, str(tmp_path / "out"), mode="copy", database=database, bundles=FolderBundles())
    assert tree(tmp_path / "out") == {
        "group-0001/a.jpg": "large",
        "group-0001/a-2.jpg": "middle",
        "group-0001/a-2.xmp": "edits",
        "group-0002/b.jpg": "second",
        "group-0002/b.cr2": "raw",
    }


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(root, database, tmp_path):
    copies = []

    def copy(source, dest):
        copies.append(dest)
        if len(copies) > 1:
            with open(dest, "w") as file:
                file.write("par")
            raise OSError(errno.ENOSPC, "full", dest)
        DISK.copy(source, dest)

    with pytest.raises(OutputError, match=r"no room left on the disk .*: 1 files were laid out"):
        run(root, database, "copy", disk=replace(DISK, copy=copy))
    assert tree(tmp_path / "out") == {"group-0001/a.jpg": "large"}


def test_a_file_that_cannot_be_moved_stays_and_is_told(root, database):
    disk = failing(errno.EACCES, "link", when=lambda source, _: source.endswith("y/a.jpg"))
    outcome = run(root, database, "move", disk=disk)
    assert [row.state for row in outcome.rows] == ["done", "failed", "done", "done", "done"]
    assert tree(root) == {"y/a.jpg": "middle"}


def test_a_layout_that_is_stopped_can_be_undone(root, database):
    asked = iter([False, False, True])
    with pytest.raises(StoppedError, match="stopped after 2 of 5"):
        run(root, database, "move", stop=lambda: next(asked))
    assert history(database)[0].state == "stopped"
    undo(database=database)
    assert tree(root) == FILES


def test_a_folder_that_cannot_be_made_is_an_error(root, database, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match="cannot make the folder"):
        run(root, database, "copy")


@pytest.mark.parametrize("mode", ["copy", "move", "link"])
def test_an_image_in_an_archive_is_told_and_not_acted_on(root, database, tmp_path, mode):
    plain, inner = files(root, "x/a.jpg", "y/a.jpg")
    outcome = layout([[plain, replace(inner, source="archive")]], str(tmp_path / "out"), mode=mode, database=database)
    assert [(row.state, row.reason) for row in outcome.rows] == [("done", ""), ("skipped", "lies in an archive")]
    assert os.listdir(tmp_path / "out/group-0001") == ["a.jpg"]
    assert tree(root)["y/a.jpg"] == "middle"


def test_a_move_that_is_done_and_reported_as_an_error_counts_as_done(root, database):
    def unlink(path):
        os.unlink(path)
        if path.endswith("y/a.jpg"):
            raise OSError(errno.EIO, "lost", path)

    far = two_volumes(root.parent / "out", disk=replace(DISK, unlink=unlink))
    outcome = run(root, database, "move", disk=far)
    assert [row.state for row in outcome.rows] == ["done"] * 5
    assert undo(database=database).state == "undone"
    assert tree(root) == FILES


@pytest.mark.parametrize(
    ("folder", "reason"), [("", "--copy-to needs the name of a folder"), ("x/a.jpg", "x/a.jpg is a file, not a folder")]
)
def test_what_is_no_folder_is_refused_before_the_scan(root, monkeypatch, folder, reason):
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match=reason):
        layout_of(folder, None, None, singles=False, into_existing=True, setup=Setup())
