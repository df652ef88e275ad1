"""The one decode: bytes to upright, opaque sRGB pixels, bounded in size; or the reason why not."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image as Pillow

from imkin.errors import MissingExtraError
from imkin.image.colour import opaque, to_srgb
from imkin.image.limits import Limits, RefusedError
from imkin.image.quiet import quiet
from imkin.image.readers import load, open_picture
from imkin.image.sniff import orientation, sniff
from imkin.types import Failure, Pixels

T = TypeVar("T")

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
# The stored axes that run backwards in the upright picture.
_X_REVERSED = (2, 3, 7, 8)
_Y_REVERSED = (3, 4, 6, 7)
_LIBRAW_TURNS = {3: 3, 5: 8, 6: 6}
_LARGEST_REDUCTION = 256  # of one step: Pillow's sums of 32 bits round right up to it
_ALL = Limits()
_LONGEST_REASON = 160  # characters
_ENDS_EARLY = re.compile(r"[Tt]runcated|requires a buffer|out of range|incomplete checksum|not enough image data")


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded picture.

    pixels: (h, w, 3) uint8, upright, opaque sRGB, reduced; read-only. width, height: of the upright picture at full
    size; of a camera's RAW file that of the sensor, though the pixels are its preview's. format: out of FORMATS.
    """

    pixels: Pixels
    width: int
    height: int
    format: str


def decode(data: bytes, *, path: str, side: int = 0, limits: Limits = _ALL) -> Image | Failure:
    """The picture in a file's bytes as a viewer shows it, or why there is none; never raises for what data holds.

    side: 0 for full size. Otherwise the picture is reduced by k, the largest power of two with
    min(width, height) // k >= side: a JPEG by up to 8 while it is decoded (DCT scaling), the rest and all other
    formats by the exact mean of k x k blocks, counted from the upright picture's top left. Never enlarged.
    path: only for the Failure; the format is told by the content.
    Several pictures in one file: the first page or frame, of an icon the largest.
    """
    return _guarded(data, path, limits, lambda name: _decode_as(name, data, side, limits))


def measure(data: bytes, *, path: str, limits: Limits = _ALL) -> tuple[int, int, str] | Failure:
    """Width and height of the upright picture and its format, from the header alone; or why there is no picture."""
    return _guarded(data, path, limits, lambda name: _measure(name, data, limits))


def _guarded(data: bytes, path: str, limits: Limits, read: Callable[[str], T]) -> T | Failure:
    """What `read` makes of the format's name; a Failure for whatever it trips over."""
    name = "file"
    try:
        with quiet():
            name = sniff(data)
            limits.check_format(name)
            return read(name)
    except RefusedError as refused:
        return Failure(path, "decode", str(refused))
    except MemoryError:
        return Failure(path, "decode", "not enough memory to decode it")
    except Exception as error:
        # Readers raise whatever their parsing trips over: OSError, SyntaxError, struct.error, KeyError, ...
        return Failure(path, "decode", f"damaged {name}: {_words(error)}")


def _decode_as(name: str, data: bytes, side: int, limits: Limits) -> Image:
    return _raw(data, side, limits) if name == "RAW" else _decode(data, name, side, limits)


def _measure(name: str, data: bytes, limits: Limits) -> tuple[int, int, str]:
    if name == "RAW":
        raw = _raw(data, 0, limits)
        return raw.width, raw.height, name
    opened = open_picture(name, data, limits)
    width, height = opened.size if _turn_left(opened, name) < 5 else opened.size[::-1]
    return width, height, name


def _decode(data: bytes, name: str, side: int, limits: Limits) -> Image:
    opened = open_picture(name, data, limits)
    gray_step, white_is_zero = _gray_facts(opened)
    turn = _turn_left(opened, name)
    full = opened.size
    factor = _factor(*full, side)
    if name == "JPEG" and factor > 1:
        scale = _jpeg_scale(full, factor, turn)
        opened.draft(None, (full[0] // scale, full[1] // scale))
        factor //= scale
    load(opened, tolerant=limits.tolerate_truncated)
    if name == "PNG":
        turn = _turn_left(opened, name)  # its eXIf may stand behind the pixels
    profile = opened.info.get("icc_profile")
    picture = _upright(opaque(opened, gray_step=gray_step, white_is_zero=white_is_zero), turn, factor)
    width, height = full if turn < 5 else full[::-1]
    return Image(np.asarray(to_srgb(picture, profile)), width, height, name)


def _factor(width: int, height: int, side: int) -> int:
    """The largest power of two k with min(width, height) // k >= side; 1 for full size."""
    return 1 << max((min(width, height) // side).bit_length() - 1, 0) if side > 0 else 1


def _jpeg_scale(size: tuple[int, int], factor: int, turn: int) -> int:
    """By how much to shrink in the decoder: at most 8, and so that its blocks are those of the upright picture.

    The decoder counts blocks from the stored top left. Where an axis runs backwards, they are the upright picture's
    only if they divide its length; else less is done here and more in `_upright`.
    """
    scale = min(factor, 8)
    while (turn in _X_REVERSED and size[0] % scale) or (turn in _Y_REVERSED and size[1] % scale):
        scale //= 2
    return scale


def _upright(picture: Pillow.Image, turn: int, factor: int) -> Pillow.Image:
    """Picture turned by its tag and reduced; the cheaper order where both give the same blocks."""
    width, height = picture.size
    turn_first = (turn in _X_REVERSED and width % factor) or (turn in _Y_REVERSED and height % factor)
    if turn_first:
        picture = picture.transpose(_TURNS[turn])
    while factor > 1:
        step = min(factor, _LARGEST_REDUCTION)
        picture = picture.reduce(step)
        factor //= step
    return picture.transpose(_TURNS[turn]) if turn > 1 and not turn_first else picture


def _turn_left(opened: Pillow.Image, name: str) -> int:
    """The orientation 1..8 that is still to be applied.

    Pillow turns TIFF itself and libheif HEIF, and neither hands on an EXIF block: to apply it would turn twice.
    """
    exif = opened.info.get("exif")
    if not exif and name == "PNG" and "Raw profile type exif" in opened.info:
        # ImageMagick: a line with a name, one with a length, then hexadecimal
        exif = bytes.fromhex("".join(str(opened.info["Raw profile type exif"]).split("\n")[3:]))
    return (isinstance(exif, bytes) and orientation(exif)) or 1


def _gray_facts(opened: Pillow.Image) -> tuple[int, bool]:
    """What `opaque` must know about a gray picture and Pillow only tells before it is loaded."""
    tile = getattr(opened, "tile", None)
    raw_mode = tile[0][3] if tile else None
    if isinstance(raw_mode, str) and raw_mode in ("L;2", "L;4"):
        return {"L;2": 85, "L;4": 17}[raw_mode], False
    return 1, opened.mode.startswith("I;16") and getattr(opened, "tag_v2", {}).get(262) == 0


def _raw(data: bytes, side: int, limits: Limits) -> Image:
    """A camera's RAW file by the largest picture its maker put into it (a JPEG, mostly), as viewers show it first."""
    try:
        import rawpy
    except ImportError:
        raise RefusedError(str(MissingExtraError("a camera's RAW file", "raw"))) from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            size = (raw.sizes.width, raw.sizes.height)
            turn = _LIBRAW_TURNS.get(raw.sizes.flip, 1)
            preview = raw.extract_thumb()
    except rawpy.LibRawError as error:
        raise RefusedError(f"camera RAW without a preview that can be read: {_words(error)}") from None
    if isinstance(preview.data, np.ndarray):
        picture = Pillow.fromarray(preview.data)
        limits.check_size(*picture.size)
        upright = _upright(picture.convert("RGB"), turn, _factor(*picture.size, side))
        shown = Image(np.asarray(upright), 0, 0, "RAW")
    else:
        shown = _preview(preview.data, turn, side, limits)
    width, height = size if turn < 5 else size[::-1]
    return replace(shown, width=width, height=height, format="RAW")


def _preview(data: bytes, turn: int, side: int, limits: Limits) -> Image:
    """The embedded JPEG, turned by its own tag if it has one, else by that of the RAW file."""
    if sniff(data) != "JPEG":
        raise RefusedError("camera RAW without a preview that can be read")
    opened = open_picture("JPEG", data, limits)
    exif = opened.info.get("exif")
    shown = _decode(data, "JPEG", side, limits)
    if exif and orientation(exif):
        return shown
    upright = _upright(Pillow.fromarray(shown.pixels), turn, 1)
    return replace(shown, pixels=np.asarray(upright))


def _words(error: Exception) -> str:
    """One printable line about an error, the same in every run: no addresses, no objects, no counts of bytes."""
    text = " ".join(str(error).split())
    if isinstance(error, (struct.error, IndexError, EOFError)) or _ENDS_EARLY.search(text):
        return "the file ends too early"
    if not isinstance(error, (OSError, SyntaxError, ValueError)):
        return f"its header makes no sense ({type(error).__name__})"
    if "driver" in text:
        return "its header makes no sense"
    if not re.search("[a-z]{3}", text):  # a number out of a table: `320`, `(4, 16)`
        return "its header holds an unknown value"
    text = re.sub(r" \(chunk .*", "", text)
    text = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "the file", text)
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_REASON]
