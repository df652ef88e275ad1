"""The review without its page: groups at a threshold, decisions saved as they are made, undo, plan, apply."""

import os
import shutil
from dataclasses import dataclass

import pytest

from drawn import picture, write
from imkin.catalogue import Database
from imkin.catalogue.decisions import DecisionStore
from imkin.errors import UsageError
from imkin.review import carrying, shown
from imkin.review.about import STATES
from imkin.review.pictures import SCREEN, THUMBNAIL, Pictures, trim
from reviewing import lay_photos, made_session, session_on


@pytest.fixture
def photos(tmp_path):
    return lay_photos(tmp_path / "photos")


@pytest.fixture
def session(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session:
        yield session


def names(session, files):
    return sorted(os.path.relpath(session.files[at].path, session.about.wish.roots[0]) for at in files)


def at(session, number, name):
    return next(at for at in session.groups[number] if os.path.basename(session.files[at].path) == name)


def states(session):
    return [standing.state for standing in session.standings]


def test_the_groups_are_those_of_the_scan_with_the_largest_picture_suggested(session):
    assert [names(session, members) for members in session.groups] == [
        [f"album-{n}/photo low.jpg", f"album-{n}/photo small.jpg", f"album-{n}/photo.png"] for n in range(3)
    ]
    told = shown.group(session, 0)
    keeper = next(member for member in told["members"] if member["id"] == told["keeper"])
    assert os.path.basename(session.files[told["keeper"]].path) == "photo.png"
    assert (keeper["do"], keeper["why"].split(":")[0]) == ("keep", "largest")
    assert sorted(member["do"] for member in told["members"]) == ["delete", "delete", "keep"]


def test_keeping_one_lets_go_what_is_near_it_and_nothing_else_is_decided(session):
    small = at(session, 1, "photo small.jpg")
    assert session.keep(1, [small]) == [1]
    assert states(session) == ["open", "kept", "open"]
    assert session.standings[1].kept == (small,)
    assert names(session, session.standings[1].going) == ["album-1/photo low.jpg", "album-1/photo.png"]
    plan = session.decided_plan("delete")
    assert sorted(os.path.basename(action.file.path) for action in plan.actions) == ["photo low.jpg", "photo.png"]
    assert {action.keep.path for action in plan.actions} == {session.files[small].path}


def test_two_can_be_kept_and_all_of_them(session):
    kept = [at(session, 0, "photo small.jpg"), at(session, 0, "photo.png")]
    session.keep(0, kept)
    session.keep_all([1])
    assert states(session) == ["kept", "all", "open"]
    assert [os.path.basename(action.file.path) for action in session.decided_plan("delete").actions] == [
        "photo low.jpg"
    ]


def test_a_group_keeps_at_least_one_file(session):
    with pytest.raises(UsageError, match="one file of the group"):
        session.keep(0, [])
    with pytest.raises(UsageError, match="one file of the group"):
        session.keep(0, [session.groups[1][0]])


def test_a_file_told_apart_is_left_and_the_others_are_decided_without_it(session):
    low = at(session, 0, "photo low.jpg")
    session.part([0], file=low)
    assert states(session)[0] == "open"
    session.keep(0, [at(session, 0, "photo.png")])
    assert names(session, session.standings[0].going) == ["album-0/photo small.jpg"]
    plan = session.decided_plan("delete")
    assert [os.path.basename(action.file.path) for action in plan.actions] == ["photo small.jpg"]
    verdicts = {each.verdict for each in DecisionStore(session.database).all()}
    assert (len(DecisionStore(session.database).all()), verdicts) == (2, {"different"})


def test_a_group_told_apart_is_decided_stays_in_view_and_loses_nothing(session, photos, tmp_path):
    session.part([2])
    assert states(session) == ["open", "open", "different"]
    assert session.decided_plan("delete").actions == ()
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert states(again) == ["open", "open", "different"]
        again.reopen([2])
        assert states(again) == ["open"] * 3
        assert DecisionStore(again.database).all() == []


def test_equal_bytes_cannot_be_told_apart(tmp_path):
    write(tmp_path / "p" / "a.png", picture(1))
    shutil.copyfile(tmp_path / "p" / "a.png", tmp_path / "p" / "b.png")
    with session_on(tmp_path / "p", tmp_path / "c.sqlite") as session:
        with pytest.raises(UsageError, match="equal bytes"):
            session.part([0])
        session.keep(0, [1])
        assert [os.path.basename(action.file.path) for action in session.decided_plan("delete").actions] == ["a.png"]


def test_decisions_outlive_the_session(session, photos, tmp_path):
    session.keep(0, [at(session, 0, "photo small.jpg")])
    session.keep_all([1])
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert (again.standings, again.revision) == (session.standings, 1)


def test_a_decided_file_that_was_renamed_is_still_decided(session, photos, tmp_path):
    session.keep(0, [at(session, 0, "photo.png")])
    os.rename(photos / "album-0" / "photo low.jpg", photos / "album-0" / "renamed.jpg")
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert states(again) == ["kept", "open", "open"]


def test_a_copy_of_a_decided_file_in_another_folder_is_not_decided(session, photos, tmp_path):
    session.keep(0, [at(session, 0, "photo.png")])
    shutil.copytree(photos, tmp_path / "elsewhere")
    with session_on(tmp_path / "elsewhere", tmp_path / "c.sqlite") as again:
        assert states(again) == ["open"] * 3


def test_a_new_copy_opens_its_group_again_with_the_earlier_choice_in_it(session, photos, tmp_path):
    session.keep(0, [at(session, 0, "photo small.jpg")])
    write(photos / "album-0" / "photo new.jpg", picture(0, width=320, height=240), quality=60)
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert states(again) == ["open"] * 3
        told = shown.group(again, 0)
        assert os.path.basename(again.files[told["keeper"]].path) == "photo small.jpg"
        assert again.decided_plan("delete").actions == ()


def test_what_was_to_go_because_of_a_file_that_is_gone_is_undecided(session, photos, tmp_path):
    session.keep(0, [at(session, 0, "photo.png")])
    os.unlink(photos / "album-0" / "photo.png")
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert names(again, again.groups[0]) == ["album-0/photo low.jpg", "album-0/photo small.jpg"]
        assert states(again) == ["open"] * 3


def test_undo_takes_back_one_decision_after_the_other(session, photos, tmp_path):
    first = session.standings[:]
    session.keep(0, [session.groups[0][0]])
    second = session.standings[:]
    session.keep_all([0, 1])
    session.part([2])
    assert session.undoable == "Different"
    assert session.undo() == ("Different", session.groups[2][0], [2])
    assert session.undo() == ("Keep all", session.groups[0][0], [0, 1])
    assert session.standings == second
    assert session.undo() == ("Keep", session.groups[0][0], [0])
    assert session.standings == first
    with pytest.raises(UsageError, match="nothing to undo"):
        session.undo()
    with session_on(photos, tmp_path / "c.sqlite") as again:
        assert again.standings == first


def test_moving_the_threshold_groups_anew_and_keeps_what_was_decided():
    with Database(None) as database:
        session = made_session(database, 10)
        session.keep(0, [1])
        session.regroup(0.9)
        assert [session.groups[0], len(session.groups)] == [(0, 1), 6]
        assert states(session)[0] == "kept"
        session.regroup(0.97)
        assert session.groups == []
        with pytest.raises(UsageError, match=r"0\.7 to 1"):
            session.regroup(0.5)
        assert [count for _, count, _ in session.stops()][:12] == [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9]


def test_a_scan_regroups_as_the_library_groups_at_that_threshold(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite", threshold=0.95) as session:
        for threshold in (0.86, 0.9, 0.96, 1.0):
            session.regroup(threshold)
            with session_on(photos, tmp_path / "other.sqlite", threshold=threshold) as other:
                assert session.groups == other.groups


def test_a_plan_is_applied_leaves_the_review_and_comes_back(session, photos):
    before = tree_bytes(photos)
    for number in range(2):
        session.keep(number, [at(session, number, "photo.png")])
    task = carrying.apply(session, session.decided_plan("delete"))
    task.wait()
    assert (task.state, task.done, task.total, task.outcome.count("done")) == ("done", 4, 4, 4)
    assert sorted(path.name for path in (photos / "album-0").iterdir() if path.is_file()) == ["photo.png"]
    assert [names(session, members) for members in session.groups] == [
        ["album-2/photo low.jpg", "album-2/photo small.jpg", "album-2/photo.png"]
    ]
    assert carrying.last_run(session).run == task.outcome.run
    back = carrying.undo(session, task.outcome.run)
    back.wait()
    assert (back.state, back.outcome.count("undone")) == ("done", 4)
    assert (len(session.groups), states(session)) == (3, ["kept", "kept", "open"])
    assert tree_bytes(photos) == before


def tree_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_that_changed_since_the_scan_stays_and_says_why(session, photos):
    session.keep(0, [at(session, 0, "photo.png")])
    plan = session.decided_plan("delete")
    (photos / "album-0" / "photo low.jpg").write_bytes(b"something else")
    task = carrying.apply(session, plan)
    task.wait()
    assert (task.outcome.count("done"), task.outcome.count("skipped")) == (1, 1)
    assert task.plain()["left"][0]["path"].endswith("photo low.jpg")
    assert (photos / "album-0" / "photo low.jpg").read_bytes() == b"something else"


def test_a_plan_that_cannot_be_applied_fails_in_words_and_changes_nothing(session, photos):
    session.keep(0, [at(session, 0, "photo.png")])
    plan = session.decided_plan("delete")
    os.rename(photos, f"{photos} elsewhere")
    task = carrying.apply(session, plan)
    task.wait()
    assert (task.state, task.outcome) == ("failed", None)
    assert "is not there" in task.detail


def test_suggestions_for_many_groups_are_one_step_and_leave_what_is_decided(session):
    session.keep_all([1])
    task = carrying.suggest(session, [0, 1, 2])
    task.wait()
    assert (task.state, states(session)) == ("done", ["kept", "all", "kept"])
    assert [os.path.basename(session.files[session.standings[n].kept[0]].path) for n in (0, 2)] == ["photo.png"] * 2
    session.undo()
    assert states(session) == ["open", "all", "open"]


def test_the_overview_has_a_column_entry_for_every_group_and_file(session):
    session.keep(0, [at(session, 0, "photo.png")])
    told = shown.overview(session)
    assert {len(column) for column in told["files"].values()} == {9}
    assert {len(column) for column in told["groups"].values()} == {3}
    assert [STATES[state] for state in told["groups"]["state"]] == ["kept", "open", "open"]
    assert (told["decided"], told["total"], told["going"], told["undo"]) == (1, 3, 2, "Keep")
    for number, members in enumerate(session.groups):
        alike = [s for a in members for b in members if a < b and (s := session.similarity(a, b)) is not None]
        assert told["groups"]["least"][number] == pytest.approx(min(alike), abs=1e-4)
        assert told["groups"]["most"][number] == pytest.approx(max(alike), abs=1e-4)


def test_a_file_of_a_reference_folder_is_always_kept(photos, tmp_path):
    from imkin.actions import Wish
    from imkin.library import Library, Scope
    from imkin.review import open_session

    archive = lay_photos(tmp_path / "archive", count=1)
    scope = Scope(reference=(str(archive),))
    path = str(tmp_path / "c.sqlite")
    with Library(path) as library, Database(path, durable=True) as database:
        scanned = library.scan([str(photos)], "phash", scope=scope)
        wish = Wish("delete", (str(photos),), reference=(str(archive),))
        session = open_session(library, scanned, wish=wish, threshold=0.9, database=database, scope=scope)
        own = next(at for at in session.groups[0] if session.files[at].path.startswith(str(photos)))
        session.keep(0, [own])
        gone = {action.file.path for action in session.decided_plan("delete").actions}
        assert not any(path.startswith(str(archive)) for path in gone)


def test_thumbnails_are_kept_by_content_and_found_again(photos, tmp_path):
    folder = tmp_path / "thumbnails"
    with session_on(photos, tmp_path / "c.sqlite", thumbnails=str(folder)) as session:
        first = session.pictures.jpeg(session.files[0], THUMBNAIL)
        assert session.pictures.jpeg(session.files[0], SCREEN) is not None
    assert [path.read_bytes() for path in folder.rglob("*.jpg")] == [first]
    nothing = Pictures(lambda _path, _side: None, folder=str(folder))
    assert nothing.jpeg(session.files[0], THUMBNAIL) == first
    assert nothing.jpeg(session.files[1], THUMBNAIL) is None


def test_a_picture_that_changed_since_the_scan_is_not_shown_as_the_scanned_one(session, photos):
    path = session.files[0].path
    with open(path, "ab") as file:
        file.write(b"more")
    assert session.pictures.jpeg(session.files[0], THUMBNAIL) is None


def test_the_oldest_thumbnails_go_when_there_are_too_many(tmp_path):
    for number in range(4):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(bytes(10))
        os.utime(path, ns=(number, number))
    assert trim(str(tmp_path), most=25) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.jpg", "3.jpg"]


def test_relations_are_told_of_pairs_with_the_keeper_and_asked_once():
    @dataclass(frozen=True)
    class Relation:
        name: str

    asked = []

    def relate(left, right):
        asked.append(len(left))
        return [Relation("cropped" if a else "resized") for a in left.tolist()]

    with Database(None) as database:
        session = made_session(database, 3)
        assert shown.relations(session) == [[], [], []]
        session.relate = relate
        assert shown.relations(session) == [["resized"], ["cropped"], ["cropped"]]
        session.outlook = lambda numbers: {number: {} for number in numbers}
        assert [pair[4] for pair in shown.group(session, 1)["pairs"]] == ["cropped"]
        assert asked == [3]


def test_sharpness_tells_a_blurred_copy(tmp_path):
    pixels = picture(3, width=320, height=240)
    write(tmp_path / "p" / "a.png", pixels)
    write(tmp_path / "p" / "b.png", (pixels[::4, ::4].repeat(4, 0).repeat(4, 1)))
    with session_on(tmp_path / "p", tmp_path / "c.sqlite", threshold=0.7) as session:
        sharp = shown.sharpness(session, range(2))
        assert all(0 <= value <= 1 for value in sharp)


def test_ten_thousand_groups_are_told_and_decided():
    with Database(None) as database:
        session = made_session(database, 10_000)
        told = shown.overview(session)
        assert (len(told["groups"]["members"]), len(told["files"]["id"])) == (10_000, 20_000)
        assert session.keep(9_999, [19_999]) == [9_999]
        assert len(session.keep_all(range(5_000))) == 5_000
        assert shown.progress(session)["decided"] == 5_001


def test_undo_goes_on_after_a_restart_one_decision_after_the_other(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session:
        session.keep(0, [at(session, 0, "photo small.jpg")])
        session.keep(0, [at(session, 0, "photo.png")])
        session.part([1])
    with session_on(photos, tmp_path / "c.sqlite") as session:
        assert states(session) == ["kept", "different", "open"]
        assert session.undoable == "Different"
        assert session.undo()[0] == "Different"
        assert states(session) == ["kept", "open", "open"]
        session.undo()
        assert names(session, session.standings[0].kept) == ["album-0/photo small.jpg"]
    with session_on(photos, tmp_path / "c.sqlite") as session:
        session.undo()
        assert states(session) == ["open"] * 3
        assert session.undoable == ""
        with pytest.raises(UsageError, match="nothing to undo"):
            session.undo()


def test_what_was_decided_otherwise_meanwhile_is_not_undone(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session:
        session.part([1])
        pair = next(iter(session.said.decisions))
        DecisionStore(session.database).forget([pair])
    with session_on(photos, tmp_path / "c.sqlite") as session:
        with pytest.raises(UsageError, match="«Different» was decided otherwise meanwhile"):
            session.undo()
        assert pair not in session.said.decisions
        assert session.undoable == ""


def test_undo_passes_over_files_that_are_gone_or_have_changed(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session:
        session.keep_all([2])
        session.keep_all([0])
    (photos / "album-0" / "photo low.jpg").unlink()
    with session_on(photos, tmp_path / "c.sqlite") as session:
        what, about, _ = session.undo()
        assert (what, os.path.basename(os.path.dirname(session.files[about].path))) == ("Keep all", "album-2")
        assert session.undoable == ""


def test_a_review_of_other_folders_has_its_own_undo(photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session:
        session.keep_all([0])
    with session_on(photos / "album-0", tmp_path / "c.sqlite") as session:
        assert (states(session), session.undoable) == (["all"], "")
