import os
from fractions import Fraction

import numpy as np
import pytest

import film
from drawn import picture
from imkin import image
from imkin.errors import MissingPathError, UsageError
from imkin.sources import Filter, video
from imkin.sources.video_frames import Look, frames
from imkin.types import Failure

FULL = Look()
KINDS = {
    "plain.mp4": {"options": {"g": "30"}},
    "open-gop.mp4": {"options": {"x264-params": "open-gop=1:keyint=30:bframes=3:b-pyramid=normal"}},
    "intra-refresh.ts": {"options": {"x264-params": "intra-refresh=1:keyint=30"}},
    "hevc.mkv": {"codec": "libx265", "options": {"g": "30"}},
    "counted.avi": {"codec": "mpeg4", "options": {"g": "30", "bf": "2"}},
    "hidden.webm": {"codec": "libvpx", "options": {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    "variable.mkv": {"times_ms": [i * 40 + i % 7 * 5 + 500 * (i > 60) for i in range(100)], "options": {"g": "30"}},
}


def look_at(path, look=FULL, **more):
    """(frames, failures) of a video."""
    found = list(frames(path, look, **more))
    return [f for f in found if not isinstance(f, Failure)], [f for f in found if isinstance(f, Failure)]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", KINDS)
def test_every_look_gives_the_frames_that_a_whole_decode_gives(tmp_path, name):
    path = film.write(tmp_path / name, film.moving(100), **KINDS[name])
    whole = film.decoded(path)
    first_s = whole[0][0]
    assert len(whole) == 100
    ticks = [int((shown_s - first_s) / 0.5 + 1e-9) for shown_s, *_ in whole]
    expected = {
        FULL: list(range(100)),
        Look(7): list(range(0, 100, 7)),
        Look(45): [0, 45, 90],
        Look(every_s=0.5): [n for n in range(100) if n == 0 or ticks[n] > max(ticks[:n])],
        Look(keyframes=True): [n for n in range(100) if whole[n][1]],
    }
    for look, numbers in expected.items():
        found, failures = look_at(path, look)
        assert ([frame.number for frame in found], failures) == (numbers, []), look
        for frame in found:
            assert frame.time_s == pytest.approx(whole[frame.number][0] - first_s, abs=1e-6)
            assert np.array_equal(frame._picture.to_ndarray(format="rgb24"), whole[frame.number][2])


def test_key_frames_and_long_skips_leave_most_packets_undecoded(tmp_path, monkeypatch):
    from imkin.sources import video_frames

    path = film.write(tmp_path / "a.mp4", film.moving(300), options={"g": "30", "bf": "0", "sc_threshold": "0"})
    sent = []
    decode = video_frames._Run._decode
    monkeypatch.setattr(video_frames._Run, "_decode", lambda run, packet: sent.append(packet) or decode(run, packet))
    for look, most in ((FULL, 300), (Look(keyframes=True), 10), (Look(100), 33)):
        sent.clear()
        assert look_at(path, look)[1] == []
        assert len([packet for packet in sent if packet is not None]) <= most


def test_frames_are_turned_as_the_display_matrix_says(tmp_path):
    shown = picture(3, width=96, height=64)
    for degrees, turns in ((0, 0), (90, 1), (180, 2), (-90, 3)):
        path = film.write(tmp_path / f"{degrees}.mp4", [shown] * 2, rotation=degrees, pix_fmt="yuv444p", crf=1)
        (frame, _), _ = look_at(path)
        expected = np.rot90(shown, turns)
        assert (frame.height, frame.width) == expected.shape[:2]
        assert np.abs(frame.pixels().astype(int) - expected).mean() < 2
        assert frame.sized(24, 20).shape == (20, 24, 3)
        assert np.abs(frame.luma(frame.width, frame.height).astype(int) - image.gray(expected.copy())).mean() < 3


def test_ten_bits_become_eight(tmp_path):
    shown = picture(4, width=96, height=64)
    path = film.write(tmp_path / "a.mkv", [shown], pix_fmt="yuv444p10le", crf=1)
    (frame,), _ = look_at(path)
    assert frame._picture.format.name == "yuv444p10le"
    assert np.abs(frame.pixels().astype(int) - shown).mean() < 2


def planes(frame):
    """Luma and the two chroma planes (h, w) of a decoded frame."""
    for plane in frame._picture.planes:
        yield np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width].astype(np.float64)


def test_reduced_gray_is_the_mean_of_each_area_rounded(tmp_path):
    path = film.write(tmp_path / "a.mkv", [picture(5, width=160, height=96)], codec="ffv1")
    (frame,), _ = look_at(path)
    luma, *_ = planes(frame)
    for width, height in ((32, 32), (20, 12), (33, 30)):
        rows = np.add.reduceat(luma.repeat(height, axis=0), np.arange(height) * 96, axis=0) / 96
        means = np.add.reduceat(rows.repeat(width, axis=1), np.arange(width) * 160, axis=1) / 160
        full = np.clip((means - 16) * 255 / 219, 0, 255)
        assert np.abs(frame.luma(width, height) - full).max() < 0.55


@pytest.mark.parametrize(("size", "most"), [((80, 48), 1.0), ((160, 96), 3.0)])
def test_colours_are_those_of_the_standard(tmp_path, size, most):
    colours = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 60, 30), (30, 90, 200), (40, 160, 60)]
    pictures = [np.full((96, 160, 3), colour, np.uint8) for colour in colours]
    found, _ = look_at(film.write(tmp_path / "a.mkv", pictures, codec="ffv1"))
    assert len(found) == len(colours)
    for frame in found:
        y, u, v = (plane[40, 40] for plane in planes(frame))
        gray, blue, red = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224  # BT.601
        exact = 255 * np.array([gray + 1.402 * red, gray - 0.344136 * blue - 0.714136 * red, gray + 1.772 * blue])
        assert np.abs(frame.sized(*size)[20, 20] - np.clip(exact, 0, 255)).max() <= most


def test_pixels_become_square(tmp_path):
    path = film.write(tmp_path / "a.mp4", film.scenes(1, each=2), aspect=Fraction(4, 3))
    frame = look_at(path)[0][0]
    assert (frame.width, frame.height, frame.pixels().shape) == (128, 64, (64, 128, 3))


def test_of_an_interlaced_picture_one_field_is_shown(tmp_path):
    comb = np.full((64, 96, 3), 30, np.uint8)
    comb[::2] = 220
    path = film.write(tmp_path / "a.mkv", [comb] * 3, codec="mpeg2video", options={"flags": "+ildct+ilme", "qmin": "1"})
    frame = look_at(path)[0][0]
    assert frame._picture.interlaced_frame
    pixels = frame.pixels()
    assert pixels.shape == (64, 96, 3)
    assert abs(int(pixels.min()) - 220) < 6
    assert abs(int(pixels.max()) - 220) < 6


def test_a_truncated_file_gives_the_frames_before_the_damage_and_a_failure(tmp_path):
    for name, container in (("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.avi", {})):
        path = tmp_path / name
        film.write(path, film.moving(100), options={"g": "20"}, container=container)
        whole = film.decoded(path)
        cut(path, 0.7)
        for look in (FULL, Look(5)):
            found, (failure,) = look_at(str(path), look)
            assert 20 <= found[-1].number < 90
            assert [frame.number for frame in found] == list(range(0, found[-1].number + 1, look.skip))
            assert failure.stage == "decode"
            assert "damaged" in failure.reason or "ends early" in failure.reason
            for frame in found:
                assert np.array_equal(frame._picture.to_ndarray(format="rgb24"), whole[frame.number][2])


def test_a_damaged_packet_costs_the_frames_up_to_the_next_key_frame(tmp_path):
    path = tmp_path / "a.mp4"
    film.write(path, film.moving(100), options={"g": "20", "bf": "0"})
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 4 + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    found, (failure,) = look_at(str(path))
    assert failure.stage == "decode"
    assert failure.reason.startswith("damaged at ")
    missing = sorted(set(range(100)) - {frame.number for frame in found})
    assert 0 < len(missing) <= 20
    assert missing == list(range(missing[0], missing[-1] + 1))


def test_files_without_pictures_are_failures(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("hello " * 1000)
    segment = film.write(tmp_path / "real.ts", film.moving(5))
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{segment}\n#EXT-X-ENDLIST\n")
    expected = {
        film.write_sound(tmp_path / "sound.m4a"): "no moving pictures in it, only sound",
        film.write_sound(tmp_path / "cover.mp4", cover=picture(1)): "no moving pictures in it, only sound",
        str(tmp_path / "empty.mp4"): "the file is empty",
        str(tmp_path / "text.mp4"): "no video, or a damaged one",
        str(tmp_path / "list.mp4"): "no video, or a damaged one",
        str(tmp_path / "missing.mp4"): "No such file or directory",
    }
    for path, reason in expected.items():
        assert look_at(path) == ([], [Failure(path, "open", reason)])
        assert video.facts(path, max_pixels=10**6) == Failure(path, "open", reason)


def test_pictures_over_the_limit_are_refused(tmp_path):
    path = film.write(tmp_path / "a.mp4", film.moving(2))
    assert look_at(path, max_pixels=96 * 64)[1] == []
    found, (failure,) = look_at(path, max_pixels=96 * 64 - 1)
    assert found == []
    assert failure.reason == "too large: 96 x 64 pixels are over the limit of 6,143 pixels"


def test_facts_are_those_of_the_header(tmp_path):
    path = film.write(tmp_path / "a.mp4", film.moving(50), rate=25, sound=True)
    facts = video.facts(path, max_pixels=10**6)
    assert (facts.path, facts.size, facts.rate, facts.duration_s) == (path, os.path.getsize(path), 25.0, 2.0)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_read(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    os.rename(film.write(tmp_path / "a.mp4", film.moving(3)), path)
    assert len(look_at(path)[0]) == 3


def test_a_look_that_cannot_be_is_refused():
    for wrong in ({"skip": 0}, {"every_s": 0.0}, {"every_s": float("nan")}, {"skip": 2, "keyframes": True}):
        with pytest.raises(UsageError):
            Look(**wrong)


def test_folders_give_their_videos_in_order_and_each_once(tmp_path):
    for name in ("b.mp4", "a.MKV", "sub/c.webm", "notes.txt", ".hidden.mp4", "sub/photo.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    root = str(tmp_path)

    def names(*roots, wanted=Filter()):
        return [os.path.relpath(path, root) for path in video.walk(roots or (root,), wanted)]

    assert names() == ["a.MKV", "b.mp4", "sub/c.webm"]
    assert names(f"{root}/sub", root) == ["sub/c.webm", "a.MKV", "b.mp4"]
    assert names(f"{root}/notes.txt") == ["notes.txt"]
    assert names(wanted=Filter(recursive=False, hidden=True)) == [".hidden.mp4", "a.MKV", "b.mp4"]
    assert names(wanted=Filter(include=("*.mp4",))) == ["b.mp4"]
    assert names(wanted=Filter(exclude=("sub/*", "A.*"))) == ["b.mp4"]
    with pytest.raises(MissingPathError):
        names(f"{root}/nothing")
