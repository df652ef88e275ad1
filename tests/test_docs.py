"""The documentation cannot lie: its examples run, and its reference is made from the code.

A block marked `console` is run line by line where it starts with `$ `, in a folder that holds the demo's pictures as
`photos/`, with two of its folders as `train/` and `test/`; lines without `$ ` must appear in the output, `…` stands
for anything. A block marked `python` is run likewise.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imkin.demo import write_collection

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The demo's pictures as `photos/`, and as `cache/` a user's cache that knows their fingerprints."""
    folder = tmp_path_factory.mktemp("docs")
    write_collection(str(folder / "photos"))
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "imkin", "pairs", "photos"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def place(tmp_path, pictures, monkeypatch):
    shutil.copytree(pictures, tmp_path, dirs_exist_ok=True)
    shutil.copytree(pictures / "photos" / "holiday", tmp_path / "train")
    shutil.copytree(pictures / "photos" / "backup", tmp_path / "test")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page):
    return [(kind, body) for kind, body in BLOCK.findall(page.read_text())]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_run(page, place):
    for kind, body in blocks(page):
        if kind == "python":
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", body], capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            continue
        for step in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
            printed = done.stdout + done.stderr
            assert done.returncode in (0, 1), f"{command}\n{printed}"
            for line in filter(None, map(str.strip, expected.split("\n"))):
                pattern = ".*".join(map(re.escape, line.split("…")))
                assert re.search(pattern, printed), f"{command}\nprinted no «{line}»:\n{printed}"


def test_the_command_reference_is_what_the_commands_say():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_reference.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_ci_runs_the_command_of_the_readme():
    command = re.search(r"^    (.*pytest.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command
    assert command[1].strip() in (ROOT / ".ci" / "run").read_text()
