"""What `image.decode` shows of a camera's RAW file: its preview."""

import io
import struct

import numpy as np
import pytest
from PIL import Image as Pillow

from imkin import image
from imkin.testing import scene
from imkin.types import Failure


def directory(entries, place):
    """One TIFF directory at `place`, its long values behind it. entries: tag, type 1|2|3|4|10, values."""
    letters = {1: "B", 2: "B", 3: "H", 4: "L", 10: "l"}
    body, extra = struct.pack("<H", len(entries)), b""
    behind = place + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        packed = struct.pack(f"<{len(values)}{letters[kind]}", *values)
        count = len(values) // 2 if kind == 10 else len(values)
        if len(packed) > 4:
            packed, extra = struct.pack("<L", behind + len(extra)), extra + packed
        body += struct.pack("<HHL", tag, kind, count) + packed.ljust(4, b"\0")
    return body + struct.pack("<L", 0) + extra


def dng(preview, orientation):
    """A camera's RAW file (DNG, 256 x 192) with a JPEG preview of 128 x 96 in a sub-directory."""
    raw = np.full((192, 256), 500, "<u2").tobytes()
    raw_at, preview_at = 8, 8 + len(raw)
    sub_at = preview_at + len(preview) + len(preview) % 2
    sub = directory([
        (254, 4, [1]), (256, 4, [128]), (257, 4, [96]), (258, 3, [8, 8, 8]), (259, 3, [7]), (262, 3, [6]),
        (273, 4, [preview_at]), (277, 3, [3]), (278, 4, [96]), (279, 4, [len(preview)]),
    ], sub_at)  # fmt: skip
    main_at = sub_at + len(sub)
    matrix = [10000, 10000, 0, 1, 0, 1, 0, 1, 10000, 10000, 0, 1, 0, 1, 0, 1, 10000, 10000]
    main = directory([
        (254, 4, [0]), (256, 4, [256]), (257, 4, [192]), (258, 3, [16]), (259, 3, [1]), (262, 3, [32803]),
        (271, 2, list(b"Maker\0")), (272, 2, list(b"Model\0")), (273, 4, [raw_at]), (274, 3, [orientation]),
        (277, 3, [1]), (278, 4, [192]), (279, 4, [len(raw)]), (330, 4, [sub_at]), (33421, 3, [2, 2]),
        (33422, 1, [0, 1, 1, 2]), (50706, 1, [1, 4, 0, 0]), (50708, 2, list(b"Maker Model\0")), (50721, 10, matrix),
    ], main_at)  # fmt: skip
    body = raw + preview + b"\0" * (len(preview) % 2) + sub + main
    return b"II*\0" + struct.pack("<L", main_at) + body


def decoded(data, **options):
    got = image.decode(data, path="p", **options)
    assert isinstance(got, image.Image), got
    return got


def test_a_camera_file_shows_its_preview_turned_by_the_camera_files_own_tag():
    pytest.importorskip("rawpy")
    preview = image.encode_jpeg(scene(0, 96, 128), quality=95)
    pixels = np.asarray(Pillow.open(io.BytesIO(preview)))
    upright = decoded(dng(preview, 1))
    assert (upright.format, upright.width, upright.height) == ("RAW", 256, 192)
    np.testing.assert_array_equal(upright.pixels, pixels)
    turned = decoded(dng(preview, 6))
    assert (turned.width, turned.height) == (192, 256)
    np.testing.assert_array_equal(turned.pixels, np.rot90(pixels, -1))
    assert decoded(dng(preview, 8), side=48).pixels.shape == (64, 48, 3)


def test_a_camera_file_without_rawpy_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    got = image.decode(dng(image.encode_jpeg(scene(0, 96, 128)), 1), path="a.dng")
    assert got == Failure("a.dng", "decode", "a camera's RAW file needs the extra `raw`: pip install 'imkin[raw]'")
