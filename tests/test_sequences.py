import numpy as np
import pytest

from imkin.join.frames import PdqFrames, reduce_box
from imkin.join.sequences import LEAST_EVIDENCE, Sequence, Shared, shared
from imkin.metric import similarity
from imkin.prints import spec
from imkin.types import Prints

RATE = 15


def sequence(times, usable=None):
    times = np.asarray(times, float)
    return Sequence(times, np.ones(len(times), bool) if usable is None else usable)


def films(shown_a, shown_b, times_a=None, times_b=None):
    """Two sequences whose frames show a moment each (a number; nan: nothing that occurs twice); alike within 0.05."""
    shown_a, shown_b = np.asarray(shown_a, float), np.asarray(shown_b, float)
    a = sequence(np.arange(len(shown_a)) / RATE if times_a is None else times_a)
    b = sequence(np.arange(len(shown_b)) / RATE if times_b is None else times_b)

    def alike(i, j):
        return np.abs(shown_a[i] - shown_b[j]) <= 0.05

    return a, b, np.nonzero(np.abs(shown_a[:, None] - shown_b) <= 0.05), alike


def moments(start, end, speed=1.0):
    return np.arange(start, end, speed / RATE)


def found(*film, least=0.5):
    a, b, votes, alike = film
    return shared(a, b, votes, alike, least=least)


def near(stretch, a_start, a_end, b_start, b_end):
    ends = (stretch.a_start_s, stretch.a_end_s, stretch.b_start_s, stretch.b_end_s)
    return ends == pytest.approx((a_start, a_end, b_start, b_end), abs=0.3)


def test_a_trim_is_found_with_its_place():
    (only,) = found(*films(moments(0, 40), moments(12, 30)))
    assert near(only, 12, 30, 0, 18)
    assert only.similarity == 1.0
    assert only.speed == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("speed", [0.95, 0.97, 1.04, 1.05])
def test_speed_is_found(speed):
    (only,) = found(*films(moments(0, 60), moments(10, 50, speed)))
    assert near(only, 10, 50, 0, 40 / speed)
    assert only.speed == pytest.approx(1 / speed, abs=0.003)
    assert only.similarity > 0.95


def test_a_speed_beyond_the_limit_is_not_followed():
    assert found(*films(moments(0, 60), moments(0, 60, 1.3)), least=0.9) == []


def test_scenes_that_were_cut_out_leave_two_stretches():
    first, second = found(*films(moments(0, 60), np.concatenate([moments(0, 20), moments(35, 60)])))
    assert near(first, 0, 20, 0, 20)
    assert near(second, 35, 60, 20, 45)


def test_an_insert_is_left_out():
    strange = np.full(10 * RATE, np.nan)
    first, second = found(*films(moments(0, 40), np.concatenate([moments(0, 20), strange, moments(20, 40)])))
    assert near(first, 0, 20, 0, 20)
    assert near(second, 20, 40, 30, 50)


def test_strangers_share_nothing():
    assert found(*films(moments(0, 40), moments(100, 140))) == []
    rng = np.random.default_rng(0)
    assert found(*films(rng.uniform(0, 20, 600), rng.uniform(0, 20, 600))) == []


def test_two_recordings_of_a_still_scene_are_not_called_the_same():
    """A fixed camera: the background drifts slowly, what passes by is another thing each time."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        shown = []
        for recording in (1, 2):
            day = np.floor(np.arange(0, 60, 1 / RATE) / 10)
            for start in rng.uniform(0, 55, 8):
                inside = slice(int(start * RATE), int((start + rng.uniform(0.5, 5)) * RATE))
                day[inside] = 1000 * recording + rng.uniform(0, 900) + np.arange(len(day[inside])) / 7
            shown.append(day)
        assert found(*films(*shown)) == []
        assert len(found(*films(shown[0], shown[0][100:]))) == 1


def test_a_copy_of_a_slide_show_is_found_by_its_changes():
    slides = np.repeat(np.arange(8.0), 5 * RATE)
    (only,) = found(*films(slides, slides[8 * RATE : 34 * RATE]))
    assert near(only, 8, 34, 0, 26)


def test_what_never_changes_is_no_evidence():
    still = np.zeros(30 * RATE)
    assert found(*films(still, still)) == []


def test_a_second_in_common_is_too_little():
    assert LEAST_EVIDENCE * 0.25 > 1.0
    strange = np.full(20 * RATE, np.nan)
    assert found(*films(np.concatenate([strange, moments(0, 1), strange]), moments(0, 1))) == []


def test_frames_at_other_moments_and_rates_are_matched():
    a, b = moments(0, 30), np.arange(0.05, 30, 1 / 11)
    (only,) = found(*films(a, b, times_b=b))
    assert near(only, 0, 30, 0, 30)


def test_blank_frames_tell_nothing_where_both_are_blank():
    shown = moments(0, 30)
    a, b, votes, alike = films(shown, shown)
    blank = (shown > 10) & (shown < 20)
    kept = ~blank[votes[0]] & ~blank[votes[1]]
    (only,) = shared(
        sequence(a.times, ~blank), sequence(b.times, ~blank), (votes[0][kept], votes[1][kept]), alike, least=0.9
    )
    assert near(only, 0, 30, 0, 30)


def test_the_order_of_the_two_does_not_matter():
    a, b = moments(0, 40), moments(12, 30, 1.03)
    (one,), (other,) = found(*films(a, b)), found(*films(b, a))
    assert near(Shared(one.b_start_s, one.b_end_s, one.a_start_s, one.a_end_s, 1, 1, 1, 0), *(
        other.a_start_s, other.a_end_s, other.b_start_s, other.b_end_s
    ))  # fmt: skip
    assert one.speed * other.speed == pytest.approx(1.0, abs=0.005)


# ---- frames


def test_pdq_frames_are_alike_by_the_nearest_of_their_codes():
    method = PdqFrames()
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 256, (40, 2, 32), np.uint8)
    other = codes[::-1].copy()
    other[:20, 0] = codes[:20, 1] ^ np.packbits(rng.random((20, 256)) < 0.2, axis=1)
    one = np.ones(40, np.float32)
    slow = np.max(
        [
            np.diag(similarity(Prints(spec("pdq"), codes[:, k], one), Prints(spec("pdq"), other[:, m], one)))
            for k in (0, 1)
            for m in (0, 1)
        ],
        axis=0,
    )
    for level, (_, radius) in enumerate(method.radii):
        assert np.array_equal(method.alike(codes, other, level), slow >= 1 - (radius + 0.5) / 256)
    assert 0 < method.alike(codes, other, 0).sum() < 40


def test_votes_are_pairs_of_different_videos_within_the_radius():
    method = PdqFrames()
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 256, (30, 32), np.uint8)
    flips = np.zeros((30, 256), bool)
    for row, bits in zip(flips, [30, 31, 32] * 10, strict=True):
        row[rng.choice(256, bits, replace=False)] = True
    copies = codes ^ np.packbits(flips, axis=1)
    usable = np.ones(30, bool)
    usable[:3] = False
    videos = [(np.stack([rows, rows], axis=1), usable) for rows in (codes, copies)]
    ((a, b, i, j),) = method.votes([*videos, (rng.integers(0, 256, (9, 2, 32), np.uint8), np.ones(9, bool))], 0)
    assert (a, b) == (0, 1)
    assert i.tolist() == j.tolist() == [at for at in range(3, 30) if at % 3 < 2]
    assert list(method.votes([], 0)) == []


def test_a_box_is_reduced_by_area():
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (2, 12, 12), np.uint8)
    whole = reduce_box(pictures, (0, 0, 12, 12), side=4)
    assert whole == pytest.approx(pictures.reshape(2, 4, 3, 4, 3).mean(axis=(2, 4)))
    part = reduce_box(pictures, (1, 2, 10, 12), side=5)
    fine = np.repeat(np.repeat(pictures[:, 2:12, 1:10], 5, axis=1), 5, axis=2)
    assert part == pytest.approx(fine.reshape(2, 5, 10, 5, 9).mean(axis=(2, 4)))
