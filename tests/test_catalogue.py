"""A catalogue of either kind: what was put in is there, also when several processes put in at once."""

import os
import subprocess
import sys
import threading

import pytest

import imkin
from drawn import picture, write
from imkin.catalogue import Database, PrintStore
from imkin.catalogue.collections import CollectionStore
from imkin.catalogue.schema import MIGRATIONS
from imkin.errors import CatalogueError
from imkin.types import Failure
from stored import known, save


def test_files_and_failures_come_back_whatever_their_names_are(any_catalogue):
    path = os.fsdecode(b"/p/caf\xe9 \xff\x01.jpg")
    with Database(any_catalogue) as database:
        store = PrintStore(database, spec="s", recipe="r")
        store.save([(path, 1, 2**62, b"a" * 32)], [], [(b"a" * 32, Failure(path, "decode", "broken"))])
        store.save([(path, 2, 3, b"b" * 32), ("/p/" + "x" * 3000, 1, 1, b"c" * 32)], [], [])
        assert store.unchanged([path, "/p/" + "x" * 3000]) == {path: (2, 3, b"b" * 32)}
        assert store.known([b"a" * 32])[b"a" * 32].failure == ("decode", "broken")


def test_both_kinds_have_the_same_tables_and_columns(url):
    with Database(url) as server, Database(None) as file:
        found = server.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'imkin'"
        )
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        expected = {(table, row[1]) for table in tables for row in file.execute(f"PRAGMA table_info({table})")}
    assert set(found) - {("version", "number")} == expected


# By whether it is a server's.
VERSION = {True: "SELECT number FROM version", False: "PRAGMA user_version"}
SET_VERSION = {True: "UPDATE version SET number = 999", False: "PRAGMA user_version = 999"}


def started(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


RACER = """
import sys
from imkin.catalogue import Database
print("ready", flush=True)
sys.stdin.read()
with Database(sys.argv[1]) as database:
    print(database.execute("SELECT count(*) FROM files")[0][0])
"""


def raced(catalogue, count):
    """What each of several processes finds that open a catalogue at once."""
    racers = [started(RACER, catalogue) for _ in range(count)]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * count
        for racer in racers:
            racer.stdin.close()
        return [racer.stdout.read() for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait(60)
            racer.stdout.close()


def test_several_processes_that_open_a_new_database_at_once_make_the_tables_once(any_catalogue):
    assert raced(any_catalogue, 3) == ["0\n"] * 3
    with Database(any_catalogue) as database:
        assert database.execute(VERSION[database.server]) == [(len(MIGRATIONS),)]


def test_two_processes_that_open_an_older_database_at_once_migrate_it_once_and_keep_what_it_holds(
    any_catalogue, monkeypatch
):
    with monkeypatch.context() as older:
        for kind in ("postgres", "sqlite"):
            older.setattr(f"imkin.catalogue.{kind}.MIGRATIONS", MIGRATIONS[:1])
        with Database(any_catalogue) as database:
            save(database, range(3))
    assert raced(any_catalogue, 2) == ["3\n"] * 2
    with Database(any_catalogue) as database:
        assert database.execute(VERSION[database.server]) == [(len(MIGRATIONS),)]
        assert known(database, range(5)) == {0, 1, 2}


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from imkin.catalogue import Database
from stored import save
with Database(sys.argv[1]) as database:
    print("ready", flush=True)
    sys.stdin.read()
    for start in range(0, 200, 20):
        # The same rows as the other process writes, in the other order.
        numbers = range(start, start + 40)
        save(database, numbers if sys.argv[2] == "up" else reversed(numbers), sys.argv[2].encode())
"""


def test_two_processes_that_write_the_same_rows_at_once_neither_fail_nor_wait_for_each_other_for_ever(any_catalogue):
    Database(any_catalogue).close()
    here = os.path.dirname(__file__)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, any_catalogue, way, here],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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
    with Database(any_catalogue) as database:
        assert known(database, range(300)) == set(range(220))


def test_two_writers_of_a_collection_give_no_number_twice(any_catalogue):
    spec = imkin.fingerprint([], "phash").spec
    with Database(any_catalogue) as database:
        collection = CollectionStore(database).create("c", method="phash", spec=spec, decoder="1").id

    def add(offset):
        with Database(any_catalogue) as database:
            store = CollectionStore(database)
            for n in range(offset, offset + 30):
                store.put(collection, [(b"%032d" % n, f"/{n}", 1.0, b"12345678")], replace=True)

    threads = [threading.Thread(target=add, args=(offset,)) for offset in (0, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with Database(any_catalogue) as database:
        store = CollectionStore(database)
        rows = store.block(collection, after=0, limit=100)
        assert [row.number for row in rows] == list(range(1, 46))
        assert store.state(collection)[1:] == (45, 45)


def test_a_second_run_reads_no_pixels_and_finds_the_same(any_catalogue, tmp_path):
    for seed in (1, 2):
        write(tmp_path / "p" / f"{seed}.png", picture(seed))
        write(tmp_path / "p" / f"{seed}.jpg", picture(seed), quality=70)
    (tmp_path / "p" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    first = imkin.group(tmp_path / "p", by="phash", catalogue=any_catalogue)
    assert first == imkin.group(tmp_path / "p", by="phash")
    assert len(first.groups) == 2
    with imkin.Library(any_catalogue) as library:
        scanned = library.scan([str(tmp_path / "p")], "phash")
        assert (scanned.made, scanned.reused) == (0, 4)
        assert scanned.failures == first.failures


def test_a_newer_schema_is_an_error_and_is_left_alone(any_catalogue):
    with Database(any_catalogue) as database:
        database.execute(SET_VERSION[database.server])
    with pytest.raises(CatalogueError, match="schema 999"):
        Database(any_catalogue)
