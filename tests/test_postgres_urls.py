"""A catalogue in PostgreSQL never tells its password, whatever is wrong with its URL."""

import logging
import sys

import pytest
from typer.testing import CliRunner

from drawn import picture, write
from imkin.catalogue import Database
from imkin.catalogue.postgres import without_password
from imkin.cli import app
from imkin.errors import CatalogueError
from postgres import PASSWORD, WRITTEN, secretless
from stored import save


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


def test_show_says_what_is_there_and_no_password(url):
    with Database(url) as database:
        save(database, range(1234))
    done = CliRunner().invoke(app, ["catalogue", "show", "--catalogue", url])
    assert done.output.splitlines()[0].startswith("postgresql://imkin:***@127.0.0.1")
    assert "1,234" in done.output
