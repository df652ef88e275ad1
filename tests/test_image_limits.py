"""What `image.decode` refuses, how it says so, and that it keeps quiet and leaves Pillow's switches alone."""

import io
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from imkin import image
from imkin.errors import UsageError
from imkin.types import Failure


def scene(width=120, height=90):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 2 % 256, y * 2 % 256, (x * y) % 256], -1).astype(np.uint8) | 1


def saved(picture, name, **options):
    out = io.BytesIO()
    (Pillow.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(out, name, **options)
    return out.getvalue()


def reason(data, **options):
    got = image.decode(data, path="some/path.jpg", **options)
    assert isinstance(got, Failure), got
    assert (got.path, got.stage) == ("some/path.jpg", "decode")
    assert got.reason.isprintable() and "0x" not in got.reason and "path" not in got.reason
    return got.reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"Dear reader,\nthis is a letter.\n", "text"),
        ("Žluťoučký kůň\n".encode(), "text"),
        (b"BMW is a car, GIF is not\n", "text"),
        (b"P5 is a photo, P6 a colour one\n", None),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "an SVG drawing, which is not read"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "a PostScript document"),
        (b"PK\3\4" + bytes(40), "a ZIP archive"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "a video or sound in an MP4 or QuickTime file"),
        (b"\xff\x0a" + bytes(30), "JPEG XL, which is not read"),
        (bytes(100), "unknown content"),
        (bytes(range(256)) * 4, "unknown content"),
    ],
)
def test_what_is_no_image_is_said_in_words(data, words):
    got = reason(data)
    assert got == f"not an image: {words}" if words else got.startswith("damaged PPM: ")


def test_the_name_of_a_file_does_not_matter():
    got = image.decode(saved(scene(), "PNG"), path="photo.jpg")
    assert isinstance(got, image.Image) and got.format == "PNG"


FORMATS = ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP", "AVIF", "ICO"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_a_failure_with_the_same_reason_every_time(name):
    data = saved(Pillow.fromarray(scene()), name)
    for end in (len(data) // 2, len(data) * 3 // 4):
        assert reason(data[:end]) == reason(data[:end])


@pytest.mark.parametrize("name", FORMATS)
def test_any_damage_ends_as_an_image_or_a_failure(name):
    data = saved(Pillow.fromarray(scene(40, 30)), name)
    rng = np.random.default_rng(5)
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            broken[place] = rng.integers(0, 256)
        broken = bytes(broken[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else broken)
        for limits in (image.Limits(max_pixels=10**6), image.Limits(max_pixels=10**6, tolerate_truncated=True)):
            assert isinstance(image.decode(broken, path="p", side=16, limits=limits), image.Image | Failure)


@pytest.mark.parametrize("name", ["BMP", "JPEG", "PNG", "PPM", "TGA", "TIFF", "GIF"])
def test_a_tolerated_file_shows_what_was_there_before_the_cut(name):
    picture = Pillow.fromarray(scene())
    cut = saved(picture, name, **({"interlace": 0} if name == "GIF" else {}))
    whole = image.decode(cut, path="p")
    cut = cut[: cut.index(picture.tobytes()[:60]) + 120 * 3 * 50] if name == "TIFF" else cut[: len(cut) * 6 // 10]
    reason(cut)
    got = image.decode(cut, path="p", limits=image.Limits(tolerate_truncated=True))
    assert isinstance(got, image.Image) and isinstance(whole, image.Image)
    same = (got.pixels == whole.pixels).all((1, 2))
    rows = slice(45, 90) if name in ("BMP", "TGA") else slice(0, 40)  # those two are stored from the bottom
    assert same[rows].all() and not same.all()


def test_a_tolerated_file_without_any_pixels_is_still_a_failure():
    head = saved(scene(), "PNG")
    limits = image.Limits(tolerate_truncated=True)
    assert reason(head[: head.index(b"IDAT") + 4], limits=limits) == "damaged PNG: the file ends too early"
    assert reason(saved(scene(), "BMP")[:54], limits=limits) == "damaged BMP: the file ends too early"


def test_tolerance_holds_for_its_own_call_only_and_leaves_pillows_switch_alone():
    cut = saved(scene(), "JPEG", quality=95)[:-800]
    tolerant = image.Limits(tolerate_truncated=True)
    stop = threading.Event()
    seen = set()

    def watch():
        while not stop.is_set():
            seen.add(ImageFile.LOAD_TRUNCATED_IMAGES)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        limits = [tolerant if i % 2 else image.Limits() for i in range(200)]
        got = list(pool.map(lambda limit: image.decode(cut, path="p", limits=limit), limits))
    stop.set()
    watcher.join()
    assert [isinstance(one, image.Image) for one in got] == [limit.tolerate_truncated for limit in limits]
    assert seen == {False}


# ---- size


def bomb(name):
    """A small file whose header claims 20000 x 20000 pixels."""
    if name == "PNG":
        head = struct.pack(">LLBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
        crc = struct.pack(">L", zlib.crc32(b"IHDR" + head))
        return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + head + crc + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    if name == "WEBP":
        body = b"VP8X" + struct.pack("<LL", 10, 0) + (15999).to_bytes(3, "little") * 2 + bytes(8)
        return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body
    if name == "ICO":
        inside = bomb("PNG")
        return struct.pack("<HHHBBBBHHLL", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inside), 22) + inside
    data = bytearray(saved(Pillow.new("L", (16, 16)), name))
    if name == "GIF":
        data[6:10] = struct.pack("<HH", 20000, 20000)
    elif name == "BMP":
        data[18:26] = struct.pack("<LL", 20000, 20000)
    elif name == "JPEG":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 20000, 20000)
    elif name == "TIFF":
        for tag in (256, 257):
            at = data.index(struct.pack("<HHL", tag, 4, 1)) if struct.pack("<HHL", tag, 4, 1) in data else None
            at = at if at is not None else data.index(struct.pack("<HHL", tag, 3, 1))
            data[at : at + 12] = struct.pack("<HHLL", tag, 4, 1, 20000)
    elif name == "PPM":
        return b"P6 20000 20000 255\n" + bytes(100)
    elif name == "TGA":
        data[12:16] = struct.pack("<HH", 20000, 20000)
    return bytes(data)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "ICO", "GIF", "BMP", "JPEG", "TIFF", "PPM", "TGA"])
def test_too_many_pixels_are_refused_by_the_header(name):
    side = 16000 if name == "WEBP" else 20000
    start = time.perf_counter()
    words = reason(bomb(name), side=64)
    assert words == f"too large: {side} x {side} pixels are over the limit of 178,000,000 pixels"
    assert time.perf_counter() - start < 0.5


def test_the_limit_is_the_callers_and_counts_the_full_size():
    data = saved(scene(), "JPEG")
    assert isinstance(image.decode(data, path="p", limits=image.Limits(max_pixels=120 * 90)), image.Image)
    words = "too large: 120 x 90 pixels are over the limit of 10,799 pixels"
    assert reason(data, side=8, limits=image.Limits(max_pixels=120 * 90 - 1)) == words


def test_pillows_own_limit_neither_stops_a_decode_nor_is_changed(monkeypatch):
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)
    for name in ("PNG", "TIFF", "GIF", "ICO", "WEBP", "JPEG"):
        data = saved(scene(), name) if name != "ICO" else saved(scene(64, 64), name, sizes=[(64, 64)])
        assert isinstance(image.decode(data, path="p"), image.Image)
    assert Pillow.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Pillow.DecompressionBombError):
        Pillow.open(io.BytesIO(saved(scene(), "PNG")))


def test_a_jpeg_of_very_many_scans_is_refused():
    data = saved(scene(), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    bombed = data[:start] + data[start:-2] * 200 + b"\xff\xd9"
    assert reason(bombed) == "damaged JPEG: over 128 scans"


def test_only_allowed_formats_are_read():
    limits = image.Limits(formats=("JPEG", "PNG"))
    assert isinstance(image.decode(saved(scene(), "PNG"), path="p", limits=limits), image.Image)
    words = "format GIF is not among the allowed ones: JPEG, PNG"
    assert reason(saved(Pillow.new("L", (9, 9)), "GIF"), limits=limits) == words


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="unknown image format EPS; known: AVIF, BMP"):
        image.Limits(formats=("EPS", "JPEG"))
    with pytest.raises(UsageError, match="max_pixels"):
        image.Limits(max_pixels=0)


def test_want_of_memory_is_a_failure(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr("imkin.image.decoding.opaque", lambda *_, **__: no_memory())
    assert reason(saved(scene(), "PNG")) == "not enough memory to decode it"


def test_text_of_over_a_megabyte_in_a_png_does_not_hide_the_picture():
    info = PngInfo()
    info.add_itxt("workflow", "graph " * 400_000, zip=True)
    data = saved(scene(), "PNG", pnginfo=info)
    start, pixels, end = data.index(b"iTXt") - 4, data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    behind = data[:start] + data[pixels:end] + data[start:pixels] + data[end:]
    for file in (data, behind):
        got = image.decode(file, path="p")
        assert isinstance(got, image.Image)
        np.testing.assert_array_equal(got.pixels, scene())


# ---- warnings and stderr


def odd_tiff():
    """A TIFF that makes Pillow warn: the name of its software claims to be longer than the file."""
    data = bytearray(saved(scene(), "TIFF", software="painter"))
    at = data.index(struct.pack("<HHL", 305, 2, 8))
    data[at + 4 : at + 8] = struct.pack("<L", 10**6)
    return bytes(data)


def test_pillows_warnings_are_kept_from_the_caller_and_left_to_others():
    data = odd_tiff()
    with warnings.catch_warnings(record=True) as before:
        warnings.simplefilter("always")
        Pillow.open(io.BytesIO(data)).load()
    assert before
    with warnings.catch_warnings(record=True) as during:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: image.decode(data, path="p"), range(50)))
            others = pool.submit(lambda: Pillow.open(io.BytesIO(data)))
            others.result().close()
    assert all(isinstance(one, image.Image) for one in got)
    assert len(during) == len([one for one in during if one.filename == TiffImagePlugin.__file__]) > 0


def test_warnings_as_errors_in_other_threads_do_not_reach_a_decode():
    data = odd_tiff()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(image.decode(data, path="p"), image.Image)
        with pytest.raises(UserWarning):
            Pillow.open(io.BytesIO(data)).load()


def test_libtiff_writes_nothing_to_stderr(capfd):
    whole = saved(scene(), "TIFF", compression="tiff_lzw")
    broken = bytearray(whole)
    broken[100:400] = bytes(300)
    reason(bytes(broken))
    assert capfd.readouterr() == ("", "")


# ---- real damaged files


def test_every_damaged_file_ends_as_an_image_or_a_failure_in_bounded_time(shared, capfd):
    resource = pytest.importorskip("resource")
    files = sorted(path for path in (shared / "torture").rglob("*") if path.is_file())
    assert len(files) == 1284
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = {True: 0, False: 0}
    slowest = 0.0
    for path in files:
        data = path.read_bytes()
        start = time.perf_counter()
        got = image.decode(data, path="p", side=64)
        slowest = max(slowest, time.perf_counter() - start)
        assert isinstance(got, image.Image) or (got.reason and got.reason.isprintable() and "0x" not in got.reason)
        ended[isinstance(got, image.Image)] += 1
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert slowest < 1 and grown_kb < 500_000
    assert ended[True] > 200 and ended[False] > 900
    assert capfd.readouterr() == ("", "")


def test_real_files_of_every_kind_are_decoded(shared):
    sizes = {
        "alpha.webp": ("WEBP", 400, 301), "balloon.jp2": ("JPEG2000", 2717, 3701), "cheers.heic": ("HEIF", 1440, 960),
        "phone.heic": ("HEIF", 3024, 4032), "photo.avif": ("AVIF", 5472, 3648), "camera.nef": ("JPEG", 2000, 3008),
    }  # fmt: skip
    for name, expected in sizes.items():
        got = image.decode((shared / "formats" / name).read_bytes(), path=name, side=256)
        assert isinstance(got, image.Image)
        assert (got.format, got.width, got.height) == expected
        height, width = got.pixels.shape[:2]
        assert abs(width / height - got.width / got.height) < 0.01
    words = "PSD with 16 bits a channel is not read, only with 8"
    assert reason((shared / "formats/cmyk16.psd").read_bytes()) == words


def test_one_photo_in_all_eight_orientations_shows_as_one(shared):
    # Each file was saved as a JPEG of its own, so that they differ by up to 3.7 at full size.
    for side, largest in ((0, 4.0), (256, 2.0), (64, 1.0)):
        pictures = [
            image.decode((shared / f"formats/orientation/landscape_{i}.jpg").read_bytes(), path="p", side=side)
            for i in range(1, 9)
        ]
        first = pictures[0].pixels.astype(int)
        for picture in pictures:
            assert (picture.width, picture.height) == (1800, 1200)
            assert np.abs(picture.pixels.astype(int) - first).mean() < largest
