"""The demo's collection: drawn pictures in folders as people have them, with the copies that pile up over the years."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator

import numpy as np

from imkin import draw
from imkin.errors import OutputError
from imkin.image import encode_jpeg, encode_png
from imkin.report.files import all_or_none, shown, write_atomic
from imkin.types import Pixels

ORIGINALS = 40

_PLACES = {
    "hills": "holiday/IMG_21{:02}.jpg",
    "sea": "holiday/IMG_22{:02}.jpg",
    "city": "holiday/2019 city trip/DSC_04{:02}.jpg",
    "balloons": "holiday/2019 city trip/DSC_05{:02}.jpg",
    "still-life": "phone/20230514_1015{:02}.jpg",
    "flower": "phone/20230602_0840{:02}.jpg",
    "shapes": "phone/20230711_2108{:02}.jpg",
    "page": "screenshots/Screenshot 2023-03-01 at 10.22.{:02}.png",
    "screen": "screenshots/Screenshot 2023-05-17 at 18.40.{:02}.png",
    "stones": "phone/patterns/stones {:02}.jpg",
    "marble": "phone/patterns/marble {:02}.jpg",
    "weave": "phone/patterns/cloth {:02}.jpg",
}


def write_collection(folder: str, *, seed: int = 0) -> list[str]:
    """Draw the collection into folder, which is made or must be empty; returns the paths of its files, sorted.

    The same seed gives the same bytes (with the same Pillow). Raises OutputError, also if folder holds anything.
    """
    with all_or_none(folder) as written:
        if os.listdir(folder):
            raise OutputError(f"{shown(folder)} is not empty, and the demo overwrites nothing: name another folder")
        for name, data in collection(seed=seed):
            path = os.path.join(folder, *name.split("/"))
            written.append(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_atomic(path, [data], sync=False)
    return sorted(written)


def collection(*, seed: int) -> Iterator[tuple[str, bytes]]:
    """Names relative to the folder, with slashes, and file bytes: the originals, their edits, two bad files."""
    for scene, pixels in draw.scenes(ORIGINALS, seed=seed):
        kind, _, number = scene.rpartition("-")
        name = _PLACES[kind].format(int(number))
        data = encode_png(pixels) if name.endswith(".png") else encode_jpeg(pixels, quality=90)
        yield name, data
        if scene == _CUT_SHORT:
            yield "backup/recovered/f0017432.jpg", data[: len(data) * 2 // 3]
        for copy in _COPIES.get(scene, ()):
            yield copy, data
        for edited, edit in _EDITS.get(scene, ()):
            yield edited, edit(pixels)
    yield "backup/recovered/f0017440.jpg", b"This was a picture once. Only its name is left.\n"


def _smaller(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    return encode_jpeg(draw.resize(pixels, width=width // 2, height=height // 2), quality=85)


def _recompressed(pixels: Pixels) -> bytes:
    return encode_jpeg(pixels, quality=35)


def _warmer(pixels: Pixels) -> bytes:
    return encode_jpeg(np.clip(pixels * [1.12, 1.0, 0.82] + [8, 4, 0], 0, 255).astype(np.uint8), quality=85)


def _brighter(pixels: Pixels) -> bytes:
    return encode_jpeg((255 * (pixels / 255) ** 0.75).astype(np.uint8), quality=85)


def _colourless(pixels: Pixels) -> bytes:
    light = pixels @ [0.299, 0.587, 0.114]
    return encode_jpeg(np.repeat(light[..., None], 3, axis=2).astype(np.uint8), quality=85)


def _cropped(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    return encode_jpeg(np.ascontiguousarray(pixels[height // 80 :, : -width // 64]), quality=85)


def _bordered(pixels: Pixels) -> bytes:
    """As it comes back from a print: smaller, with a white edge."""
    edge = pixels.shape[0] // 80
    framed = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
    height, width = framed.shape[:2]
    return encode_jpeg(draw.resize(framed, width=width * 3 // 4, height=height * 3 // 4), quality=85)


def _mirrored(pixels: Pixels) -> bytes:
    return encode_jpeg(np.ascontiguousarray(pixels[:, ::-1]), quality=85)


def _webp(pixels: Pixels) -> bytes:
    return draw.encode(pixels, form="WEBP", quality=80)


def _turned(pixels: Pixels) -> bytes:
    """Stored on its side, with the EXIF tag that tells a viewer to turn it clockwise (orientation 6)."""
    data = encode_jpeg(np.ascontiguousarray(np.rot90(pixels)), quality=90)
    one = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)  # a directory of one entry, Orientation: a short, 6
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + one
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


_CUT_SHORT = "sea-4"
_COPIES = {
    "hills-1": ("backup/holiday/IMG_2101.jpg", "holiday/IMG_2101 (1).jpg"),
    "city-1": ("backup/holiday/city at last.jpg",),
    "page-1": ("backup/desktop/recipe.png",),
    "still-life-1": ("backup/phone/20230514_101501.jpg",),
}

_EDITS: dict[str, tuple[tuple[str, Callable[[Pixels], bytes]], ...]] = {
    "hills-1": (("phone/sent/hills small.jpg", _smaller),),
    "hills-2": (("phone/sent/hills again.jpg", _recompressed), ("backup/holiday/IMG_2102 warm.jpg", _warmer)),
    "hills-3": (("backup/holiday/IMG_2103.jpg", _brighter),),
    "sea-1": (("phone/sent/boats.jpg", _recompressed), ("backup/holiday/IMG_2201 small.jpg", _smaller)),
    "sea-2": (("backup/holiday/IMG_2202 grey.jpg", _colourless),),
    "sea-3": (("backup/holiday/IMG_2203 mirrored.jpg", _mirrored),),
    "city-2": (("phone/sent/skyline.jpg", _brighter),),
    "city-3": (("phone/sent/skyline.webp", _webp),),
    "balloons-1": (("phone/sent/balloons.jpg", _smaller), ("backup/holiday/balloons print.jpg", _bordered)),
    "balloons-2": (("backup/holiday/balloons crop.jpg", _cropped),),
    "still-life-2": (("backup/phone/20230514_101502 crop.jpg", _cropped),),
    "still-life-3": (("backup/phone/20230514_101503.jpg", _turned),),
    "flower-1": (("backup/phone/flower.png", encode_png), ("phone/sent/flower.jpg", _recompressed)),
    "flower-2": (("phone/sent/flower warm.jpg", _warmer),),
    "shapes-1": (("phone/sent/shapes.webp", _webp),),
    "page-2": (("backup/desktop/article.jpg", _recompressed),),
    "screen-1": (("phone/sent/chart.jpg", _smaller),),
    "marble-1": (("backup/phone/wallpaper.jpg", _brighter),),
}
