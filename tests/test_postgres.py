"""A catalogue in a real PostgreSQL server: lost connections, killed servers, other machines."""

import threading

import psycopg
import pytest

from cleaning import lay, plan_of, tree
from imkin.actions import apply, history, recover, undo
from imkin.catalogue import Database, PrintStore
from imkin.catalogue.decisions import DecisionStore
from imkin.catalogue.journal import Journal
from imkin.errors import CatalogueError, UsageError
from imkin.types import Failure
from postgres import WRITTEN
from stored import cut, known, save
from test_actions_crash import SETTINGS, World, applying, undo_all


@pytest.fixture
def mortal(postgres):
    """The server, to be killed; it runs again for the next test."""
    yield postgres
    if not postgres.running():
        postgres.start()


def test_a_reason_with_a_zero_byte_is_kept_without_it(url):
    with Database(url) as database:
        store = PrintStore(database, spec="s", recipe="r")
        store.save([], [], [(b"a" * 32, Failure("", "decode", "bad\0chunk"))])
        assert store.known([b"a" * 32])[b"a" * 32].failure == ("decode", "bad\ufffdchunk")


def test_a_connection_that_was_lost_is_made_again(url):
    with Database(url) as database:
        save(database, range(3))
        cut(url)
        assert known(database, range(5)) == {0, 1, 2}
        cut(url)
        save(database, range(3, 5))
        assert known(database, range(5)) == set(range(5))


def test_what_is_lost_in_the_middle_of_a_change_is_done_again_where_that_is_safe(url):
    with Database(url) as database:
        tries = []

        def work():
            with database.transaction():
                save_rows = [(b"/a", 1, 2, b"x" * 32)]
                database.put("files", ("path", "size", "mtime_ns", "sha256"), save_rows, key=("path",))
                tries.append(1)
                if len(tries) == 1:
                    cut(url)

        database.repeated(work)
        assert len(tries) == 2
        assert database.execute("SELECT size FROM files") == [(1,)]


def test_a_journal_whose_connection_is_lost_in_the_middle_says_so_and_writes_nothing_twice(url):
    with Database(url, durable=True) as database:
        journal = Journal(database)
        run = journal.begin("plan", verb="trash")
        with pytest.raises(CatalogueError, match="was lost"), database.transaction():
            database.execute("SELECT 1")
            cut(url)
            database.execute("SELECT 1")
        journal.intend(run.id, 0, [{}])
        assert len(journal.steps(run.id)) == 1


def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(url, mortal):
    with Database(url, durable=True) as database:
        decisions, journal = DecisionStore(database), Journal(database)
        for round_ in range(2):
            acknowledged, one_more, stop = [], threading.Semaphore(0), threading.Event()

            def write(round_=round_, acknowledged=acknowledged, one_more=one_more, stop=stop):
                with Database(url) as own:
                    for n in range(1000 * round_, 1000 * round_ + 1000):
                        if stop.is_set():
                            return
                        save(own, [n])
                        acknowledged.append(n)
                        one_more.release()

            thread = threading.Thread(target=write)
            thread.start()
            run = journal.begin(f"plan {round_}", verb="trash")
            journal.intend(run.id, 0, [{"round": round_}])
            decisions.mark(f"{round_:064x}", "f" * 64, "same", decided_ns=round_)
            assert all(one_more.acquire(timeout=60) for _ in range(20))
            mortal.kill()
            before = len(acknowledged)
            mortal.start()
            assert all(one_more.acquire(timeout=60) for _ in range(before - 20 + 5)), "it goes on after the restart"
            stop.set()
            thread.join(60)
            assert known(database, acknowledged) == set(acknowledged)
            assert journal.steps(run.id)[0].entry == {"round": round_}
            assert len(decisions.all()) == round_ + 1


def test_kill_9_of_the_server_in_the_middle_of_a_clean_up_loses_no_file(url, mortal, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("imkin.catalogue.postgres.RETRY_S", 0.5)
    files = {f"{n}.jpg": f"content {n}" for n in range(6)}
    lay(tmp_path / "root", files)

    def kill(stage, done, total):
        if done == 3:
            mortal.kill()

    with Database(url, durable=True) as database, pytest.raises(CatalogueError):
        apply(plan_of(tmp_path / "root", tuple(files)), database=database, progress=kill)
    mortal.start()
    with Database(url, durable=True) as database:
        recover(database=database)
        assert [run.state for run in history(database)] == ["stopped"]
        assert len(tree(tmp_path / "root")) >= 6, "what is held lies below the root too"
        undo(database=database)
    assert tree(tmp_path / "root") == files


@pytest.mark.parametrize("setting", ["delete", "move far"])
def test_a_process_that_dies_at_any_step_of_a_run_loses_nothing(postgres, tmp_path, monkeypatch, setting):
    assert setting in SETTINGS
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    # Every fifth step of about 60; all of them with a file.
    for limit in range(1, 200, 5):
        with postgres.lent() as url:
            world = World(tmp_path / f"{limit}", setting, url)
            died = world.dies(limit, applying(world.plan))
            with Database(url, durable=True) as database:
                recover(database=database, disk=world.disk())
                assert world.unfinished() == []
                undo_all(database, world.disk())
            world.check_restored()
        if not died:
            break
    assert limit > 10


def test_only_one_process_changes_files_at_a_time_and_a_lost_connection_gives_the_lock_back(url):
    with Database(url, durable=True) as one, Database(url, durable=True) as two:
        with one.exclusive() as held, two.exclusive() as other:
            assert (held, other) == (True, False)
        with two.exclusive() as held:
            assert held
        with one.exclusive() as held:
            assert held
            cut(url)
            with two.exclusive() as other:
                assert other
                with pytest.raises(CatalogueError, match="another imkin changes files now"):
                    one.execute("SELECT 1")


def test_runs_of_another_machine_are_neither_tidied_up_nor_undone_here(url, tmp_path, monkeypatch):
    lay(tmp_path / "root", {"a.jpg": "x", "b.jpg": "x"})
    with Database(url, durable=True) as database:
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
        run = Journal(database).begin("{}", verb="delete")
        Journal(database).intend(run.id, 0, [{}])
        monkeypatch.setattr("platform.node", lambda: "here")
        assert recover(database=database) == ()
        assert history(database) == ()
        apply(plan_of(tmp_path / "root", ("a.jpg", "b.jpg")), database=database)
        with pytest.raises(UsageError, match="machine `elsewhere`"):
            undo(run.id, database=database)
        assert undo(database=database).state == "undone"


def test_a_server_that_may_forget_what_it_wrote_takes_no_journal(url):
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Database(url, durable=True) as database:
        assert database.execute("SHOW synchronous_commit") == [("on",)]
    with Database(url) as database:
        assert database.execute("SHOW synchronous_commit") == [("off",)]


def test_pictures_of_a_database_without_the_right_to_make_tables_are_an_error_that_says_so(url):
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'quiet'; SELECT '{name}'")
    with pytest.raises(CatalogueError, match="permission denied"):
        Database(url.replace(f"imkin:{WRITTEN}", "reader:quiet"))
