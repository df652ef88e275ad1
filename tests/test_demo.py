"""The demo's collection holds what its names say."""

import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from imkin import demo
from imkin.errors import OutputError
from imkin.image import decode
from imkin.types import Failure

MIRRORED = "backup/holiday/IMG_2203 mirrored.jpg"
BAD = ["backup/recovered/f0017432.jpg", "backup/recovered/f0017440.jpg"]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dict(demo.collection(seed=0))


@pytest.fixture(scope="module")
def pictures(files: dict[str, bytes]) -> dict[str, object]:
    return {name: decode(data, path=name) for name, data in files.items()}


def original(scene: str) -> str:
    kind, _, number = scene.rpartition("-")
    return demo._PLACES[kind].format(int(number))


def phash(pictures: dict[str, object], name: str) -> imagehash.ImageHash:
    return imagehash.phash(Image.fromarray(pictures[name].pixels))


def test_only_the_two_bad_files_fail(pictures: dict[str, object]) -> None:
    assert [name for name, picture in pictures.items() if isinstance(picture, Failure)] == BAD
    assert len(pictures) == 69


def test_copies_are_the_same_bytes(files: dict[str, bytes]) -> None:
    copies = {name: original(scene) for scene, names in demo._COPIES.items() for name in names}
    assert len(copies) == 5
    assert all(files[copy] == files[source] for copy, source in copies.items())


def test_every_edit_is_found_by_phash_but_the_mirrored_one(pictures: dict[str, object]) -> None:
    edits = {name: original(scene) for scene, rows in demo._EDITS.items() for name, _ in rows}
    bits = {name: phash(pictures, name) - phash(pictures, source) for name, source in edits.items()}
    assert [name for name, count in bits.items() if count > 6] == [MIRRORED]
    mirrored = imagehash.phash(Image.fromarray(pictures[MIRRORED].pixels[:, ::-1]))
    assert mirrored - phash(pictures, edits[MIRRORED]) <= 6


def test_the_turned_twin_shows_the_same_picture(files: dict[str, bytes], pictures: dict[str, object]) -> None:
    turned, source = "backup/phone/20230514_101503.jpg", original("still-life-3")
    assert b"Exif" in files[turned]
    assert pictures[turned].pixels.shape == pictures[source].pixels.shape
    assert np.abs(pictures[turned].pixels.astype(int) - pictures[source].pixels).mean() < 1.0


def test_the_png_twin_is_the_drawn_picture_itself(pictures: dict[str, object]) -> None:
    assert pictures["backup/phone/flower.png"].format == "PNG"
    assert pictures["phone/sent/skyline.webp"].format == "WEBP"


def test_the_collection_is_written_whole_and_the_same_each_time(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "deep" / "demo"
    written = demo.write_collection(str(folder))
    assert written == sorted(str(folder.joinpath(*name.split("/"))) for name in files)
    assert {name: folder.joinpath(*name.split("/")).read_bytes() for name in files} == files
    assert sum(len(names) for _, _, names in os.walk(folder)) == len(files)


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is not empty"):
        demo.write_collection(str(tmp_path))
    assert os.listdir(tmp_path) == ["mine.jpg"]
    with pytest.raises(OutputError, match="cannot make the folder"):
        demo.write_collection(str(tmp_path / "mine.jpg"))
