"""A catalogue in a real PostgreSQL server: shared, killed, restarted, and never telling its password."""

import logging
import os
import subprocess
import sys
import threading

import psycopg
import pytest
from typer.testing import CliRunner

import imkin
from cleaning import lay, plan_of, tree
from drawn import picture, write
from imkin.actions import apply, history, recover, undo
from imkin.catalogue import Database, PrintStore
from imkin.catalogue.choices import Choice, ChoiceStore
from imkin.catalogue.collections import CollectionStore
from imkin.catalogue.database import MIGRATIONS
from imkin.catalogue.decisions import DecisionStore
from imkin.catalogue.journal import Journal
from imkin.catalogue.postgres import without_password
from imkin.catalogue.transfer import TABLES, copy, counts
from imkin.cli import app
from imkin.errors import CatalogueError, UsageError
from imkin.types import Failure, File
from postgres import PASSWORD, WRITTEN, PostgresServer
from test_actions_crash import SETTINGS, World, applying, undo_all


@pytest.fixture
def url(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
def mortal():
    """A server of its own, to be killed."""
    server = PostgresServer()
    yield server
    server.close()


def file_of(number):
    return File(f"/p/{number}.jpg", 10 + number, 20, f"{number:064x}", f"{number:040x}", 6, 4, "JPEG")


def save(database, numbers, value=b"value"):
    store = PrintStore(database, spec="s", recipe="r")
    files = [file_of(number) for number in numbers]
    store.save(
        [(f.path, f.size, f.mtime_ns, bytes.fromhex(f.sha256)) for f in files], [(f, value, 0.5) for f in files], []
    )


def known(database, numbers):
    store = PrintStore(database, spec="s", recipe="r")
    return {int(sha256.hex(), 16) for sha256 in store.known(bytes.fromhex(file_of(n).sha256) for n in numbers)}


def cut(url):
    """End every other connection to the database, as a restart of the server or a firewall would."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_second_run_reads_no_pixels_and_finds_the_same(url, tmp_path):
    for seed in (1, 2):
        write(tmp_path / "p" / f"{seed}.png", picture(seed))
        write(tmp_path / "p" / f"{seed}.jpg", picture(seed), quality=70)
    (tmp_path / "p" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    first = imkin.group(tmp_path / "p", catalogue=url)
    assert first == imkin.group(tmp_path / "p")
    assert len(first.groups) == 2
    with imkin.Library(url) as library:
        scanned = library.scan([str(tmp_path / "p")])
        assert (scanned.made, scanned.reused) == (0, 4)
        assert scanned.failures == first.failures


def test_files_and_failures_come_back_whatever_their_names_are(any_catalogue):
    path = os.fsdecode(b"/p/caf\xe9 \xff\x01.jpg")
    with Database(any_catalogue) as database:
        store = PrintStore(database, spec="s", recipe="r")
        store.save([(path, 1, 2**62, b"a" * 32)], [], [(b"a" * 32, Failure(path, "decode", "broken"))])
        store.save([(path, 2, 3, b"b" * 32), ("/p/" + "x" * 3000, 1, 1, b"c" * 32)], [], [])
        assert store.unchanged([path, "/p/" + "x" * 3000]) == {path: (2, 3, b"b" * 32)}
        assert store.known([b"a" * 32])[b"a" * 32].failure == ("decode", "broken")


def test_a_reason_with_a_zero_byte_is_kept_without_it(url):
    with Database(url) as database:
        store = PrintStore(database, spec="s", recipe="r")
        store.save([], [], [(b"a" * 32, Failure("", "decode", "bad\0chunk"))])
        assert store.known([b"a" * 32])[b"a" * 32].failure == ("decode", "bad\ufffdchunk")


def test_both_kinds_have_the_same_tables_and_columns(url):
    with Database(url) as server, Database(None) as file:
        found = server.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'imkin'"
        )
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        expected = {(table, row[1]) for table in tables for row in file.execute(f"PRAGMA table_info({table})")}
    assert set(found) - {("version", "number")} == expected


RACER = """
import sys
from imkin.catalogue import Database
print("ready", flush=True)
sys.stdin.read()
with Database(sys.argv[1]) as database:
    print(database.execute("SELECT count(*) FROM files")[0][0])
"""


def test_several_processes_that_open_a_new_database_at_once_make_the_tables_once(url):
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 4
        for racer in racers:
            racer.stdin.close()
        assert [racer.stdout.read() for racer in racers] == ["0\n"] * 4
    finally:
        for racer in racers:
            racer.kill()
            racer.wait(60)
            racer.stdout.close()
    with Database(url) as database:
        assert database.execute("SELECT number FROM version") == [(len(MIGRATIONS),)]


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from test_postgres import Database, save
with Database(sys.argv[1]) as database:
    print("ready", flush=True)
    sys.stdin.read()
    for start in range(0, 200, 20):
        # The same rows as the other process writes, in the other order.
        numbers = range(start, start + 40)
        save(database, numbers if sys.argv[2] == "up" else reversed(numbers), sys.argv[2].encode())
"""


def test_two_processes_that_write_the_same_rows_at_once_neither_fail_nor_wait_for_each_other_for_ever(url):
    Database(url).close()
    here = os.path.dirname(__file__)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, way, here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for way in ("up", "down")
    ]
    try:
        assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
        for writer in writers:
            writer.stdin.close()
        assert [writer.wait(60) for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(60)
            writer.stdout.close()
    with Database(url) as database:
        assert known(database, range(300)) == set(range(220))


def test_two_writers_of_a_collection_give_no_number_twice(url):
    spec = imkin.fingerprint([], "phash").spec
    with Database(url) as database:
        collection = CollectionStore(database).create("c", method="phash", spec=spec, decoder="1").id

    def add(offset):
        with Database(url) as database:
            store = CollectionStore(database)
            for n in range(offset, offset + 30):
                store.put(collection, [(b"%032d" % n, f"/{n}", 1.0, b"12345678")], replace=True)

    threads = [threading.Thread(target=add, args=(offset,)) for offset in (0, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with Database(url) as database:
        store = CollectionStore(database)
        rows = store.block(collection, after=0, limit=100)
        assert [row.number for row in rows] == list(range(1, 46))
        assert store.state(collection)[1:] == (45, 45)


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


def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(mortal):
    url = mortal.new_database()
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


def test_kill_9_of_the_server_in_the_middle_of_a_clean_up_loses_no_file(mortal, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("imkin.catalogue.postgres.RETRY_S", 0.5)
    files = {f"{n}.jpg": f"content {n}" for n in range(6)}
    lay(tmp_path / "root", files)
    url = mortal.new_database()

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
    # Every third step of about 60: each death needs a database of its own.
    for limit in range(1, 200, 3):
        world = World(tmp_path / f"{limit}", setting, postgres.new_database())
        died = world.dies(limit, applying(world.plan))
        with Database(world.catalogue, durable=True) as database:
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


def test_a_newer_schema_is_an_error_and_is_left_alone(url):
    with Database(url) as database:
        database.execute("UPDATE version SET number = 999")
    with pytest.raises(CatalogueError, match="schema 999"):
        Database(url)


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


def secretless(text):
    return "se%" not in text and "secret" not in text and "s3cr" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("imkin:", "nobody:"), "authentication failed"),
        (lambda url: url.replace(WRITTEN, "s3cr@et"), "%40"),
        (lambda url: url.replace(WRITTEN, "s3cr/et"), "%2F"),
        (lambda url: url.replace(WRITTEN, "s3cr?et"), "%3F"),
        (lambda url: url.replace(WRITTEN, "s3cr%zz"), "is no URL"),
        (lambda url: url.replace("127.0.0.1", "127.0.0.1:x"), "***@127.0.0.1:x"),
        (lambda url: f"{url}_none?password={WRITTEN}", "does not exist"),
        (lambda url: f"{url}?nonsense=1&password=s3cr", "is no URL"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:1"), "cannot reach"),
    ],
)
def test_a_wrong_url_is_one_line_without_the_password(url, tmp_path, monkeypatch, change, words):
    monkeypatch.setenv("COLUMNS", "300")
    write(tmp_path / "p" / "a.png", picture(1))
    log = tmp_path / "log"
    arguments = ["pairs", str(tmp_path / "p"), "--catalogue", change(url), "--log-file", str(log), "-v"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert words in line
    assert secretless(done.output)
    assert secretless(log.read_text())


def test_the_log_and_the_lines_of_a_run_hold_no_password(url, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["imkin", "pairs", "p", "--catalogue", url, f"{url}?password={WRITTEN}"])
    write(tmp_path / "p" / "a.png", picture(1))
    log = tmp_path / "log"
    done = CliRunner().invoke(app, ["pairs", str(tmp_path / "p"), "--catalogue", url, "--log-file", str(log)])
    assert done.exit_code == 0
    assert "postgresql://imkin:***@127.0.0.1" in log.read_text()
    assert secretless(log.read_text() + done.output)
    # In a wrong place, where it is taken for a folder.
    done = CliRunner().invoke(app, ["pairs", url, "--no-catalogue", "--log-file", str(log)])
    assert done.exit_code == 2
    assert secretless(log.read_text() + done.output)
    logging.getLogger("imkin").handlers[:] = [logging.NullHandler()]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("postgresql://me:pw@h/d", "postgresql://me:***@h/d"),
        ("postgres://h/d?user=me&password=pw&x=1", "postgres://h/d?user=me&password=***&x=1"),
        ("postgresql://me:p@w@h/d", "postgresql://me:***@h/d"),
        ("postgresql://me:p?w@h/d", "postgresql://me:***@h/d"),
        ("postgresql://me:pw@h/d?sslpassword=key", "postgresql://me:***@h/d?sslpassword=***"),
    ],
)
def test_a_url_is_shown_without_its_passwords(url, shown):
    assert without_password(url) == shown


def test_the_password_itself_is_taken_out_of_errors_too(url):
    with Database(url) as database, pytest.raises(CatalogueError) as caught:
        database.execute(f"SELECT '{PASSWORD}'::bigint")
    assert "***" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def filled(path, tmp_path):
    """A catalogue with a row of everything; returns the folder whose files a run of it changed."""
    root = tmp_path / "root"
    lay(root, {"a.jpg": "x", "b.jpg": "x", os.fsdecode(b"caf\xe9.jpg"): "x"})
    for seed in range(3):
        write(tmp_path / "p" / f"{seed}.png", picture(seed))
    (tmp_path / "p" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    with imkin.Library(path) as library:
        library.scan([str(tmp_path / "p")], "phash")
        imkin.Collection(library, "photos", "phash").add([str(tmp_path / "p")])
    with Database(path, durable=True) as database:
        DecisionStore(database).mark("0a" * 32, "0b" * 32, "same", decided_ns=5)
        ChoiceStore(database).put([Choice(os.fsdecode(b"/caf\xe9"), "0a" * 32, "keep")])
        apply(plan_of(root, ("a.jpg", "b.jpg")), database=database)
    return root


def test_a_catalogue_goes_to_the_server_and_back_with_everything_and_its_run_can_be_undone(url, tmp_path):
    start, end = str(tmp_path / "c.sqlite"), str(tmp_path / "back.sqlite")
    root = filled(start, tmp_path)
    run = CliRunner().invoke
    for _ in range(2):
        done = run(app, ["catalogue", "copy", start, url])
        assert done.exit_code == 0, done.output
        assert secretless(done.output)
    assert run(app, ["catalogue", "copy", url, end]).exit_code == 0
    with Database(start) as a, Database(url) as b, Database(end) as c:
        assert counts(a) == counts(b) == counts(c)
        assert min(counts(a).values()) >= 1
        columns = {table: [row[1] for row in a.execute(f"PRAGMA table_info({table})")] for table in TABLES}
        assert columns.keys() == {name for (name,) in a.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for table, names in columns.items():
            query = f"SELECT {', '.join(name for name in names if name != 'host')} FROM {table} ORDER BY 1, 2, 3"
            assert a.execute(query) == b.execute(query) == c.execute(query)
    with imkin.Library(url) as library:
        assert library.scan([str(tmp_path / "p")], "phash").made == 0
        matches = imkin.Collection(library, "photos").search(str(tmp_path / "p" / "1.png"), top=1)
        assert [match.similarity for match in matches] == [1.0]
    with Database(url, durable=True) as database:
        undo(database=database)
        assert Journal(database).begin("", verb="trash").id == 2
    assert sorted(tree(root)) == sorted(["a.jpg", "b.jpg", os.fsdecode(b"caf\xe9.jpg")])


def test_a_copy_into_a_catalogue_in_use_keeps_what_is_newer_there(url, tmp_path):
    a, b = "0a" * 32, "0b" * 32
    with Database(str(tmp_path / "c.sqlite"), durable=True) as file, Database(url, durable=True) as server:
        DecisionStore(file).mark(a, b, "same", decided_ns=5)
        DecisionStore(server).mark(a, b, "different", decided_ns=6)
        Journal(file).set_state(Journal(file).begin("mine", verb="trash").id, "applied")
        Journal(server).set_state(Journal(server).begin("theirs", verb="trash").id, "applied")
        assert copy(file, server).runs_left == 1
        assert DecisionStore(server).all()[0].verdict == "different"
        assert [Journal(server).plan(run.id) for run in Journal(server).runs()] == ["theirs"]


def test_a_copy_of_what_cannot_be_copied_is_refused_before_anything_is_written(url, tmp_path):
    path = str(tmp_path / "c.sqlite")
    spec = imkin.fingerprint([], "phash").spec
    with Database(path, durable=True) as file, Database(url, durable=True) as server:
        save(file, range(3))
        for database in (file, server):
            CollectionStore(database).create("photos", method="phash", spec=spec, decoder="1")
        with pytest.raises(CatalogueError, match="another collection called `photos`"):
            copy(file, server)
        Journal(file).begin("", verb="trash")
        with pytest.raises(UsageError, match=r"run 1 of .* is not finished"):
            copy(file, server)
        with pytest.raises(UsageError, match="same catalogue"):
            copy(server, server)
        assert counts(server)["prints"] == 0
    assert CliRunner().invoke(app, ["catalogue", "copy", str(tmp_path / "none"), url]).exit_code == 2
    assert not (tmp_path / "none").exists()


def test_show_says_what_is_there_and_no_password(url):
    with Database(url) as database:
        save(database, range(1234))
    done = CliRunner().invoke(app, ["catalogue", "show", "--catalogue", url])
    assert done.output.splitlines()[0].startswith("postgresql://imkin:***@127.0.0.1")
    assert "1,234" in done.output
