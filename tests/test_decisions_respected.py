"""What a person decided counts in every later run, and follows the content."""

import shutil

from typer.testing import CliRunner

import imkin
from drawn import picture, write
from imkin.cli import app


def test_marked_pairs_stay_apart_or_together_wherever_the_files_go(tmp_path):
    a, b = write(tmp_path / "p" / "a.png", picture(1)), write(tmp_path / "p" / "b.jpg", picture(1), quality=80)
    c = write(tmp_path / "p" / "c.png", picture(2))
    catalogue = str(tmp_path / "c.sqlite")
    assert len(imkin.group(tmp_path / "p", catalogue=catalogue).groups) == 1
    run = CliRunner().invoke
    assert run(app, ["mark", a, b, "--different", "--catalogue", catalogue]).exit_code == 0
    assert imkin.group(tmp_path / "p", catalogue=catalogue).groups == ()
    assert imkin.pairs(tmp_path / "p", "ssim", threshold=0.6, catalogue=catalogue) == []
    assert run(app, ["mark", a, c, "--same", "--catalogue", catalogue]).exit_code == 0
    shutil.move(tmp_path / "p", tmp_path / "moved")
    (group,) = imkin.group(tmp_path / "moved", catalogue=catalogue).groups
    assert {member.path for member in group.members} == {str(tmp_path / "moved" / n) for n in ("a.png", "c.png")}
