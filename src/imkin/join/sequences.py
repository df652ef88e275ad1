"""Which parts of two sequences of frames are the same, at what offset and speed: pure functions of times and matches.

votes (frames alike) ─Hough, minute by minute─► lines t_b = speed · t_a + offset ─fit─► lines ─walk along, frame by
frame─► the stretch where frames agree ─compare with the agreement a few seconds beside the line─► Shared

The last step tells a copy from another recording by the same fixed camera: there frames agree on every line, since the
picture hardly changes. Agreement is therefore corrected for chance as Cohen's kappa is (1960): what two sequences
agree on at the right moment counts only so far as they do not agree on it at the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
Indices = NDArray[np.int64]
Alike = Callable[[Indices, Indices], NDArray[np.bool_]]
"""Whether frames i of a and j of b, two arrays of one length, look the same."""

# Speeds of copies: 5 % either way (film at 24 frames a second shown at 25 is 4 % faster), as a share of each other.
SPEEDS = (1 / 1.055, 1.055)
SPEED_STEP = 0.01
# Time is looked at in slots: a hand-held camera moves on by half a hash in a tenth of a second, and copies are sampled
# at other moments than originals; of the frames of a quarter second one pair is near enough.
SLOT_S = 0.25
# A block of votes is short enough that half a step of speed moves its ends by less than a slot.
BLOCK_S = 40.0
BIN_S = 0.25
LINES_A_BLOCK = 3
LINES = 12
# Distance of a vote to a line that it helps to fit, from the first fit to the last.
FIT_S = (0.5, 0.25, 0.15)
# Last, a line is shifted and turned (in s, and as a share of its speed) while more frames agree with their nearest.
POLISH_STEPS = ((0.4, 0.01), (0.2, 0.005), (0.1, 0.0025), (0.05, 0.001), (0.02, 0.0005))
POLISH_MOVES = 4
POLISH_FRAMES = 1000
# Frames this near to the line are taken to show the same moment; more where a sequence has fewer frames.
NEAR_S = 0.07
# Agreement by chance is that of moments this far beside the line: near, so that daylight is the same.
BESIDE_S = (1.0, 2.0, 4.0, 8.0)
# Slots of agreement beyond chance that a shared stretch has at least: over two seconds; and the more the more moments
# agree by chance, since there one of the many lines that are tried is good sooner. Of parts of a fixed camera's video,
# compared with each other, the best had 0.9 of it (two cars in one lane); of copies trimmed to five seconds, in which
# anything moves, the poorest had 1.2.
LEAST_EVIDENCE = 9.0
EVIDENCE_FOR_CHANCE = 45.0
# Stretches of one pair of sequences: a copy from which scenes were cut agrees piece by piece.
MOST_SHARED = 8


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence of frames. times: (n,) s, ascending. usable: (n,), not so where a frame is too blank to tell."""

    times: Times
    usable: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shared:
    """A stretch that two sequences share; seconds in each. speed: seconds of b for one of a.

    similarity: 0..1, the agreement of its moments corrected for chance. evidence: agreement beyond chance, in slots;
    chance: the share of moments that agree at the wrong time.
    """

    a_start_s: float
    a_end_s: float
    b_start_s: float
    b_end_s: float
    speed: float
    similarity: float
    evidence: float
    chance: float


@dataclass(frozen=True, slots=True)
class _Line:
    speed: float
    offset: float
    support: float = 0.0

    def of(self, times: Times) -> Times:
        return self.speed * times + self.offset


def shared(a: Sequence, b: Sequence, votes: tuple[Indices, Indices], alike: Alike, *, least: float) -> list[Shared]:
    """The stretches that a and b share with similarity ≥ least, in the order of a; they do not overlap in a.

    votes: frames (i of a, j of b) that surely look the same; some are enough. alike: asked along the lines.
    """
    i, j = votes
    found: list[Shared] = []
    while len(found) < MOST_SHARED and len(i):
        best: Shared | None = None
        for line in _lines(a.times[i], b.times[j]):
            fitted = _fit(line, a.times[i], b.times[j])
            stretch = _stretch(fitted, a, b, alike)
            if (
                stretch is not None
                and stretch.similarity >= least
                and (best is None or stretch.evidence > best.evidence)
            ):
                best = stretch
        if best is None:
            break
        best = _polished(best, a, b, alike) or best
        if any(_overlap(best, other) for other in found):
            break
        found.append(best)
        outside = (a.times[i] < best.a_start_s) | (a.times[i] > best.a_end_s)
        i, j = i[outside], j[outside]
    return sorted(found, key=lambda each: each.a_start_s)


def _overlap(one: Shared, other: Shared) -> bool:
    return one.a_start_s < other.a_end_s and other.a_start_s < one.a_end_s


def _lines(times_a: Times, times_b: Times) -> list[_Line]:
    """Lines that many slots of a vote for, the best of each block, without repeats, best first."""
    found: list[_Line] = []
    speeds = np.arange(SPEEDS[0], SPEEDS[1] + SPEED_STEP / 2, SPEED_STEP)
    first = float(times_a.min())
    blocks = ((times_a - first) // (BLOCK_S / 2)).astype(np.int64)
    for block in np.unique(blocks).tolist():
        inside = (blocks == block) | (blocks == block + 1)
        middle = first + (block + 1) * (BLOCK_S / 2)
        found += _block_lines(times_a[inside] - middle, times_b[inside], speeds, middle)
    found.sort(key=lambda line: -line.support)
    kept: list[_Line] = []
    for line in found:
        if len(kept) == LINES:
            break
        if not any(_same(line, other, times_a) for other in kept):
            kept.append(line)
    return kept


def _same(one: _Line, other: _Line, times: Times) -> bool:
    ends = np.array([times.min(), times.max()])
    return bool(np.abs(one.of(ends) - other.of(ends)).max() < BIN_S)


def _block_lines(times_a: Times, times_b: Times, speeds: Times, middle: float) -> list[_Line]:
    slot = np.floor(times_a / SLOT_S).astype(np.int64)
    slot -= slot.min()
    slots = int(slot.max()) + 1
    lines = []
    for speed in speeds.tolist():
        offset = np.floor((times_b - speed * times_a) / BIN_S).astype(np.int64)
        low = int(offset.min())
        # A slot votes once for a bin, however many of its frames match there: stillness is no evidence.
        cells = np.unique((offset - low) * slots + slot)
        count = np.bincount(cells // slots)
        both = count + np.append(count[1:], 0)
        for at in np.argsort(-both, kind="stable")[:LINES_A_BLOCK].tolist():
            centre = (low + at + 1) * BIN_S
            lines.append(_Line(speed, centre - speed * middle, float(both[at])))
    lines.sort(key=lambda line: -line.support)
    return lines[: LINES_A_BLOCK * 2]


def _fit(line: _Line, times_a: Times, times_b: Times) -> _Line:
    """The line through the votes near it, by least squares, each slot of a weighing the same."""
    for near in FIT_S:
        inside = np.abs(times_b - line.of(times_a)) <= near
        if inside.sum() < 2:
            return line
        x, y = times_a[inside], times_b[inside]
        _, place, count = np.unique(np.floor(x / SLOT_S), return_inverse=True, return_counts=True)
        weight = 1.0 / count[place]
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float((weight * (x - mean_x) ** 2).sum())
        speed = line.speed
        if spread > 1.0:  # of less than a second or two the speed cannot be told
            speed = float(np.clip((weight * (x - mean_x) * (y - mean_y)).sum() / spread, *SPEEDS))
        line = _Line(speed, float(mean_y - speed * mean_x), line.support)
    return line


def _polished(stretch: Shared, a: Sequence, b: Sequence, alike: Alike) -> Shared | None:
    """The stretch along the best line near by: votes of still scenes leave a line seconds wide, their changes do not.

    Of equally good lines the one with the speed nearest to 1.
    """
    middle = (stretch.a_start_s + stretch.a_end_s) / 2
    inside = np.flatnonzero((a.times >= stretch.a_start_s) & (a.times <= stretch.a_end_s) & a.usable)
    inside = inside[:: max(1, len(inside) // POLISH_FRAMES)]
    after = a.times[inside] - middle

    def score(speed: float, centre: float) -> tuple[int, float]:
        target = speed * after + centre
        j = np.clip(np.searchsorted(b.times, target), 1, len(b.times) - 1)
        j -= target - b.times[j - 1] < b.times[j] - target
        there = (np.abs(b.times[j] - target) < SLOT_S) & b.usable[j]
        return int(alike(inside[there], j[there]).sum()), -abs(speed - 1)

    centre = stretch.b_start_s + stretch.speed * (middle - stretch.a_start_s)
    best = max((score(*each), each) for each in ((stretch.speed, centre), (1.0, centre)))
    for shift, turn in POLISH_STEPS:
        for _ in range(POLISH_MOVES):
            _, (speed, centre) = best
            around = [(speed + i * turn, centre + k * shift) for i in (-1, 0, 1) for k in (-1, 0, 1)]
            tried = max((score(*each), each) for each in around if SPEEDS[0] <= each[0] <= SPEEDS[1])
            if tried[0] <= best[0]:
                break
            best = tried
    _, (speed, centre) = best
    return _stretch(_Line(speed, centre - speed * middle), a, b, alike)


def _stretch(line: _Line, a: Sequence, b: Sequence, alike: Alike) -> Shared | None:
    """The stretch along a line where the sequences agree most; None if that is too little to tell."""
    agreed, told = _agreement(line, a, b, alike)
    bounds = _densest(agreed, told)
    if bounds is None:
        return None
    first, last = bounds
    inside = np.arange(first, last + 1)
    here = inside[told[inside]]
    rate = float(agreed[here].mean())
    beside = list(_beside(line, a, b, alike, first, last))
    chance = float(np.concatenate(beside).mean()) if beside else 0.0
    evidence = (rate - chance) * len(here)
    if chance >= 1.0 or evidence < LEAST_EVIDENCE + EVIDENCE_FOR_CHANCE * chance:
        return None
    start = float(a.times[0])
    ends = np.array([start + first * SLOT_S, min(start + (last + 1) * SLOT_S, float(a.times[-1]))])
    of_b = np.clip(line.of(ends), b.times[0], b.times[-1]).tolist()
    similarity = min(1.0, max(0.0, (rate - chance) / (1.0 - chance)))
    return Shared(float(ends[0]), float(ends[1]), of_b[0], of_b[1], line.speed, similarity, evidence, chance)


def _beside(line: _Line, a: Sequence, b: Sequence, alike: Alike, first: int, last: int) -> Iterator[NDArray[np.bool_]]:
    """Agreement of the slots first..last of a with moments of b beside the line, but inside the same stretch."""
    slots = np.arange(first, last + 1)
    for shift in BESIDE_S:
        for sign in (-1, 1):
            target = slots + sign * shift / SLOT_S
            agreed, told = _agreement(_Line(line.speed, line.offset + sign * shift * line.speed), a, b, alike)
            inside = slots[(target >= first) & (target <= last)]
            inside = inside[told[inside]]
            if len(inside):
                yield agreed[inside]


def _densest(agreed: NDArray[np.bool_], told: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last slot of the stretch with the most slots that agree less those that do not (Kadane)."""
    gain = np.where(told, np.where(agreed, 1.0, -1.0), 0.0)
    if not (gain > 0).any():
        return None
    total = np.concatenate([[0.0], np.cumsum(gain)])
    lowest = np.minimum.accumulate(total)
    last = int((total[1:] - lowest[:-1]).argmax())
    before = total[: last + 1]
    first = int(len(before) - 1 - before[::-1].argmin())
    return first, last


def _agreement(line: _Line, a: Sequence, b: Sequence, alike: Alike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each slot of a: whether it agrees with b along the line, and whether that can be told.

    A slot agrees if one of its frames looks like one of b at that moment. It cannot be told where b has no frames, or
    where both are too blank. Where one is, as of a crop of a plain road, the other still tells.
    """
    start = float(a.times[0])
    slot = ((a.times - start) / SLOT_S).astype(np.int64)
    slots = int(slot[-1]) + 1
    target = line.of(a.times)
    near = max(NEAR_S, 0.75 * float(np.median(np.diff(b.times)))) if len(b.times) > 1 else NEAR_S
    low, high = np.searchsorted(b.times, target - near), np.searchsorted(b.times, target + near, side="right")
    count = high - low
    i = np.repeat(np.arange(len(a.times)), count)
    j = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    told, agreed = np.zeros(slots, bool), np.zeros(slots, bool)
    some = a.usable[i] | b.usable[j]
    i, j = i[some], j[some]
    told[slot[i]] = True
    agreed[slot[i[alike(i, j)]]] = True
    return agreed, told
