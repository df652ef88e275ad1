import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import film
from drawn import picture
from imkin import image, prints
from imkin.errors import MissingPathError, OutputError, StoppedError, UsageError
from imkin.join.seen import Seen
from imkin.metric import similarity
from imkin.report.timeline import KeptFrame, SkippedRun, time_code, write_timeline
from imkin.sources.video_frames import Look
from imkin.stills import central, keep_frames
from imkin.stills_result import Choice
from imkin.types import Prints, Spec


def numbers(outcome):
    return [frame.frame for frame in outcome.frames]


def runs(outcome):
    return [(run.first, run.last, run.frames, run.like) for run in outcome.skipped]


@pytest.fixture
def clip(tmp_path):
    """Five scenes of 12 frames; the first comes back as the fourth."""
    return film.write(tmp_path / "clip.mp4", film.scenes(1, 2, 3, 1, 4))


def test_a_frame_is_kept_when_it_is_like_no_frame_kept_before(clip, tmp_path):
    (outcome,) = keep_frames([clip], str(tmp_path / "out")).videos
    assert numbers(outcome) == [0, 12, 24, 48]
    assert outcome.looked_at == 60
    assert runs(outcome) == [(1, 11, 11, 0), (13, 23, 11, 12), (25, 35, 11, 24), (36, 47, 12, 0), (49, 59, 11, 48)]
    assert all(run.like_video == clip and run.similarity >= 0.85 for run in outcome.skipped)


@pytest.mark.parametrize("by", ["ahash", "dhash", "phash", "pdq", "vote", "ssim"])
def test_every_method_finds_the_scenes(clip, tmp_path, by):
    threshold = 0.65 if by == "vote" else 0.85
    (outcome,) = keep_frames([clip], str(tmp_path / "out"), Choice(by=by, threshold=threshold)).videos
    assert numbers(outcome) == [0, 12, 24, 48]


def test_the_folder_holds_the_frames_their_facts_and_a_page(clip, tmp_path):
    out = tmp_path / "out"
    (outcome,) = keep_frames([clip], str(out), Choice(look=Look(5))).videos
    assert sorted(os.listdir(out)) == ["clip"]
    assert sorted(os.listdir(out / "clip")) == [
        "frame0000000.jpg",
        "frame0000015.jpg",
        "frame0000025.jpg",
        "frame0000050.jpg",
        "frames.json",
        "timeline.html",
    ]
    told = json.loads((out / "clip" / "frames.json").read_text())
    assert told == json.loads(json.dumps(outcome.to_dict()))
    assert told["frames"][1] == {"frame": 15, "time_s": 0.6, "time_code": "00:00:00.600", "file": "frame0000015.jpg"}
    assert (told["looked_at"], told["width"], told["height"], told["rate"]) == (12, 96, 64, 25.0)
    decoded = image.decode((out / "clip" / "frame0000015.jpg").read_bytes(), path="")
    assert decoded.pixels.shape == (64, 96, 3)
    assert np.abs(decoded.pixels.astype(int) - picture(2, width=96, height=64)).mean() < 6


def test_the_full_upright_frame_is_written_whatever_is_compared(tmp_path):
    path = film.write(tmp_path / "a.mp4", film.scenes(1), rotation=90)
    (outcome,) = keep_frames([path], str(tmp_path / "out"), Choice(crop=0.5)).videos
    written = image.decode((tmp_path / "out" / "a" / "frame0000000.jpg").read_bytes(), path="")
    assert (written.width, written.height) == (outcome.width, outcome.height) == (64, 96)


def test_crop_leaves_the_border_out_of_the_comparison(tmp_path):
    plain = picture(1, width=96, height=64)
    framed = plain.copy()
    for edge in (np.s_[:5], np.s_[-5:], np.s_[:, :8], np.s_[:, -8:]):
        framed[edge] = 255 - framed[edge]
    path = film.write(tmp_path / "a.mp4", [plain] * 3 + [framed] * 3)
    kept = [numbers(keep_frames([path], str(tmp_path / str(crop)), Choice(crop=crop)).videos[0]) for crop in (1.0, 0.6)]
    assert kept == [[0, 3], [0]]


def test_the_crop_is_a_share_of_the_area():
    pixels = np.arange(100 * 200 * 3, dtype=np.uint32).reshape(100, 200, 3).astype(np.uint8)
    part = central(pixels, 0.25)
    assert np.array_equal(part, pixels[25:75, 50:150])
    assert central(pixels[:1, :1], 0.01).shape == (1, 1, 3)


def test_blank_frames_are_neither_kept_nor_like_any(tmp_path):
    black = np.zeros((64, 96, 3), np.uint8)
    path = film.write(tmp_path / "a.mp4", [black] * 4 + film.scenes(1, each=4) + [black] * 4)
    (outcome,) = keep_frames([path], str(tmp_path / "out")).videos
    assert numbers(outcome) == [4]
    assert runs(outcome) == [(0, 3, 4, None), (5, 7, 3, 4), (8, 11, 4, None)]


def test_at_most_so_many_frames_are_kept(clip, tmp_path):
    (outcome,) = keep_frames([clip], str(tmp_path / "out"), Choice(max_frames=2)).videos
    assert numbers(outcome) == [0, 12]
    assert outcome.skipped[-1].last == 11
    assert outcome.looked_at == 13


def test_each_video_stands_by_itself_unless_they_are_taken_together(clip, tmp_path):
    other = film.write(tmp_path / "other.mp4", film.scenes(3, 5))
    apart = keep_frames([clip, other], str(tmp_path / "apart")).videos
    assert [numbers(outcome) for outcome in apart] == [[0, 12, 24, 48], [0, 12]]
    together = keep_frames([clip, other], str(tmp_path / "together"), Choice(together=True)).videos
    assert [numbers(outcome) for outcome in together] == [[0, 12, 24, 48], [12]]
    assert (together[1].skipped[0].like, together[1].skipped[0].like_video) == (24, clip)


def test_videos_of_one_name_get_folders_of_their_own(clip, tmp_path):
    (tmp_path / "b").mkdir()
    shutil.copy(clip, tmp_path / "b" / "clip.mp4")
    result = keep_frames([str(tmp_path)], str(tmp_path / "out"))
    assert [os.path.basename(outcome.folder) for outcome in result.videos] == ["clip", "clip-2"]


def test_what_a_damaged_video_shows_is_kept_and_the_failure_listed(tmp_path):
    path = tmp_path / "cut.mp4"
    film.write(path, film.scenes(1, 2, 3, 4), options={"g": "6"}, container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    sound = film.write_sound(tmp_path / "sound.m4a")
    result = keep_frames([str(path), sound], str(tmp_path / "out"))
    (outcome,) = result.videos
    assert numbers(outcome)[:2] == [0, 12]
    assert outcome.failures[0].path == str(path)
    assert [(failure.path, failure.stage) for failure in result.failures] == [(str(path), "decode"), (sound, "open")]
    assert os.listdir(tmp_path / "out") == ["cut"]
    assert outcome.failures[0].reason in (tmp_path / "out" / "cut" / "timeline.html").read_text()


def test_nothing_is_overwritten_and_a_second_run_goes_on_where_the_first_ended(clip, tmp_path):
    out = str(tmp_path / "out")
    first = keep_frames([clip], out)
    written = Path(out, "clip", "frames.json").stat().st_mtime_ns
    other = film.write(tmp_path / "other.mp4", film.scenes(5))
    second = keep_frames([clip, other], out)
    assert (second.reused, second.videos[0]) == (1, first.videos[0])
    assert numbers(second.videos[1]) == [0]
    assert Path(out, "clip", "frames.json").stat().st_mtime_ns == written
    for choice in (Choice(threshold=0.9), Choice(together=True)):
        with pytest.raises(OutputError, match="exists already"):
            keep_frames([clip], out, choice)
    os.unlink(Path(out, "clip", "frame0000012.jpg"))
    with pytest.raises(OutputError, match="exists already"):
        keep_frames([clip], out)


def test_an_interrupted_run_leaves_whole_folders_only(clip, tmp_path):
    out = tmp_path / "out"
    other = film.write(tmp_path / "other.mp4", film.scenes(5, 6))
    asked = []

    def stop():
        asked.append(1)
        return (out / "clip").exists()

    with pytest.raises(StoppedError):
        keep_frames([clip, other], str(out), stop=stop)
    assert os.listdir(out) == ["clip"]
    assert keep_frames([clip, other], str(out)).reused == 1
    with pytest.raises(StoppedError):
        keep_frames([clip], str(tmp_path / "none"), stop=lambda: True)
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_is_refused_before_anything_is_written(clip, tmp_path):
    out = str(tmp_path / "out")
    for wrong in ({"threshold": 1.5}, {"crop": 0.0}, {"crop": 1.1}, {"max_frames": 0}):
        with pytest.raises(UsageError):
            Choice(**wrong)
    with pytest.raises(UsageError, match="exact"):
        keep_frames([clip], out, Choice(by="exact"))
    with pytest.raises(UsageError, match="unknown method"):
        keep_frames([clip], out, Choice(by="pahsh"))
    with pytest.raises(MissingPathError):
        keep_frames([str(tmp_path / "nothing")], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no videos"):
        keep_frames([str(tmp_path / "empty")], out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        keep_frames([clip], str(tmp_path / "file"))
    assert not os.path.exists(out)


@pytest.mark.parametrize("by", ["phash", "pdq", "vote"])
def test_seen_agrees_with_the_slow_metric(by):
    made = prints.fingerprinter(by)
    rng = np.random.default_rng(2)
    values = rng.integers(0, 256, (150, made.spec.dim // 8), np.uint8)
    values[100:] = values[:50] ^ np.where(rng.random((50, values.shape[1])) < 0.2, 1, 0).astype(np.uint8)
    seen = Seen(made.spec, 0.0)
    for at in range(100):
        seen.add(("v", at), values[at])
    ones = np.ones(len(values), np.float32)
    slow = similarity(Prints(made.spec, values[100:], ones[100:]), Prints(made.spec, values[:100], ones[:100]))
    for row, value in zip(slow, values[100:], strict=True):
        (_, at), similar = seen.like(value)
        assert (at, similar) == (int(row.argmax()), pytest.approx(float(row.max()), abs=1e-6))


def test_seen_compares_vectors_by_their_cosine_and_keeps_to_the_threshold():
    spec = Spec("v", 1, "unit vector", 2, 0.5, 0)
    seen = Seen(spec, 0.9)
    assert seen.like(np.array([1, 0], np.float32)) is None
    seen.add(("a", 7), np.array([1, 0], np.float32))
    seen.add(("a", 9), np.array([0, 1], np.float32))
    place, similar = seen.like(np.array([0.95, np.sqrt(1 - 0.95**2)], np.float32))
    assert (place, similar) == (("a", 7), pytest.approx(0.95, abs=1e-6))
    assert seen.like(np.array([0.8, 0.6], np.float32)) is None


def test_at_the_threshold_a_frame_is_seen_and_a_bit_beyond_it_is_not():
    spec = prints.spec("phash")
    seen = Seen(spec, 0.85)  # 9.6 of 64 bits
    seen.add(("a", 0), np.zeros(8, np.uint8))
    nine, ten = np.zeros(8, np.uint8), np.zeros(8, np.uint8)
    nine[:2], ten[:2] = (255, 1), (255, 3)
    assert seen.like(nine) == (("a", 0), 1 - 9 / 64)
    assert seen.like(ten) is None


def test_the_page_shows_kept_frames_and_runs_and_trusts_no_name(tmp_path):
    evil = "<script>alert(1)</script>.mp4"
    kept = [
        KeptFrame(0, 0.0, "00:00:00.000", "frame0000000.jpg"),
        KeptFrame(50, 2.0, "00:00:02.000", "frame0000050.jpg"),
    ]
    skipped = [
        SkippedRun(1, 49, 0.04, 1.96, 49, 0, evil, 0.9),
        SkippedRun(51, 60, 2.04, 2.4, 10, 0, evil, 0.9),
        SkippedRun(61, 70, 2.44, 2.8, 10, None, None, None),
        SkippedRun(71, 80, 2.84, 3.2, 10, 5, "earlier.mp4", 0.9),
    ]
    jpeg = image.encode_jpeg(picture(1))
    write_timeline(
        str(tmp_path / "t.html"),
        kept,
        skipped,
        thumbnails=[jpeg, jpeg],
        video=evil,
        length_s=4.0,
        about={"Method": "x"},
    )
    page = (tmp_path / "t.html").read_text()
    assert "<script" not in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert page.count("<rect") == 6
    assert '<li id="f0">' in page
    assert "and 59 more like it, back at 00:00:02" in page
    assert "nothing else like it" in page
    assert "10 frames too blank to compare" in page
    assert "10 frames like frame 5 of earlier.mp4" in page
    assert re.search(r'<a href="#f50"><rect x="500.00" y="0" width="1.00"', page)
    assert re.search(r'<rect x="10.00" y="14" width="480.00"', page)


def test_time_codes():
    assert time_code(0.0) == "00:00:00.000"
    assert time_code(3723.4567) == "01:02:03.457"


def test_real_videos_give_their_scenes(shared, tmp_path):
    folder = shared / "video" / "surveillance"
    result = keep_frames([str(folder)], str(tmp_path / "out"), Choice(look=Look(10)))
    assert result.failures == ()
    for outcome in result.videos:
        assert 1 < len(outcome.frames) < outcome.looked_at / 2
        assert outcome.looked_at == len(outcome.frames) + sum(run.frames for run in outcome.skipped)
