import json
import shutil

import numpy as np
import pytest

import film
from drawn import picture
from imkin import image
from imkin.errors import MissingPathError, StoppedError, UsageError
from imkin.join.frames import MOVEMENT_BACK, MOVEMENT_SIDE, KinFrames, MovementFrames, PdqFrames, reduce_box
from imkin.sources.video_samples import SIDE, inside_borders
from imkin.videos import group_videos

WIDTH, HEIGHT = 128, 96


def detailed(seed, width, height):
    """A scene with enough in it for any part to be told."""
    blocks = np.random.default_rng(seed).integers(-60, 60, (height // 12, width // 12, 3))
    scene = picture(seed, width=width, height=height).astype(int) + np.kron(blocks, np.ones((12, 12, 1), int))
    return np.clip(scene, 0, 255).astype(np.uint8)


def shot(seed, seconds=6, rate=15):
    """A camera that wanders over a large scene."""
    scene = detailed(seed, 480, 360)
    t = np.arange(int(seconds * rate)) / rate
    x = ((np.sin(t * 0.9 + seed) + 1) / 2 * (480 - WIDTH)).astype(int)
    y = ((np.cos(t * 0.7 + 2 * seed) + 1) / 2 * (360 - HEIGHT)).astype(int)
    return [scene[b : b + HEIGHT, a : a + WIDTH] for a, b in zip(x, y, strict=True)]


def fixed(seed, seconds=20, rate=15):
    """A camera that does not move: one background for all, boxes that pass by at other times in each recording."""
    rng = np.random.default_rng(seed)
    background = detailed(99, 132, HEIGHT)[:, :WIDTH]
    shown = [background.copy() for _ in range(int(seconds * rate))]
    for start in rng.uniform(0, seconds - 1, 5):
        top, colour, pace = int(rng.integers(0, 30)), rng.integers(0, 256, 3), rng.uniform(60, 150)
        for k in range(int(start * rate), len(shown)):
            left = int((k / rate - start) * pace)
            shown[k][top : top + 60, max(0, left - 50) : left] = colour
            if left - 50 > WIDTH:
                break
    return shown


def barred(pictures, colour=0):
    return [np.pad(p, ((20, 20), (0, 0), (0, 0)), constant_values=colour) for p in pictures]


def pillared(pictures):
    return [np.pad(p, ((0, 0), (26, 26), (0, 0)), constant_values=255) for p in pictures]


def logoed(pictures):
    marked = [p.copy() for p in pictures]
    for p in marked:
        p[6:18, WIDTH - 26 : WIDTH - 6] = (230, 30, 60)
    return marked


def gray(pictures):
    return [np.repeat(p.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8) for p in pictures]


def names(result):
    return [sorted(member.path.rsplit("/", 1)[-1] for member in group.members) for group in result.groups]


def test_edited_copies_are_one_group_and_strangers_none(tmp_path):
    original = shot(1)
    edits = {
        "a-original.mp4": (original, 15),
        "b-gray.mp4": (gray(original), 15),
        "c-bars.mp4": (barred(original), 15),
        "d-pillars.mp4": (pillared(original), 15),
        "e-logo.mp4": (logoed(original), 15),
        "f-trim.mp4": (original[25:75], 15),
        "s-stranger.mp4": (shot(2), 15),
    }
    for name, (pictures, rate) in edits.items():
        film.write(tmp_path / name, pictures, rate=rate)
    for name, speed in (("g-fast.mp4", 1.05), ("h-slow.mp4", 0.95)):
        film.write(tmp_path / name, original, times_ms=[round(k * 1000 / 15 / speed) for k in range(len(original))])
    result = group_videos([str(tmp_path)])
    (group,) = result.groups
    assert names(result) == [[*sorted(set(edits) - {"s-stranger.mp4"}), "g-fast.mp4", "h-slow.mp4"]]
    assert (result.videos, result.failures, result.low_quality) == (9, (), ())
    assert group.keeper.endswith(("c-bars.mp4", "d-pillars.mp4", "h-slow.mp4"))
    assert group.members[0].path == group.keeper
    with_original = {pair.b.rsplit("/", 1)[-1]: pair for pair in group.pairs if pair.a.endswith("a-original.mp4")}
    assert set(with_original) == set(names(result)[0]) - {"a-original.mp4"}
    (trim,) = with_original["f-trim.mp4"].shared
    assert (trim.a_start_s, trim.a_end_s, trim.b_start_s) == pytest.approx((25 / 15, 74 / 15, 0), abs=0.3)
    assert with_original["g-fast.mp4"].shared[0].speed == pytest.approx(1 / 1.05, abs=0.02)
    assert all(pair.similarity > 0.8 and pair.share > 0.8 for pair in with_original.values())
    json.dumps(result.to_dict())


def test_mirrored_and_bannered_copies_are_found_by_kin(tmp_path):
    original = shot(1)
    film.write(tmp_path / "a.mp4", original, rate=15)
    film.write(tmp_path / "mirrored.mp4", [p[:, ::-1] for p in original], rate=15)
    bannered = [p.copy() for p in original]
    for p in bannered:
        p[int(HEIGHT * 0.65) :] = (220, 30, 40)
    film.write(tmp_path / "bannered.mp4", bannered, rate=15)
    film.write(tmp_path / "stranger.mp4", shot(2), rate=15)
    assert names(group_videos([str(tmp_path)])) == [["a.mp4", "bannered.mp4", "mirrored.mp4"]]
    assert group_videos([str(tmp_path)], methods=[PdqFrames()]).groups == ()


def test_kin_frames_are_alike_as_the_slow_metric_says():
    method = KinFrames()
    pictures = np.stack([image.gray(detailed(seed, 132, 132)[:SIDE, :SIDE]) for seed in range(8)])
    box = (0, 0, SIDE, SIDE)
    a, usable = method.prints(pictures, box)
    b, _ = method.prints(pictures[:, :, ::-1], box)
    assert usable.all()
    assert not method.prints(np.full((2, SIDE, SIDE), 90, np.uint8), box)[1].any()
    whole_a, centre_a, whole_b, centre_b = (v.astype(np.float64) for v in (a[:, 0], a[:, 1], b[:, 0], b[:, 1]))
    slow = np.max([whole_a @ whole_b.T, whole_a @ centre_b.T, centre_a @ whole_b.T], axis=0)
    for level, (vote, near) in enumerate(method.cosines):
        assert method.alike(a, b, level).tolist() == (np.diag(slow) >= near).tolist()
        found = {
            (i, j)
            for _, _, left, right in method.votes([(a, usable), (b, usable)], level)
            for i, j in zip(left.tolist(), right.tolist(), strict=True)
        }
        assert found == {(i, j) for i in range(8) for j in range(8) if slow[i, j] >= vote}
    assert method.alike(a, b, 0).any()


def test_crops_to_seven_tenths_of_either_side_are_found_by_their_centre(tmp_path):
    original = shot(1)
    rows, columns = round(HEIGHT * 0.15), round(WIDTH * 0.15)
    film.write(tmp_path / "a.mp4", original, rate=15)
    cropped = [p[rows : HEIGHT - rows, columns : WIDTH - columns - WIDTH % 2] for p in original]
    film.write(tmp_path / "cropped.mp4", cropped, rate=15)
    film.write(tmp_path / "stranger.mp4", shot(2), rate=15)
    assert names(group_videos([str(tmp_path)])) == [["a.mp4", "cropped.mp4"]]


def test_seconds_of_a_fixed_camera_are_found_by_what_moves(tmp_path):
    for seed in (1, 2):
        film.write(tmp_path / f"day{seed}.mp4", fixed(seed), rate=15)
    film.write(tmp_path / "part.mp4", fixed(1)[50:125], rate=15, crf=25)
    assert names(group_videos([str(tmp_path)])) == [["day1.mp4", "part.mp4"]]
    assert group_videos([str(tmp_path)], methods=[PdqFrames(), KinFrames()]).groups == ()


def test_movement_is_what_has_changed_and_stillness_tells_nothing():
    method, box = MovementFrames(), (0, 0, SIDE, SIDE)
    film_a = np.stack([image.gray(p) for p in fixed(1, 4)])[:, :SIDE, :SIDE]
    pictures = np.pad(film_a, ((0, 0), (0, SIDE - film_a.shape[1]), (0, 0)))
    values, usable = method.prints(pictures, box)
    brighter, _ = method.prints(np.minimum(pictures, 200) // 2 + 40, box)
    assert usable[MOVEMENT_BACK:].any()
    assert not usable[:MOVEMENT_BACK].any()
    assert not method.prints(pictures[:1].repeat(20, axis=0), box)[1].any()
    cells = reduce_box(pictures, box, side=MOVEMENT_SIDE)
    for at in np.flatnonzero(usable).tolist():
        change = (cells[at] - cells[at - MOVEMENT_BACK]).ravel()
        assert values[at, 0].astype(float) @ change / np.linalg.norm(change) == pytest.approx(127, abs=1)
    assert method.alike(values[usable], brighter[usable], 0).all()


def test_recordings_of_one_fixed_camera_are_not_the_same_but_a_copy_is(tmp_path):
    for seed in (1, 2, 3):
        film.write(tmp_path / f"day{seed}.mp4", fixed(seed), rate=15)
    film.write(tmp_path / "day1-copy.mp4", fixed(1)[20:-20], rate=15, crf=23)
    assert names(group_videos([str(tmp_path)])) == [["day1-copy.mp4", "day1.mp4"]]


def test_videos_with_less_than_half_in_common_are_two(tmp_path):
    first, second, third = shot(1, 5), shot(2, 9), shot(3, 9)
    film.write(tmp_path / "a.mp4", first + second, rate=15)
    film.write(tmp_path / "b.mp4", first + third, rate=15)
    assert names(group_videos([str(tmp_path)])) == []
    film.write(tmp_path / "c.mp4", first, rate=15)
    assert names(group_videos([str(tmp_path)])) == [["a.mp4", "b.mp4", "c.mp4"]]


def test_equal_files_are_a_pair_even_if_nothing_happens_in_them(tmp_path):
    film.write(tmp_path / "still.mp4", film.scenes(1, each=40), rate=15)
    film.write(tmp_path / "other.mp4", film.scenes(1, each=41), rate=15)
    shutil.copy(tmp_path / "still.mp4", tmp_path / "copy.mp4")
    (group,) = group_videos([str(tmp_path)]).groups
    assert names(group_videos([str(tmp_path)])) == [["copy.mp4", "still.mp4"]]
    assert (group.pairs[0].similarity, group.pairs[0].share) == (1.0, 1.0)


def test_the_blank_the_short_and_the_broken_are_told(tmp_path):
    film.write(tmp_path / "blank.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 60, rate=15)
    film.write(tmp_path / "short.mp4", shot(1, 1), rate=15)
    film.write(tmp_path / "a.mp4", shot(1), rate=15)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    result = group_videos([str(tmp_path)])
    assert [failure.path.rsplit("/", 1)[-1] for failure in result.failures] == ["broken.mp4"]
    assert [path.rsplit("/", 1)[-1] for path in result.low_quality] == ["blank.mp4", "short.mp4"]
    assert (result.videos, result.groups) == (3, ())


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UsageError, match="similarity"):
        group_videos([str(tmp_path)], threshold=2)
    with pytest.raises(UsageError, match="no videos"):
        group_videos([str(tmp_path)])
    with pytest.raises(MissingPathError):
        group_videos([str(tmp_path / "nothing")])
    film.write(tmp_path / "a.mp4", shot(1, 1))
    with pytest.raises(StoppedError):
        group_videos([str(tmp_path)], stop=lambda: True)


def test_borders_are_what_keeps_one_colour_at_the_edge():
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (40, SIDE, SIDE), np.uint8)
    assert inside_borders(pictures) == (0, 0, SIDE, SIDE)
    pictures[:, :20] = rng.integers(0, 6, (40, 20, SIDE))
    pictures[:, -20:] = rng.integers(0, 6, (40, 20, SIDE))
    pictures[:, :, -9:] = 250
    assert inside_borders(pictures) == (0, 21, SIDE - 10, SIDE - 21)
    pictures[7:, :20] = 90  # a dark scene's top is no bar
    assert inside_borders(pictures)[1] == 0
    assert inside_borders(np.full((40, SIDE, SIDE), 17, np.uint8)) == (0, 0, SIDE, SIDE)


def test_real_families_are_found_and_nothing_else(shared):
    result = group_videos([str(shared / "video")])
    assert names(result) == [
        ["chair-19-sd-bar.mp4", "chair-22-sd-grey-bar.mp4", "chair-orig-22-sd-bar.mp4"],
        ["pattern-hd-no-bar.mp4", "pattern-sd-grey-bar.mp4", "pattern-sd-with-small-logo-bar.mp4"],
    ]
    trim = next(p for p in result.groups[0].pairs if "chair-19" in p.a and "orig" in p.b)
    assert (trim.shared[0].a_start_s, trim.shared[0].b_start_s) == pytest.approx((0.0, 3.7), abs=0.1)
    assert (result.videos, result.failures, result.low_quality) == (10, (), ())
