"""The fingerprints of drawn pictures are what they were when their version was given."""

import json
import subprocess
import sys

import pytest

from golden import make_golden

COMMITTED = json.loads(make_golden.FILE.read_text())


@pytest.fixture(scope="module")
def computed():
    return make_golden.golden()


@pytest.mark.parametrize("name", make_golden.METHODS)
def test_values_are_the_committed_ones(name, computed):
    assert computed[name] == COMMITTED[name]


def test_the_pictures_are_varied_and_their_hashes_differ():
    for name in make_golden.METHODS:
        upright = [row["turns"][0] for row in COMMITTED[name]["pictures"].values()]
        assert len(upright) == 12
        assert len(set(upright)) >= 10


def test_the_generator_writes_the_committed_file_again(tmp_path):
    copy = tmp_path / "make_golden.py"
    copy.write_text(make_golden.FILE.with_name("make_golden.py").read_text())
    subprocess.run([sys.executable, str(copy)], check=True)
    assert (tmp_path / "prints.json").read_bytes() == make_golden.FILE.read_bytes()
