"""What `auto` says of a pair: how its two pictures are related, with the evidence."""

import json
import struct
import zlib

import numpy as np
import pytest
from typer.testing import CliRunner

import imkin
from imkin import image
from imkin.cli import app
from imkin.testing import scene

PICTURE = scene(3, 300, 400)


def covered():
    picture = PICTURE.copy()
    picture[20:110, 40:160] = (255, 0, 0)
    return picture


CHANGES = {
    "re-encoded": PICTURE,
    "resized": image.area_rgb(PICTURE, width=200, height=150),
    "recoloured": (PICTURE // 3 + 120).astype(np.uint8),
    "mirrored": PICTURE[:, ::-1],
    "turned": np.rot90(PICTURE),
    "cropped": PICTURE[60:240, 100:360],
    "bordered": np.pad(PICTURE, ((60, 60), (80, 80), (0, 0)), constant_values=255),
    "overlaid": covered(),
}


def related(tmp_path, changed, *, quality=90):
    (tmp_path / "a.png").write_bytes(image.encode_png(PICTURE))
    (tmp_path / "b.jpg").write_bytes(image.encode_jpeg(np.ascontiguousarray(changed), quality=quality))
    (pair,) = imkin.pairs(tmp_path)
    return pair.relation


@pytest.mark.parametrize("name", CHANGES)
def test_a_pair_says_what_was_done(tmp_path, name):
    assert name in related(tmp_path, CHANGES[name]).name.split(", ")


def test_a_crop_says_which_part_of_which_picture_it_is(tmp_path):
    relation = related(tmp_path, CHANGES["cropped"])
    assert relation.part == "b"
    assert np.abs(np.array(relation.box) - [0.25, 0.2, 0.9, 0.8]).max() < 0.08
    assert relation.fit > 0.9


def test_a_mirrored_crop_is_both(tmp_path):
    relation = related(tmp_path, CHANGES["cropped"][:, ::-1])
    assert relation.name == "mirrored, cropped"
    assert relation.turn == 4


def test_equal_bytes_and_equal_pixels_are_told_apart(tmp_path):
    data = image.encode_png(PICTURE)
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "b.png").write_bytes(data)
    # The same picture, saved with a comment in the file.
    at = data.index(b"IDAT") - 4
    text = b"tEXt" + b"Comment\0other"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "c.png").write_bytes(data[:at] + chunk + data[at:])
    names = {(p.a[-5:], p.b[-5:]): (p.relation.name, p.similarity) for p in imkin.pairs(tmp_path)}
    assert names["a.png", "b.png"] == ("identical bytes", 1.0)
    assert names["a.png", "c.png"] == ("identical pixels", 1.0)


def test_the_relation_and_its_evidence_are_in_the_json(tmp_path):
    relation = related(tmp_path, CHANGES["mirrored"])
    done = CliRunner().invoke(app, ["group", str(tmp_path), "--json", "--no-catalogue"])
    (pair,) = json.loads(done.stdout)["groups"][0]["pairs"]
    assert pair["relation"] == "mirrored"
    assert pair["evidence"] == relation.to_dict()["evidence"]
    assert pair["evidence"]["turn"] == 4


def test_a_hash_tells_no_relation(tmp_path):
    related(tmp_path, PICTURE)
    (pair,) = imkin.pairs(tmp_path, by="phash")
    assert pair.relation is None
    assert set(pair.to_dict()) == {"a", "b", "similarity"}


def test_what_holds_for_a_pair_holds_for_all_pairs_of_the_same_pixels(tmp_path):
    """Copies with other bytes behind the end of the file: the same pixels, looked at once."""
    for name, picture in (("a", PICTURE), ("b", CHANGES["cropped"])):
        data = image.encode_png(np.ascontiguousarray(picture))
        for number in range(3):
            (tmp_path / f"{name}{number}.png").write_bytes(data + bytes([number]))
    pairs = list(imkin.pairs(tmp_path))
    told = {(pair.a[-6], pair.b[-6]): pair.relation for pair in pairs}
    assert len(pairs) == 15
    assert told["a", "a"].name == told["b", "b"].name == "identical pixels"
    assert all(pair.relation == told[pair.a[-6], pair.b[-6]] for pair in pairs)
    assert told["a", "b"].name == "cropped"
    assert told["a", "b"].part == "b"
