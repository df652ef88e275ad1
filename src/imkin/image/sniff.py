"""What a file is, by its content; its name is never looked at."""

from __future__ import annotations

import struct

from imkin.image.limits import RefusedError

ORIENTATION = 0x0112
SUB_IFDS = 0x014A
PHOTOMETRIC = 0x0106
DNG_VERSION = 0xC612
RAW_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw: TIFF/EP and DNG

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"8BPS\0\1", "PSD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\1\0", "ICO"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"\0MRM", "RAW"),  # Minolta
    (b"FOVb", "RAW"),  # Sigma
)
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
    (b"\0\0\1\xba", "an MPEG video"),
    (b"\xff\x0a", "JPEG XL, which is not read"),
    (b"\0\0\0\x0cJXL ", "JPEG XL, which is not read"),
    (b"SIMPLE  =", "FITS data"),
    (b"ID3", "sound"),
)


def sniff(data: bytes) -> str:
    """The name in FORMATS of the picture in data. Raises RefusedError, with the reason, where there is none."""
    if not data:
        raise RefusedError("not an image: empty file")
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return "RAW" if name == "TIFF" and _is_raw(data) else name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _boxes(data)
    if data[6:14] == b"HEAPCCDR":  # Canon CRW
        return "RAW"
    if (data[:1] == b"P" and data[1:2] in b"123456f" and data[2:3].isspace()) or data[:3] == b"Pf\n":
        return "PPM"
    if _is_tga(data):
        return "TGA"
    raise RefusedError(f"not an image: {_otherwise(data)}")


def looks_like_an_image(head: bytes) -> bool:
    """Whether a file of no telling name is worth reading, by its first 32 bytes.

    TGA has no magic number: of it, only the name can tell.
    """
    try:
        return sniff(head) != "TGA"
    except RefusedError:
        return False


def _boxes(data: bytes) -> str:
    """AVIF, HEIF or RAW by the brands of an ISO media file; a video is refused."""
    size = min(int.from_bytes(data[:4], "big"), 4096)
    brands = {data[i : i + 4] for i in (8, *range(16, size - 3, 4))}
    if b"crx " in brands:
        return "RAW"
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if brands & set(_HEIF_BRANDS):
        return "HEIF"
    raise RefusedError("not an image: a video or sound in an MP4 or QuickTime file")


def _is_tga(data: bytes) -> bool:
    """Whether data looks like Truevision TGA, which has no magic number: every field of its header must make sense."""
    if len(data) < 19:
        return False
    _, palette, kind, _, colours, depth, _, _, width, height, bits, flags = struct.unpack_from("<BBBHHBHHHHBB", data)
    if kind not in (1, 2, 3, 9, 10, 11) or palette > 1 or not (width and height) or flags & 0xC0:
        return False
    if kind in (1, 9):
        return palette == 1 and bits == 8 and depth in (15, 16, 24, 32) and 0 < colours <= 256
    if kind in (3, 11):
        return palette == 0 and bits in (8, 16) and not colours
    return palette == 0 and bits in (15, 16, 24, 32) and not colours


def _otherwise(data: bytes) -> str:
    """What data is, in words, if it is no picture."""
    for magic, words in _OTHERS:
        if data.startswith(magic):
            return words
    head = data[:4096]
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing, which is not read"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not any(byte < 32 and byte not in b"\t\n\v\f\r\x1b" for byte in head):
        return "text"
    return "unknown content"


def tiff_tags(data: bytes, start: int = 0, offset: int | None = None) -> dict[int, list[int]]:
    """The whole-number tags (BYTE, SHORT, LONG) of one directory of a TIFF structure, at most 64 values each.

    start: where the structure begins in data. offset: of the directory, from start; None: the first one.
    Whatever does not fit the data is left out, so that a broken file has fewer tags, never an error.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if order is None or len(data) < start + 8:
        return {}
    place = start + (struct.unpack_from(order + "L", data, start + 4)[0] if offset is None else offset)
    if place + 2 > len(data):
        return {}
    tags: dict[int, list[int]] = {}
    (count,) = struct.unpack_from(order + "H", data, place)
    for entry in range(place + 2, min(place + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, entry)
        letter = {1: "B", 3: "H", 4: "L", 13: "L"}.get(kind)
        if letter is None or not 0 < number <= 64:
            continue
        layout = f"{order}{number}{letter}"
        size = struct.calcsize(layout)
        where = entry + 8 if size <= 4 else start + struct.unpack_from(order + "L", data, entry + 8)[0]
        if where + size <= len(data):
            tags[tag] = list(struct.unpack_from(layout, data, where))
    return tags


def orientation(exif: bytes) -> int | None:
    """The orientation 1..8 that an EXIF block tells, with or without its `Exif` prefix; None without one."""
    values = tiff_tags(exif, 6 if exif[:6] == b"Exif\0\0" else 0).get(ORIENTATION)
    return values[0] if values and 1 <= values[0] <= 8 else None


def _is_raw(data: bytes) -> bool:
    """Whether a TIFF structure is a camera's RAW file: read as TIFF, many give a thumbnail of 160 x 120 pixels."""
    if data[8:10] == b"CR":
        return True
    first = tiff_tags(data)
    if DNG_VERSION in first:
        return True
    pages = [first, *(tiff_tags(data, 0, offset) for offset in first.get(SUB_IFDS, [])[:8])]
    return any(page.get(PHOTOMETRIC, [0])[0] in RAW_PHOTOMETRICS for page in pages)
