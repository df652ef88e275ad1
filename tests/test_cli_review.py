"""`imkin review` as a user starts and ends it."""

import signal
import subprocess
import sys

import httpx2
from typer.testing import CliRunner

from imkin.cli import app
from reviewing import lay_photos


def command(*words, cache):
    return [sys.executable, "-m", "imkin", "review", *words, "--no-browser", "--catalogue", str(cache / "c.sqlite")]


def test_the_command_scans_serves_the_page_under_the_printed_address_and_ends_on_interruption(tmp_path):
    lay_photos(tmp_path / "photos", count=1)
    process = subprocess.Popen(
        command(str(tmp_path / "photos"), "--by", "phash", cache=tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        with httpx2.Client(follow_redirects=True, timeout=60) as client:
            page = client.get(address)
            assert (page.status_code, page.url.query) == (200, b"")
            assert "<title>imkin review</title>" in page.text
            told = client.get(page.url.join("/api/review")).json()
            assert (told["images"], told["verb"], told["run"]) == (3, "trash", None)
            assert (
                client.get(page.url.join("/api/review"), headers={"origin": "http://evil.example"}).status_code == 403
            )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "1 group; what you decide is saved at once" in said
    assert said.endswith("ended; what you decided is saved\n")


def test_a_review_without_a_catalogue_is_refused(tmp_path):
    lay_photos(tmp_path / "photos", count=1)
    done = CliRunner().invoke(app, ["review", str(tmp_path / "photos"), "--no-catalogue"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "saves what you decide in the catalogue: leave out --no-catalogue" in done.stderr
