"""What the keep rules `quality` and `exif` know of a file."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from imkin.facts import blur, measure
from imkin.image import Origin, origin
from imkin.policy import choose, parse_rules
from imkin.policy.keep import BLUR_TIE
from imkin.types import File


def scene(side=300, seed=4):
    """Sharp discs and bars on a slope."""
    rng = random.Random(seed)
    y, x = np.mgrid[:side, :side]
    values = (x + y) * 100 / side
    for _ in range(30):
        cy, cx, r = rng.randrange(side), rng.randrange(side), rng.randrange(8, 40)
        values = np.where((y - cy) ** 2 + (x - cx) ** 2 < r * r, rng.randrange(256), values)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def camera(make="", model=""):
    exif = Image.Exif()
    if make:
        exif[0x010F] = make
    if model:
        exif[0x0110] = model
    return exif


@pytest.mark.parametrize("quality", [20, 49, 50, 60, 75, 85, 92, 98])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality):
    assert origin(saved(scene(), "JPEG", quality=quality)).compression == pytest.approx(quality / 100, abs=0.01)


def test_lossless_formats_are_whole_and_others_unknown():
    picture = scene(64)
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert origin(saved(picture, kind)).compression == 1.0
    assert origin(saved(picture, "WEBP", lossless=True)).compression == 1.0
    assert origin(saved(picture, "WEBP")).compression is None
    assert origin(saved(picture, "TIFF", compression="jpeg")).compression is None
    assert origin(saved(picture, "GIF")).compression is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_camera_is_known_by_its_name_in_the_exif_data(kind):
    assert origin(saved(scene(64), kind, exif=camera(make="Acme"))).camera
    assert origin(saved(scene(64), kind, exif=camera(model="One"))).camera
    assert not origin(saved(scene(64), kind)).camera
    assert not origin(saved(scene(64), kind, exif=camera(make="  "))).camera


def test_what_is_no_picture_has_no_known_origin():
    whole = saved(scene(64), "JPEG", quality=80)
    assert origin(b"") == origin(b"text") == origin(whole[:20]) == Origin(None, False)


def slow_blur(gray):
    """The equations of the paper, one pixel after the other."""

    def along(values):
        h, w = values.shape
        blurred = np.zeros((h, w))
        for y in range(h):
            for x in range(w):
                blurred[y, x] = sum(values[min(max(y + k, 0), h - 1), x] for k in range(-4, 5)) / 9
        whole = sum(abs(values[y, x] - values[y - 1, x]) for y in range(1, h) for x in range(w))
        kept = 0.0
        for y in range(1, h):
            for x in range(w):
                step = abs(values[y, x] - values[y - 1, x])
                kept += max(0.0, step - abs(blurred[y, x] - blurred[y - 1, x]))
        return (whole - kept) / whole

    values = gray.astype(float)
    return max(along(values), along(values.T))


def test_blur_agrees_with_the_equations_of_the_paper():
    rng = np.random.default_rng(3)
    for shape in ((24, 31), (12, 40), (40, 11)):
        gray = rng.integers(0, 256, shape, np.uint8)
        assert blur(gray) == pytest.approx(slow_blur(gray), abs=1e-9)


def test_blur_rises_with_the_radius():
    found = [blur(np.asarray(scene().convert("L").filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    assert found == sorted(found)
    assert found[0] < 0.25
    assert found[-1] > 0.6


def test_a_flat_or_tiny_picture_has_no_blur():
    assert blur(np.full((50, 50), 7, np.uint8)) is None
    assert blur(np.zeros((5, 5), np.uint8)) is None
    assert blur(np.arange(5 * 50, dtype=np.uint8).reshape(5, 50) % 13) is not None


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    width, height = Image.open(io.BytesIO(data)).size
    return File(str(path), len(data), 0, "00" * 32, "00" * 20, width, height, "JPEG")


def test_the_sharp_and_little_compressed_copy_is_kept(tmp_path):
    picture = scene()
    files = [
        write(tmp_path, "coarse.jpg", saved(picture, "JPEG", quality=80)),
        write(tmp_path, "blurred.jpg", saved(picture.filter(ImageFilter.GaussianBlur(2)), "JPEG", quality=98)),
        write(tmp_path, "fine.jpg", saved(picture, "JPEG", quality=90)),
    ]
    index, reason = choose(files, parse_rules("quality"), facts=measure)
    assert files[index].path.endswith("fine.jpg")
    assert reason.startswith("sharpest: blur 0.")
    assert reason.endswith("; least compressed: 90% (others at most 80%)")


def test_blur_means_the_same_on_both_sides_of_a_halving(tmp_path):
    picture = scene(2060)
    large = write(tmp_path, "large.png", saved(picture, "PNG", compress_level=1))
    small = write(
        tmp_path, "small.png", saved(picture.resize((2040, 2040), Image.Resampling.LANCZOS), "PNG", compress_level=1)
    )
    assert measure(large).blur == pytest.approx(measure(small).blur, abs=BLUR_TIE)


def test_a_file_that_is_gone_has_no_facts(tmp_path):
    known = measure(File(str(tmp_path / "none.jpg"), 1, 0, "00" * 32, "00" * 20, 1, 1, "JPEG"))
    assert (known.compression, known.blur, known.camera) == (None, None, False)
