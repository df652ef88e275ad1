"""A catalogue copied into another of either kind: nothing is lost, of two the newer holds."""

import os

import numpy as np
import pytest
from typer.testing import CliRunner

import imkin
from cleaning import lay, plan_of, tree
from drawn import picture, write
from imkin import image, prints
from imkin.actions import apply, undo
from imkin.catalogue import Database
from imkin.catalogue.choices import Choice, ChoiceStore
from imkin.catalogue.collections import CollectionStore
from imkin.catalogue.decisions import DecisionStore
from imkin.catalogue.journal import Journal
from imkin.catalogue.transfer import TABLES, copy, counts
from imkin.cli import app
from imkin.errors import CatalogueError, UsageError
from imkin.types import Prints
from postgres import secretless
from stored import save

SPEC = prints.spec("phash")
DECODER = image.VERSION


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
        tables = {name for (name,) in a.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert columns.keys() == tables - {"review_steps"}
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


@pytest.fixture(params=["to the server", "to a file"])
def two(request, url, tmp_path):
    """A catalogue and another one, of which one is a server's."""
    path = str(tmp_path / "c.sqlite")
    pair = (path, url) if request.param == "to the server" else (url, path)
    with Database(pair[0], durable=True) as source, Database(pair[1], durable=True) as target:
        yield source, target


def test_a_copy_into_a_catalogue_in_use_keeps_what_is_newer_there(two):
    source, target = two
    a, b, c = "0a" * 32, "0b" * 32, "0c" * 32
    for decisions, verdicts, now in ((DecisionStore(source), "sd", 5), (DecisionStore(target), "ds", 4)):
        for other, verdict in zip((b, c), verdicts, strict=True):
            decisions.mark(a, other, {"s": "same", "d": "different"}[verdict], decided_ns=now)
            # Of the second pair the target decided later.
            now = 9 - now
    copy(source, target)
    assert [(each.second, each.verdict) for each in DecisionStore(target).all()] == [(b, "same"), (c, "same")]


def test_runs_of_two_catalogues_become_those_of_one_each_with_its_own_number_in_the_order_of_time(two, tmp_path):
    source, target = two
    files = {"a.jpg": "x", "b.jpg": "x"}
    for root, database in ((tmp_path / "first", source), (tmp_path / "second", target)):
        lay(root, files)
        apply(plan_of(root, tuple(files)), database=database)
    assert copy(source, target).renumbered == 1
    assert [(run.id, len(Journal(target).steps(run.id))) for run in Journal(target).runs()] == [(2, 1), (1, 1)]
    # The newest is the target's own, whatever the numbers are.
    assert undo(database=target).run == 1
    assert tree(tmp_path / "second") == files
    assert undo(database=target).run == 2
    assert tree(tmp_path / "first") == files
    assert copy(source, target).renumbered == 0, "it is known by now"
    assert [run.state for run in Journal(target).runs()] == ["undone", "undone"], "and has come further"


def test_a_run_that_was_undone_in_the_copy_is_undone_when_it_comes_back(two, tmp_path):
    source, target = two
    files = {"a.jpg": "x", "b.jpg": "x"}
    lay(tmp_path / "root", files)
    apply(plan_of(tmp_path / "root", tuple(files)), database=source)
    copy(source, target)
    undo(database=target)
    copy(target, source)
    assert [run.state for run in Journal(source).runs()] == ["undone"]
    assert [step.state for step in Journal(source).steps(1)] == ["undone"]


def made(database, name, offset, count):
    """A collection of hashes that are the numbers of its members."""
    stored = CollectionStore(database).create(name, method="phash", spec=SPEC, decoder=DECODER)
    rows = [(b"%032d" % n, f"/{n}", 1.0, n.to_bytes(8, "big")) for n in range(offset, offset + count)]
    CollectionStore(database).put(stored.id, rows, replace=False)
    return stored


def test_two_collections_of_one_name_become_one(two):
    source, target = two
    made(source, "photos", 0, 6)
    known = made(target, "photos", 4, 6)
    copy(source, target)
    copy(source, target)
    found = CollectionStore(target).block(known.id, after=0, limit=100)
    assert [int(row.sha256) for row in found] == [4, 5, 6, 7, 8, 9, 0, 1, 2, 3]
    assert [row.number for row in found] == list(range(1, 11))


def test_a_collection_that_grew_is_found_in_the_copy_as_it_is_now(tmp_path, url):
    with imkin.Library(str(tmp_path / "c.sqlite")) as library, imkin.Library(url) as server:
        made(library.database, "photos", 0, 5)
        copy(library.database, server.database)
        photos = imkin.Collection(server, "photos")
        asked = Prints(SPEC, np.frombuffer((6).to_bytes(8, "big"), np.uint8)[None], np.ones(1, np.float32))
        assert photos.search_prints(asked, top=1)[0][0].similarity < 1
        imkin.Collection(library, "photos").add_prints(asked, [f"{6:064x}"], ["six"])
        copy(library.database, server.database)
        # The one that was open meanwhile, too.
        assert [match.name for match in photos.search_prints(asked, top=1)[0]] == ["six"]


def test_a_copy_of_what_cannot_be_copied_is_refused_before_anything_is_written(two):
    source, target = two
    save(source, range(3))
    CollectionStore(source).create("photos", method="phash", spec=SPEC, decoder="1")
    CollectionStore(target).create("photos", method="phash", spec=SPEC, decoder="2")
    with pytest.raises(CatalogueError, match="cannot be compared"):
        copy(source, target)
    Journal(source).begin("", verb="trash")
    with pytest.raises(UsageError, match=r"run 1 of .* is not finished"):
        copy(source, target)
    with pytest.raises(UsageError, match="same catalogue"):
        copy(target, target)
    assert counts(target)["prints"] == 0


def test_nothing_is_copied_while_another_process_changes_files_by_the_target(any_catalogue, tmp_path):
    with Database(str(tmp_path / "from")) as source, Database(any_catalogue) as target, Database(any_catalogue) as it:
        with it.exclusive(), pytest.raises(UsageError, match="changing files just now"):
            copy(source, target)
        copy(source, target)


def test_a_catalogue_that_is_not_there_is_not_made(tmp_path, url):
    assert CliRunner().invoke(app, ["catalogue", "copy", str(tmp_path / "none"), url]).exit_code == 2
    assert not (tmp_path / "none").exists()
