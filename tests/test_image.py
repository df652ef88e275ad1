"""What `image.decode` shows: formats, modes, orientation, transparency, colour."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from imkin import image

EXIF_TURNS = {1: (), 2: ("h",), 3: ("r", "r"), 4: ("v",), 5: ("t",), 6: ("r",), 7: ("t", "r", "r"), 8: ("r", "r", "r")}


def scene(width=41, height=29, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([255 * x / width, 255 * y / height, 127 + 127 * np.sin(x / 5 + y / 7)], -1)
    return np.clip(smooth + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def saved(picture, name, **options):
    out = io.BytesIO()
    (Pillow.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(out, name, **options)
    return out.getvalue()


def decoded(data, **options):
    got = image.decode(data, path="p", **options)
    assert isinstance(got, image.Image), got
    assert got.pixels.dtype == np.uint8 and got.pixels.ndim == 3 and got.pixels.shape[2] == 3
    return got


def shows(data, expected, name):
    got = decoded(data)
    assert (got.format, got.width, got.height) == (name, expected.shape[1], expected.shape[0])
    np.testing.assert_array_equal(got.pixels, expected)


def chunk(name, body):
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png(width, height, rows, *, bits=8, kind=2, before=(), interlaced=0, after=()):
    """A PNG of packed rows of bytes, each already with its filter byte; before, after: chunks around the pixels."""
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, kind, 0, 0, interlaced))
    body = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + body + b"".join(after) + chunk(b"IEND", b"")


def exif(orientation):
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def stored(upright, orientation):
    """The pixels that a camera stores so that the tag turns them into upright: the inverse of the tag's turns."""
    undo = {"h": lambda a: a[:, ::-1], "v": lambda a: a[::-1], "t": lambda a: a.swapaxes(0, 1)}
    undo["r"] = lambda a: np.rot90(a, 1)
    for turn in reversed(EXIF_TURNS[orientation]):
        upright = undo[turn](upright)
    return np.ascontiguousarray(upright)


LOSSLESS = {
    "PNG": {}, "BMP": {}, "TIFF": {}, "PPM": {}, "TGA": {}, "WEBP": {"lossless": True}, "ICO": {"sizes": [(41, 29)]},
    "JPEG2000": {"irreversible": False},
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_format_gives_the_pixels_that_were_saved(name):
    shows(saved(scene(), name, **LOSSLESS[name]), scene(), name)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff_gives_the_pixels_that_were_saved(compression):
    shows(saved(scene(), "TIFF", compression=compression), scene(), "TIFF")


def test_of_a_tiff_of_several_pages_the_first_shows():
    pages = [Pillow.fromarray(scene(seed=1)), Pillow.fromarray(scene(seed=2))]
    shows(saved(scene(), "TIFF", save_all=True, append_images=pages), scene(), "TIFF")


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_shows(name):
    first, second = np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 3), 255, np.uint8)
    first[5:9, 3:20] = (255, 0, 0)
    options = {"lossless": True} if name == "WEBP" else {}
    shows(saved(first, name, save_all=True, append_images=[Pillow.fromarray(second)], **options), first, name)


def test_avif_and_webp_with_loss_stay_near_the_original():
    smooth = np.asarray(Pillow.fromarray(scene(8, 6)).resize((160, 120), Pillow.Resampling.BICUBIC))
    for name in ("AVIF", "WEBP"):
        got = decoded(saved(smooth, name, quality=90))
        assert got.format == name
        assert np.abs(got.pixels.astype(int) - smooth).mean() < 3


def test_psd_gives_its_merged_picture():
    pixels = scene()
    head = b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, 29, 41, 8, 3) + struct.pack(">LLL", 0, 0, 0) + b"\0\0"
    shows(head + pixels.transpose(2, 0, 1).tobytes(), pixels, "PSD")


def test_gray_and_bilevel_pictures_show_as_equal_channels():
    gray = scene()[..., 0]
    for name in ("PNG", "TIFF", "BMP", "PPM", "TGA"):
        np.testing.assert_array_equal(decoded(saved(gray, name)).pixels, np.repeat(gray[..., None], 3, 2))
    bilevel = Pillow.fromarray(gray).convert("1")
    for name in ("PNG", "TIFF", "BMP", "PPM"):
        np.testing.assert_array_equal(decoded(saved(bilevel, name)).pixels, np.asarray(bilevel.convert("RGB")))


# ---- JPEG


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_jpeg_is_decoded_as_pillow_does(options):
    data = saved(scene(), "JPEG", **options)
    shows(data, np.asarray(Pillow.open(io.BytesIO(data))), "JPEG")


def test_gray_jpeg_shows_as_equal_channels():
    data = saved(scene()[..., 0], "JPEG")
    shows(data, np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB")), "JPEG")


def test_cmyk_jpeg_of_adobe_shows_its_colours():
    colours = np.array([[250, 250, 250], [250, 20, 20], [20, 180, 20], [20, 20, 20]], np.uint8)
    flat = np.repeat(np.repeat(colours[None], 32, 0), 32, 1)
    data = saved(Pillow.fromarray(flat).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data  # so the values are stored inverted
    assert np.abs(decoded(data).pixels.astype(int) - flat).max() < 12


@pytest.mark.parametrize(("side", "factor"), [(1, 256), (40, 8), (41, 4), (80, 4), (100, 2), (161, 1), (999, 1)])
def test_a_picture_is_reduced_by_the_largest_power_of_two_that_leaves_the_side(side, factor):
    pixels = scene(484, 321)
    expected = np.asarray(Pillow.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
    got = decoded(saved(pixels, "PNG"), side=side)
    assert (got.width, got.height) == (484, 321)
    np.testing.assert_array_equal(got.pixels, expected)
    jpeg = decoded(saved(pixels, "JPEG", quality=95, subsampling=0), side=side)
    assert jpeg.pixels.shape == expected.shape
    assert np.abs(jpeg.pixels.astype(int) - expected).mean() < 5


def test_a_white_picture_stays_white_at_every_reduction():
    for size in [(1031, 517), (513, 2049), (4099, 4097)]:
        data = saved(Pillow.new("RGB", size, "white"), "PNG", compress_level=1)
        assert decoded(data, side=1).pixels.min() == 255
        assert decoded(data, side=50).pixels.min() == 255


# ---- orientation


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(EXIF_TURNS)), st.sampled_from(["PNG", "TIFF", "WEBP"]),
    st.integers(1, 70), st.integers(1, 70), st.integers(0, 40),
    st.sampled_from(["RGB", "L", "RGBA"]),
)  # fmt: skip
def test_every_orientation_shows_the_upright_picture_at_every_size(turn, name, width, height, side, mode):
    pixels = np.asarray(Pillow.fromarray(scene(width, height)).convert(mode))
    options = LOSSLESS[name]
    upright = decoded(saved(pixels, name, **options), side=side)
    turned = decoded(saved(stored(pixels, turn), name, exif=exif(turn), **options), side=side)
    assert (turned.width, turned.height) == (width, height)
    np.testing.assert_array_equal(turned.pixels, upright.pixels)


@pytest.mark.parametrize("turn", sorted(EXIF_TURNS))
def test_orientation_agrees_with_pillow_on_jpeg_avif_and_jpeg2000(turn):
    for name in ("JPEG", "AVIF"):
        data = saved(scene(), name, exif=exif(turn))
        oracle = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
        shows(data, np.asarray(oracle), name)


@pytest.mark.parametrize("turn", sorted(EXIF_TURNS))
def test_a_turned_jpeg_of_odd_size_is_reduced_on_the_blocks_of_the_upright_picture(turn):
    smooth = np.asarray(Pillow.fromarray(scene(30, 20)).resize((333, 251), Pillow.Resampling.BICUBIC))
    upright = decoded(saved(smooth, "JPEG", quality=98, subsampling=0), side=30).pixels
    data = saved(stored(smooth, turn), "JPEG", quality=98, subsampling=0, exif=exif(turn))
    difference = np.abs(decoded(data, side=30).pixels.astype(int) - upright)
    assert difference[:-1, :-1].max() <= 4
    assert difference.mean() < 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_png_orientation_is_read_before_and_behind_the_pixels(order):
    pixels = scene()
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LHHHLHHL", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    rows = [b"\0" + row.tobytes() for row in stored(pixels, 6)]
    for place in ("before", "after"):
        shows(png(29, 41, rows, **{place: [chunk(b"eXIf", block)]}), pixels, "PNG")


def test_an_orientation_outside_1_to_8_and_broken_exif_are_ignored():
    for block in (exif(9), exif(0), b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0garbage!!", exif(6)[:20]):
        data = saved(scene(), "PNG", exif=block)
        np.testing.assert_array_equal(decoded(data).pixels, scene())


# ---- transparency and depth


def test_files_that_display_the_same_have_equal_pixels():
    few = scene() // 128 * 127
    picture = Pillow.fromarray(few)
    hole = np.zeros(few.shape[:2], bool)
    hole[4:12, 7:30] = True
    shown = np.where(hole[..., None], 255, few).astype(np.uint8)
    rgba = np.dstack([few, np.where(hole, 0, 255).astype(np.uint8)])
    white_rgba = np.dstack([shown, rgba[..., 3]])
    palette = picture.quantize(16)
    indices = np.asarray(palette).copy()
    indices[hole] = 200
    with_hole = palette.copy()
    with_hole.putdata(indices.ravel().tolist())
    with_hole.putpalette((palette.getpalette() + [0] * 768)[:768])
    for side in (0, 3, 10):
        plain = decoded(saved(few, "PNG"), side=side).pixels
        opaque = np.dstack([few, np.full(few.shape[:2], 255, np.uint8)])
        np.testing.assert_array_equal(decoded(saved(opaque, "PNG"), side=side).pixels, plain)
        np.testing.assert_array_equal(decoded(saved(palette, "PNG"), side=side).pixels, plain)
        np.testing.assert_array_equal(decoded(saved(palette, "GIF"), side=side).pixels, plain)
        holed = decoded(saved(shown, "PNG"), side=side).pixels
        for data in (
            saved(rgba, "PNG"), saved(white_rgba, "PNG"), saved(rgba, "TIFF"), saved(rgba, "TGA"),
            saved(rgba, "WEBP", lossless=True, exact=True), saved(with_hole, "PNG", transparency=200),
            saved(with_hole, "PNG", transparency=bytes([255] * 200 + [0])), saved(with_hole, "GIF", transparency=200),
        ):  # fmt: skip
            np.testing.assert_array_equal(decoded(data, side=side).pixels, holed)


def test_half_transparent_pixels_are_mixed_with_white():
    rgba = np.zeros((2, 256, 4), np.uint8)
    rgba[0, :, :3], rgba[1, :, :3] = 0, (200, 100, 30)
    rgba[..., 3] = np.arange(256)
    alpha = rgba[..., 3:].astype(float) / 255
    expected = np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5)
    np.testing.assert_array_equal(decoded(saved(rgba, "PNG")).pixels, expected)
    gray = np.asarray(Pillow.fromarray(rgba).convert("LA"))
    mixed = np.floor(gray[..., :1] * alpha + 255 * (1 - alpha) + 0.5)
    np.testing.assert_array_equal(decoded(saved(Pillow.fromarray(gray), "PNG")).pixels, np.repeat(mixed, 3, 2))


def test_premultiplied_alpha_of_tiff_is_not_multiplied_twice():
    straight = np.full((4, 4, 4), (200, 100, 0, 128), np.uint8)
    multiplied = straight.copy()
    multiplied[..., :3] = np.round(straight[..., :3] * (128 / 255))
    data = saved(multiplied, "TIFF")
    tag = struct.pack("<HHLH", 338, 3, 1, 2)  # extra samples: straight alpha, and then premultiplied
    assert data.count(tag) == 1
    data = data.replace(tag, struct.pack("<HHLH", 338, 3, 1, 1))
    expected = np.round(straight[0, 0, :3] * (128 / 255) + 127)
    assert np.abs(decoded(data).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_png_shows_white_at_every_depth(bits):
    levels = 1 << bits
    values = (np.arange(16) % levels) if bits < 16 else np.arange(16) * 4096 + 7
    digits = "".join(f"{value:0{bits}b}" for value in values)
    row = b"\0" + bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))
    see_through = int(values[1])
    data = png(16, 1, [row], bits=bits, kind=0, before=[chunk(b"tRNS", struct.pack(">H", see_through))])
    gray = values * 255 // (levels - 1) if bits < 16 else values >> 8
    expected = np.where(values == see_through, 255, gray)
    np.testing.assert_array_equal(decoded(data).pixels[0, :, 0], expected)


def test_a_transparent_colour_of_png_shows_white():
    pixels = scene()
    pixels[3:9, 5:7] = (1, 2, 3)
    shown = pixels.copy()
    shown[3:9, 5:7] = 255
    rows = [b"\0" + row.tobytes() for row in pixels]
    shows(png(41, 29, rows, before=[chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))]), shown, "PNG")


def test_interlaced_png_gives_the_same_pixels():
    pixels = scene()
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    rows = [b"\0" + row.tobytes() for y, dy, x, dx in passes for row in pixels[y::dy, x::dx]]
    shows(png(41, 29, rows, interlaced=1), pixels, "PNG")


def test_sixteen_bits_show_their_high_byte():
    wide = np.arange(0, 65536, 37, dtype=np.uint16)[:1500].reshape(30, 50)
    gray = np.repeat((wide >> 8).astype(np.uint8)[..., None], 3, 2)
    rows = [b"\0" + row.astype(">u2").tobytes() for row in wide]
    shows(png(50, 30, rows, bits=16, kind=0), gray, "PNG")
    shows(saved(wide, "TIFF"), gray, "TIFF")
    shows(saved(wide, "TIFF", compression="tiff_lzw"), gray, "TIFF")
    three = np.stack([wide, wide[::-1], 65535 - wide], -1)
    rows = [b"\0" + row.astype(">u2").tobytes() for row in three]
    shows(png(50, 30, rows, bits=16), (three >> 8).astype(np.uint8), "PNG")


def test_eight_bits_stored_as_sixteen_come_back_unchanged():
    gray = scene()[..., 0]
    shows(saved(gray.astype(np.uint16) * 257, "TIFF"), np.repeat(gray[..., None], 3, 2), "TIFF")


def test_floats_and_whole_numbers_of_32_bits_are_scaled_to_be_seen():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    bytes_ramp = np.arange(256)
    for numbers in (
        ramp,
        ramp * 255,
        (ramp * 255).astype(np.int32),
        ramp * 8e6 - 3e6,
        (ramp * 255).astype(np.int32) - 9,
    ):
        got = decoded(saved(numbers, "TIFF")).pixels[0, :, 0]
        assert np.abs(got.astype(int) - bytes_ramp).max() <= 1
    broken = ramp.copy()
    broken[0, :3] = np.nan, np.inf, -np.inf
    assert decoded(saved(broken, "TIFF")).pixels[0, :3, 0].tolist() == [3, 255, 3]
    assert decoded(saved(np.full((3, 3), 7e9, np.float32), "TIFF")).pixels.tolist() == np.zeros((3, 3, 3)).tolist()


@pytest.mark.parametrize(
    ("magic", "maximum"),
    [("P5", 1), ("P5", 100), ("P5", 1023), ("P5", 65535), ("P6", 4095), ("P6", 255), ("P2", 255), ("P3", 15)],
)
def test_netpbm_of_every_depth_is_scaled_to_8_bits(magic, maximum):
    rng = np.random.default_rng(3)
    values = rng.integers(0, maximum + 1, (6, 5, 3) if magic in ("P6", "P3") else (6, 5))
    body = values.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    if magic in ("P2", "P3"):
        body = ("# a remark\n" + "\n".join(map(str, values.ravel()))).encode()
    got = decoded(f"{magic}\n5 6\n{maximum}\n".encode() + body).pixels
    expected = values * 255 / maximum
    assert np.abs(got - expected.reshape(6, 5, -1)).max() <= (0.5 if maximum != 65535 else 1)


def test_cmyk_and_lab_tiff_show_their_colours():
    flat = np.full((8, 8, 3), (250, 20, 20), np.uint8)
    cmyk = Pillow.fromarray(flat).convert("CMYK")
    np.testing.assert_array_equal(decoded(saved(cmyk, "TIFF")).pixels, np.asarray(cmyk.convert("RGB")))
    lab = Pillow.fromarray(flat).convert("LAB")
    assert np.abs(decoded(saved(lab, "TIFF")).pixels.astype(int) - flat).max() <= 6


# ---- ICC


def linear_profile():
    """An RGB matrix profile with sRGB's primaries and a straight tone curve."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = b"curv" + bytes(4) + struct.pack(">L", 0)
    for i in range(struct.unpack_from(">L", profile, 128)[0]):
        entry = 132 + 12 * i
        if bytes(profile[entry : entry + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            (offset,) = struct.unpack_from(">L", profile, entry + 4)
            profile[offset : offset + 12] = curve
            struct.pack_into(">L", profile, entry + 8, 12)
    return bytes(profile)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_profile_is_turned_into_srgb(name):
    levels = np.repeat(np.arange(0, 256, 5, dtype=np.uint8), 16)[None].repeat(16, 0)
    linear = levels[0] / 255.0
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    options = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}.get(name, {})
    data = saved(np.repeat(levels[..., None], 3, 2), name, icc_profile=linear_profile(), **options)
    assert np.abs(decoded(data).pixels[8, :, 0] - srgb).max() <= (2 if name != "JPEG" else 7)
    gray = decoded(saved(levels, name, icc_profile=linear_profile(), **options))
    assert np.abs(gray.pixels[8, :, 0] - srgb).max() <= (2 if name != "JPEG" else 7)
    reduced = decoded(data, side=4).pixels
    assert reduced.shape[0] in (4, 8) and abs(int(reduced[0, -1, 0]) - 255) <= 3


def test_the_srgb_profile_changes_nothing_and_a_broken_or_foreign_one_is_ignored():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (srgb, lab, b"garbage" * 40, srgb[:200], srgb[:16] + b"CMYK" + srgb[20:]):
        np.testing.assert_array_equal(decoded(saved(scene(), "PNG", icc_profile=profile)).pixels, scene())
    gray = scene()[..., 0]
    shown = decoded(saved(gray, "PNG", icc_profile=srgb)).pixels
    np.testing.assert_array_equal(shown, np.repeat(gray[..., None], 3, 2))


# ---- icons


def test_the_largest_picture_of_an_icon_shows():
    data = saved(scene(64, 64), "ICO", sizes=[(16, 16), (64, 64), (32, 32)])
    shows(data, scene(64, 64), "ICO")
    shows(saved(scene(64, 64), "ICO", sizes=[(64, 64)], bitmap_format="bmp"), scene(64, 64), "ICO")
    rgba = np.dstack([scene(48, 48), np.tile(np.repeat([0, 255], 24).astype(np.uint8), (48, 1))])
    shown = np.where(rgba[..., 3:] == 0, 255, rgba[..., :3])
    shows(saved(rgba, "ICO", sizes=[(48, 48)], bitmap_format="bmp"), shown, "ICO")
