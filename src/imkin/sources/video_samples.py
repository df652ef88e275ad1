"""Small pictures of a video at even times, and the borders that they have: what sequences of frames are told by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.join.frames import Box, Pictures
from imkin.sources.video_frames import Look, frames
from imkin.types import Failure

# A hand-held camera moves on by half a hash in 0.1 s: frames sampled at other moments than the original's must still
# lie within a thirtieth of a second of one of its frames.
RATE = 15
SIDE = 128
# Pictures whose border is looked for together: 16 seconds. Longer, and a change of borders comes too late; shorter, and
# a dark scene looks like one.
CHUNK = 240
# Gray levels between the 5th and the 95th percentile of a border's line, and between its lines: coding smears its edge.
BORDER_LEVELS = 10
# A border takes less than this from either side.
MOST_BORDER = 0.4
# Lines next to the picture hold some of it.
SEAM = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring samples. times: (n,) s. pictures: (n, SIDE, SIDE). box: what lies inside the borders.

    width, height: of the video as shown.
    """

    times: NDArray[np.float64]
    pictures: Pictures
    box: Box
    width: int
    height: int


def chunks(path: str, *, max_pixels: int, threads: int | None = None) -> Iterator[Chunk | Failure]:
    """The samples of a video in their order; at last a Failure if it is damaged, or the only one if it is none."""
    times: list[float] = []
    pictures: list[Pictures] = []
    size = (0, 0)
    for frame in frames(path, Look(every_s=1 / RATE), max_pixels=max_pixels, threads=threads):
        if isinstance(frame, Failure):
            if pictures:
                yield _chunk(times, pictures, size)
                times, pictures = [], []
            yield frame
            continue
        size = frame.width, frame.height
        times.append(frame.time_s)
        pictures.append(frame.luma(SIDE, SIDE))
        # What is left over at the end joins the chunk before: of a second's frames a border cannot be told.
        if len(pictures) == 2 * CHUNK:
            yield _chunk(times[:CHUNK], pictures[:CHUNK], size)
            times, pictures = times[CHUNK:], pictures[CHUNK:]
    if pictures:
        yield _chunk(times, pictures, size)


def _chunk(times: list[float], pictures: list[Pictures], size: tuple[int, int]) -> Chunk:
    stacked = np.stack(pictures)
    return Chunk(np.array(times), stacked, inside_borders(stacked), *size)


def inside_borders(pictures: Pictures) -> Box:
    """The box without the lines at the edges that are one colour in all pictures (bars, a plain frame)."""
    some = pictures[:: max(1, len(pictures) // 32)]
    left, right = _inside(some.transpose(0, 2, 1))
    top, bottom = _inside(some[:, :, left:right])
    if (left, right) == (0, pictures.shape[2]):
        # With bars all around, the bar at the side is of one colour only between those above and below.
        left, right = _inside(some[:, top:bottom].transpose(0, 2, 1))
    return left, top, right, bottom


def _inside(pictures: Pictures) -> tuple[int, int]:
    """First and last + 1 of the rows inside the borders."""
    most = int(len(pictures[0]) * MOST_BORDER)
    rows = [*range(most), *range(len(pictures[0]) - most, len(pictures[0]))]
    values = np.sort(pictures[:, rows].transpose(1, 0, 2).reshape(len(rows), -1), axis=1).astype(np.int64)
    low, high = (values[:, round(share * (values.shape[1] - 1))] for share in (0.05, 0.95))
    first, last = _run(low[:most], high[:most]), _run(low[most:][::-1], high[most:][::-1])
    # All one colour: a blank scene, no border.
    if max(first, last) == most:
        return 0, len(pictures[0])
    return first + SEAM * (first > 0), len(pictures[0]) - last - SEAM * (last > 0)


def _run(low: NDArray[np.int64], high: NDArray[np.int64]) -> int:
    """How many of the lines, from the outside, are of the outermost one's colour."""
    middle = (low + high) / 2
    border = (high - low <= BORDER_LEVELS) & (np.abs(middle - middle[0]) <= BORDER_LEVELS)
    return int(len(border) if border.all() else border.argmin())
