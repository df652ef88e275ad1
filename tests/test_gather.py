import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

import imkin
from imkin.cli import gather as commands
from imkin.errors import ImkinError
from imkin.library import Library
from imkin.sources import fetched
from imkin.types import Failure
from servers import pictures, sheets
from test_sheet import ID, credentials

APP = typer.Typer()
commands.register(APP)

# Rows 1, 3 and 6 show one picture (a copy, and another file of it), 2 and 5 another; 4 is gone; 7 is alone.
URLS = ["/img/1.PNG", "/img/2.PNG", "/img/1.PNG?again", "/gone", "/img/2.JPEG", "/img/1.WEBP", "/img/3.PNG"]
ORDER = [1, 3, 6, 2, 5, 7, 4]


@pytest.fixture(autouse=True)
def no_traces(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")


@pytest.fixture(scope="module")
def web():
    with pictures() as (server, base):
        yield server, base


def run(*args: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(APP, [str(arg) for arg in args])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def write_table(path: Path, base: str) -> str:
    lines = [f'{at};"{base}{url}"; note {at}' for at, url in enumerate(URLS, start=1)]
    path.write_bytes("\r\n".join(["id;url;note", *lines]).encode())
    return str(path)


def ids(path: str) -> list[int]:
    with open(path, newline="") as file:
        return [int(row["id"]) for row in csv.DictReader(file, delimiter=";")]


def test_fetch_downloads_a_table_and_says_what_came_of_it(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    code, printed, said = run("fetch", table, "--out", tmp_path / "out", "--allow-private", "--json")
    assert code == 0
    counts = json.loads(printed)
    assert (counts["rows"], counts["ok"], counts["copies"], counts["failed"]) == (7, 5, 1, 1)
    assert f"failed: row 4: {web[1]}/gone: HTTP 404 Not Found" in said
    assert "7 rows: 5 pictures, 1 copies, 1 failed, 0 without a URL; 0 were there already" in said
    assert sorted(os.listdir(tmp_path / "out"))[1] == "000001.png"
    assert run("fetch", table, "--out", tmp_path / "out", "--allow-private", "--strict")[0] == 3


def test_fetch_reaches_nothing_private_unless_allowed(tmp_path, web):
    asked = web[0].asked.total()
    code, _, said = run("fetch", write_table(tmp_path / "t.csv", web[1]), "--out", tmp_path / "out")
    assert code == 0
    assert "is not a public address (see --allow-private)" in said
    assert web[0].asked.total() == asked


def test_sort_shows_the_new_order_and_changes_nothing(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    before = Path(table).read_bytes()
    code, printed, said = run("sort", table, "--allow-private", "--no-catalogue")
    assert code == 0
    rows = list(csv.DictReader(printed.splitlines(), delimiter="\t"))
    assert [int(row["row"]) for row in rows] == ORDER
    assert [row["group"] for row in rows] == ["1", "1", "1", "2", "2", "", ""]
    assert rows[1]["similarity"] == "1.0000"
    assert "2 groups of 5 rows; 5 rows move, 1 come last; nothing is written without --write" in said
    assert Path(table).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["cache", "t.csv"]


def test_sort_writes_the_table_and_keeps_the_old_one(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    before = Path(table).read_bytes()
    code, printed, _ = run(
        "sort", table, "--allow-private", "--no-catalogue", "--write", "--json", "--out", tmp_path / "o"
    )
    found = json.loads(printed)
    assert code == 0
    assert (found["order"], found["failed"], found["groups"]) == (ORDER, [4], [[1, 3, 6], [2, 5]])
    assert (found["written"], found["backup"]) == (True, f"{table}.bak")
    assert ids(table) == ORDER
    assert sorted(Path(table).read_bytes().split(b"\r\n")) == sorted(before.split(b"\r\n"))
    assert Path(f"{table}.bak").read_bytes() == before
    with open(tmp_path / "o" / "results.csv", newline="") as file:
        assert [row["url"] for row in csv.DictReader(file)] == [web[1] + URLS[row - 1] for row in ORDER]
    # A second time nothing moves, and nothing is downloaded again.
    asked = web[0].asked.total()
    again = json.loads(run("sort", table, "--allow-private", "--no-catalogue", "--json", "--out", tmp_path / "o")[1])
    assert (again["moved"], again["fetched"]["reused"]) == (0, 6)
    assert web[0].asked.total() == asked + 1  # the one that is gone


def test_sort_adds_what_is_asked_for_and_drops_failed_rows_when_told(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    _, _, said = run(
        "sort", table, "--allow-private", "--no-catalogue", "--write", "--add", "group,similarity", "--drop-failed"
    )
    lines = Path(table).read_text().splitlines()
    assert "nothing is written" not in said
    assert lines[0] == "id;url;note;group;similarity"
    assert lines[1].endswith("; note 1;1;1.0000")
    assert lines[-1].endswith("; note 7;;")
    assert ids(table) == ORDER[:-1]


def test_rows_are_not_dropped_when_no_picture_could_be_had(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    before = Path(table).read_bytes()
    code, _, said = run("sort", table, "--write", "--drop-failed")
    assert (code, "no row has a picture" in said) == (2, True)
    assert Path(table).read_bytes() == before
    assert not os.path.exists(f"{table}.bak")


def test_without_the_extra_the_commands_say_what_to_install(tmp_path):
    code = "import sys; sys.modules['httpx2'] = None; import imkin.cli; imkin.cli.main()"
    (tmp_path / "t.csv").write_text("url\nhttp://127.0.0.1:1/a.jpg\n")
    for args in (["fetch", "t.csv", "--out", "o"], ["sort", "t.csv"], ["group", "t.csv", "--by", "phash"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, cwd=tmp_path
        )
        told = "imkin: reading tables of URLs needs the extra `tables`: pip install 'imkin[tables]'\n"
        assert (done.returncode, done.stderr) == (2, told), args


def test_python_fetches_and_sorts_as_the_commands_do(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    done = imkin.fetch(table, tmp_path / "o", allow_private=True)
    assert (done.rows, done.ok, done.copies, done.failed) == (7, 5, 1, 1)
    shown = imkin.sort(Path(table), out=tmp_path / "o", allow_private=True)
    assert (list(shown.order), shown.absent, shown.groups) == (ORDER, (4,), ((1, 3, 6), (2, 5)))
    assert (shown.backup, ids(table)) == (None, list(range(1, 8)))
    written = imkin.sort(table, out=tmp_path / "o", allow_private=True, write=True, drop_failed=True, add=["group"])
    assert (written.backup, ids(table)) == (f"{table}.bak", ORDER[:-1])
    with pytest.raises(ImkinError, match="Google Sheets alone"):
        imkin.fetch(table, tmp_path / "o", prune_dead=True)
    with pytest.raises(ImkinError, match="over 0"):
        imkin.fetch(table, tmp_path / "o", timeout_s=0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give a TABLE or --sheet, one of them"),
        (("t.csv", "--sheet", "x", "--auth", "key.json"), "give a TABLE or --sheet, one of them"),
        (("--sheet", "x", "--auth", "key.json"), "cannot read the credentials key.json"),
        (("--sheet", "x"), "--sheet needs --auth"),
        (("none.csv",), "cannot read none.csv"),
        (("t.csv", "--url-column", "nothing"), "has no column nothing; its columns: id, url, note"),
        (("t.csv", "--timeout", "0"), "the time-out and the most bytes must be over 0"),
        (("t.csv", "--per-host", "0"), "per_host must be at least 1, not 0"),
        (("t.csv", "--jobs", "0"), "jobs must be at least 1, not 0"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.csv", "http://127.0.0.1:1")
    for command in (("fetch", "--out", "o"), ("sort", "--no-catalogue")):
        code, printed, said = run(*command, *args)
        assert (code, printed) == (2, "")
        assert message in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--max-bits", "65"), "`vote` has 64 bits"),
        (("--write", "--add", "colour"), "colour cannot be added to a table; known: group, similarity"),
        (("--by", "none"), "unknown method"),
    ],
)
def test_sort_refuses_what_cannot_be_before_it_downloads(tmp_path, args, message):
    code, _, said = run("sort", write_table(tmp_path / "t.csv", "http://127.0.0.1:1"), "--no-catalogue", *args)
    assert code == 2
    assert message in said
    assert not (tmp_path / "cache").exists()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def sheet(key, tmp_path, web):
    rows = [["id", "url", "n", "formula"], *([at, web[1] + url, f"0{at}"] for at, url in enumerate(URLS, start=1))]
    with sheets(key) as (server, base):
        server.sheets[ID] = ("Pictures", {"Sheet1": [list(row) for row in rows]})
        where = ("--sheet", "Pictures", "--worksheet", "Sheet1", "--range", "A2:C", "--allow-private")
        yield server, (*where, "--auth", credentials(tmp_path, key, base), "--sheets-url", base)


def test_a_sheet_is_sorted_in_place(tmp_path, sheet):
    server, where = sheet
    before = [list(row) for row in server.sheets[ID][1]["Sheet1"]]
    code, printed, _ = run("sort", *where, "--no-catalogue", "--out", tmp_path / "o", "--json")
    assert (code, json.loads(printed)["order"]) == (0, [row + 1 for row in ORDER])
    assert server.sheets[ID][1]["Sheet1"] == before
    code, printed, _ = run("sort", *where, "--no-catalogue", "--out", tmp_path / "o", "--json", "--write")
    assert code == 0
    assert [row[0] for row in server.sheets[ID][1]["Sheet1"]] == ["id", *ORDER]
    assert server.sheets[ID][1]["Sheet1"][1:] == [before[row] for row in ORDER]
    assert json.loads(Path(json.loads(printed)["backup"]).read_text())["values"] == before[1:]


def test_python_takes_a_sheet_in_place_of_a_table(tmp_path, sheet):
    server, args = sheet
    auth, base = (args[args.index(name) + 1] for name in ("--auth", "--sheets-url"))
    where = imkin.Sheet("Pictures", auth, worksheet="Sheet1", cells="A2:C", api_url=base)
    imkin.fetch(where, tmp_path / "o", allow_private=True, status_column="E")
    found = imkin.sort(where, out=tmp_path / "o", allow_private=True, write=True)
    after = server.sheets[ID][1]["Sheet1"]
    assert [row[0] for row in after] == ["id", *ORDER]
    assert after[4][4] == "failed: HTTP 404 Not Found"
    assert found.backup is not None
    assert os.path.isfile(found.backup)


def test_a_sheet_gets_statuses_and_loses_dead_rows_only_when_asked(tmp_path, sheet):
    server, where = sheet
    rows = server.sheets[ID][1]["Sheet1"]
    run("fetch", *where, "--out", tmp_path / "o")
    assert len(rows) == 8
    assert (tmp_path / "o" / "000002.png").exists()  # the row of the sheet
    code, _, said = run("fetch", *where, "--out", tmp_path / "o", "--status-column", "E", "--prune-dead")
    assert code == 0
    assert [row[4] for row in rows[1:]] == ["ok", "ok", "copy", "ok", "ok", "ok"]
    assert [row[0] for row in rows[1:]] == [1, 2, 3, 5, 6, 7]
    assert "1 dead rows deleted; the worksheet as it was: " in said


def test_only_rows_that_are_gone_for_good_are_dead(tmp_path, sheet, web):
    server, where = sheet
    rows = server.sheets[ID][1]["Sheet1"]
    rows[1][1], rows[2][1], rows[3][1] = f"{web[1]}/html", f"{web[1]}/huge", "http://127.0.0.1:1/x"
    _, _, said = run("fetch", *where, "--out", tmp_path / "o", "--prune-dead", "--attempts", "1")
    assert [row[0] for row in rows[1:]] == [2, 3, 5, 6, 7]
    assert "2 dead rows deleted" in said


def test_the_rows_of_a_table_are_items_that_know_where_they_come_from(tmp_path, web):
    table = write_table(tmp_path / "t.csv", web[1])
    from imkin.sources.download import FetchOptions
    from imkin.sources.web import WebLimits

    options = FetchOptions(web=WebLimits(allow_private=True))
    found = list(fetched.walk(table, root=2, folder=str(tmp_path / "o"), options=options))
    assert [one.path for one in found] == [f"{table}!{at}!{web[1]}{url}" for at, url in enumerate(URLS, start=1)]
    failed = found.pop(3)
    assert isinstance(failed, Failure)
    assert failed.reason == "HTTP 404 Not Found"
    assert {(one.root, one.source) for one in found} == {(2, "row")}  # type: ignore[union-attr]
    assert len({one.key for one in found}) == 6  # type: ignore[union-attr]
    assert found[0].read() == found[2].read()  # type: ignore[union-attr]
    with Library() as library:
        scanned = library.fingerprint([one.file for one in found], "phash")  # type: ignore[union-attr]
    assert len(scanned.files) == 6


def test_an_interruption_keeps_what_was_fetched(tmp_path, web):
    table = tmp_path / "t.txt"
    table.write_text("\n".join([f"{web[1]}/img/{seed}.PNG" for seed in range(4)] + [f"{web[1]}/drip"]))
    out = tmp_path / "o"
    script = "import typer; from imkin.cli import gather; app = typer.Typer(); gather.register(app); app()"
    args = ["fetch", str(table), "--out", str(out), "--allow-private"]
    process = subprocess.Popen([sys.executable, "-c", script, *args], stderr=subprocess.PIPE, text=True)
    ledger = out / ".imkin-fetch.jsonl"
    end = time.monotonic() + 20
    while time.monotonic() < end and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.startswith("imkin: interrupted")
    with open(out / "results.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok"] * 4 + ["pending"]
    assert sorted(os.listdir(out))[1:] == [f"00000{row}.png" for row in (1, 2, 3, 4)] + ["results.csv"]
