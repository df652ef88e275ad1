"""Taking runs back, looking at them, and letting go of what is held."""

import os
from dataclasses import replace

import pytest

from cleaning import lay, plan_of, rows, tree
from imkin.actions import DISK, apply, history, purge, undo
from imkin.catalogue import Database
from imkin.errors import StoppedError, UsageError

FILES = {"a.jpg": "large", "sub/b.jpg": "middle", "c.jpg": "small"}
GROUP = tuple(FILES)
VERBS = ["trash", "move", "delete", "hardlink", "reflink", "symlink"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    lay(tmp_path / "root", FILES)
    return tmp_path / "root"


@pytest.fixture
def database(any_catalogue):
    with Database(any_catalogue, durable=True) as database:
        yield database


def run(root, database, verb="delete", group=GROUP):
    target = root.parent / "out" if verb == "move" else ""
    return apply(plan_of(root, group, verb=verb, target=target), database=database, disk=replace(DISK, clone=DISK.copy))


@pytest.mark.parametrize("verb", VERBS)
def test_undo_puts_every_file_back_as_it_was(root, database, tmp_path, verb):
    before = {name: os.lstat(root / name) for name in FILES}
    run(root, database, verb)
    assert tree(root) != FILES
    outcome = undo(database=database)
    assert tree(root) == FILES
    for name, status in before.items():
        after = os.lstat(root / name)
        assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (status.st_ino, status.st_mtime_ns, 1)
    assert (outcome.state, [row.state for row in outcome.rows]) == ("undone", ["undone", "undone"])
    assert not (root / ".imkin-held").exists()
    assert tree(tmp_path / "data") == {}


@pytest.mark.parametrize("verb", VERBS)
def test_undo_never_overwrites_what_came_in_the_files_place(root, database, verb):
    done = run(root, database, verb)
    if os.path.lexists(root / "c.jpg"):
        os.unlink(root / "c.jpg")
    (root / "c.jpg").write_text("new")
    outcome = undo(database=database)
    assert tree(root)["c.jpg"] == "new"
    assert tree(root)["sub/b.jpg"] == "middle"
    assert rows(outcome)["b.jpg"] == ("undone", "")
    assert rows(outcome)["c.jpg"][0] == "done"
    assert f"there is something else at {root}/c.jpg now" in rows(outcome)["c.jpg"][1]
    with open(done.rows[1].dest) as file:
        assert file.read() == "small"
    assert outcome.state == "partly undone"
    os.unlink(root / "c.jpg")
    assert undo(database=database).state == "undone"
    assert tree(root) == FILES


def test_undo_leaves_a_file_that_was_changed_where_it_went(root, database, tmp_path):
    run(root, database, "move")
    (tmp_path / "out" / "c.jpg").write_text("SMALL")
    outcome = undo(database=database)
    assert rows(outcome)["c.jpg"] == ("done", f"{tmp_path}/out/c.jpg was changed since; it stays there")
    assert tree(tmp_path / "out") == {"c.jpg": "SMALL"}


def test_undo_says_what_is_not_there_any_more(root, database, tmp_path):
    run(root, database, "move")
    os.unlink(tmp_path / "out" / "c.jpg")
    os.rmdir(root / "sub")
    outcome = undo(database=database)
    assert "is not there any more; is its disk plugged in?" in rows(outcome)["c.jpg"][1]
    assert rows(outcome)["b.jpg"][1] == f"its folder {root}/sub is not there: make it, or plug it in"
    assert tree(tmp_path / "out") == {"sub/b.jpg": "middle"}


def test_undo_restores_a_name_whose_link_was_removed(root, database):
    run(root, database, "symlink")
    os.unlink(root / "c.jpg")
    undo(database=database)
    assert tree(root) == FILES


def test_undo_of_a_hard_link_that_was_written_through_leaves_the_kept_file_alone(root, database):
    run(root, database, "hardlink")
    (root / "c.jpg").write_text("edited through a link")
    undo(database=database)
    assert tree(root) == FILES | {"a.jpg": "edited through a link"}


def test_undo_without_a_number_takes_back_the_last_run_and_then_the_one_before(root, database):
    run(root, database, group=("a.jpg", "c.jpg"))
    run(root, database, group=("a.jpg", "sub/b.jpg"))
    assert undo(database=database).run == 2
    assert undo(database=database).run == 1
    assert tree(root) == FILES
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(database=database)
    with pytest.raises(UsageError, match="there is nothing to undo in run 1, it is undone"):
        undo(1, database=database)
    with pytest.raises(UsageError, match="there is no run 7"):
        undo(7, database=database)


def test_runs_can_be_taken_back_in_any_order(root, database):
    run(root, database, group=("a.jpg", "c.jpg"))
    run(root, database, group=("a.jpg", "sub/b.jpg"))
    assert undo(1, database=database).state == "undone"
    assert "c.jpg" in tree(root)
    assert "sub/b.jpg" not in tree(root)


def test_an_undo_that_is_stopped_can_go_on(root, database):
    run(root, database)
    asked = iter([False, True])
    with pytest.raises(StoppedError, match="stopped after 1 of 2"):
        undo(database=database, stop=lambda: next(asked))
    assert history(database)[0].state == "partly undone"
    assert "c.jpg" in tree(root)
    undo(database=database)
    assert tree(root) == FILES


def test_history_tells_every_run_and_what_became_of_each_file(root, database):
    made = plan_of(root, GROUP)
    (root / "c.jpg").write_text("changed")
    apply(made, database=database)
    run(root, database, "hardlink", ("a.jpg", "c.jpg"))
    undo(database=database)
    first, second = history(database)
    assert (first.run, first.verb, first.state, first.bytes_won) == (1, "delete", "applied", 6)
    assert rows(first) == {"b.jpg": ("done", ""), "c.jpg": ("skipped", "changed since the scan")}
    assert (second.run, second.verb, second.state, rows(second)) == (2, "hardlink", "undone", {"c.jpg": ("undone", "")})


# Purge


def test_purge_removes_what_is_held_and_its_folders(root, database):
    run(root, database)
    assert [(row.state, row.bytes) for row in purge(database=database)] == [("purged", 6), ("purged", 5)]
    assert tree(root) == {"a.jpg": "large"}
    assert sorted(os.listdir(root)) == ["a.jpg", "sub"]
    assert [row.state for row in history(database)[0].rows] == ["purged", "purged"]
    assert purge(database=database) == ()
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(database=database)


def test_purge_touches_neither_the_trash_nor_moved_files(root, database, tmp_path):
    run(root, database, "trash", ("a.jpg", "c.jpg"))
    run(root, database, "move", ("a.jpg", "sub/b.jpg"))
    assert purge(database=database) == ()
    assert tree(tmp_path / "out") == {"sub/b.jpg": "middle"}


def test_purge_takes_one_run_if_it_is_named(root, database):
    run(root, database, group=("a.jpg", "c.jpg"))
    run(root, database, group=("a.jpg", "sub/b.jpg"))
    assert [os.path.basename(row.path) for row in purge(2, database=database)] == ["b.jpg"]
    undo(database=database)
    assert tree(root) == {"a.jpg": "large", "c.jpg": "small"}


@pytest.mark.parametrize("loss", ["gone", "changed"])
def test_purge_holds_on_to_a_file_whose_kept_one_is_no_more(root, database, loss):
    run(root, database)
    if loss == "gone":
        os.unlink(root / "a.jpg")
    else:
        (root / "a.jpg").write_text("other")
    assert {row.state for row in purge(database=database)} == {"skipped"}
    undo(database=database)
    assert tree(root)["c.jpg"] == "small"


def test_purge_lets_go_without_the_kept_file_if_told_to(root, database):
    run(root, database)
    os.unlink(root / "a.jpg")
    assert {row.state for row in purge(database=database, without_kept=True)} == {"purged"}
    assert tree(root) == {}


def test_the_last_copy_survives_a_chain_of_runs_and_a_purge(root, database):
    run(root, database, group=("a.jpg", "c.jpg"))
    run(root, database, group=("sub/b.jpg", "a.jpg"))
    states = {os.path.basename(row.path): row.state for row in purge(database=database)}
    assert states == {"a.jpg": "purged", "c.jpg": "skipped"}
    undo(1, database=database)
    assert tree(root) == {"sub/b.jpg": "middle", "c.jpg": "small"}


def test_purge_on_a_disk_that_is_not_there_forgets_nothing(root, database):
    run(root, database)
    os.rename(root, f"{root}-unplugged")
    assert {row.state for row in purge(database=database, without_kept=True)} == {"skipped"}
    os.rename(f"{root}-unplugged", root)
    undo(database=database)
    assert tree(root) == FILES


@pytest.mark.parametrize("verb", ["hardlink", "reflink"])
def test_undo_does_not_overwrite_the_last_copy_of_the_kept_file(root, database, verb):
    done = run(root, database, verb, group=("a.jpg", "c.jpg"))
    os.unlink(root / "a.jpg")
    outcome = undo(database=database)
    reason = f"holds the last copy of {root}/a.jpg: copy it to {root}/a.jpg, then undo; the file stays at "
    assert rows(outcome)["c.jpg"] == ("done", reason + done.rows[0].dest)
    assert (root / "c.jpg").read_text() == "large"
    with open(done.rows[0].dest) as file:
        assert file.read() == "small"
    (root / "a.jpg").write_text("large")
    assert undo(database=database).state == "undone"
    assert tree(root) == FILES


def test_undo_takes_back_a_symbolic_link_whose_kept_file_is_gone(root, database):
    run(root, database, "symlink")
    os.unlink(root / "a.jpg")
    assert undo(database=database).state == "undone"
    assert tree(root) == {"sub/b.jpg": "middle", "c.jpg": "small"}


def test_undo_counts_a_file_that_a_person_took_out_of_the_trash_and_tidies_up_after_it(root, database, tmp_path):
    done = run(root, database, "trash", group=("a.jpg", "c.jpg"))
    os.rename(done.rows[0].dest, root / "c.jpg")
    assert list(tree(tmp_path / "data")) == ["Trash/info/c.jpg.trashinfo"]
    outcome = undo(database=database)
    assert (outcome.state, rows(outcome)["c.jpg"]) == ("undone", ("undone", ""))
    assert tree(root) == FILES
    assert tree(tmp_path / "data") == {}


def test_undo_says_where_a_file_stays_only_if_it_is_there(root, database):
    done = run(root, database, "trash", group=("a.jpg", "c.jpg"))
    os.unlink(done.rows[0].dest)
    (root / "c.jpg").write_text("new")
    reason = f"there is something else at {root}/c.jpg now; {done.rows[0].dest} is not there any more"
    assert rows(undo(database=database))["c.jpg"] == ("done", reason)


@pytest.mark.parametrize("restored", [True, False])
def test_undo_without_a_number_passes_over_a_run_of_which_nothing_is_left(root, database, tmp_path, restored):
    run(root, database, "delete", group=("a.jpg", "sub/b.jpg"))
    done = run(root, database, "trash", group=("a.jpg", "c.jpg"))
    os.unlink(tmp_path / "data" / "Trash" / "info" / "c.jpg.trashinfo")
    os.rename(done.rows[0].dest, root / "c.jpg") if restored else os.unlink(done.rows[0].dest)
    assert undo(database=database).run == 1
    with pytest.raises(UsageError, match="could still be put back"):
        undo(database=database)


def test_undo_does_not_pass_over_a_run_whose_target_is_out_of_reach(root, database, tmp_path):
    run(root, database, "delete", group=("a.jpg", "sub/b.jpg"))
    run(root, database, "move", group=("a.jpg", "c.jpg"))
    os.rename(tmp_path / "out", tmp_path / "unplugged")
    (tmp_path / "out").mkdir()
    assert undo(database=database).run == 2
