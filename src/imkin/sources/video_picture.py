"""One frame's pixels as a player shows them: upright, square pixels, one field of an interlaced picture, sRGB."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imkin.sources import video
from imkin.types import Pixels

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Goes up when a frame's pixels change: catalogues remember frames by it.
PAINT_VERSION = 2
# AVColorSpace: unspecified.
_UNKNOWN_COLOURS = 2
# Where a video does not name its colour space, players take BT.709 from this height on and BT.601 below.
HIGH_DEFINITION = 720
# FFmpeg makes RGB of these at their own size thirty times faster than its exact way does: 0.4 ms, not 12 ms, for
# 720 x 1280. Colour is that of the nearest sample, and levels are 1 too low in the mean, 3 at most; JPEG costs as much.
PLAIN = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p")

Turn = tuple[bool, bool, bool]
"""Rows and columns change places; then rows, and columns, run backwards."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. number: from 0 in the order of showing. time_s: after frame 0. width, height: as shown."""

    number: int
    time_s: float
    width: int
    height: int
    _picture: VideoFrame
    _painter: Painter
    _turn: Turn

    def pixels(self) -> Pixels:
        """(h, w, 3) uint8, upright, at full size."""
        return self.sized(self.width, self.height)

    def sized(self, width: int, height: int) -> Pixels:
        """(height, width, 3) uint8, upright, by area; squeezed or stretched as needed."""
        return self._painter.paint(self._picture, self._turn, width, height, "rgb24")

    def luma(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width) uint8, upright: the picture's own gray, squeezed or stretched as needed."""
        return self._painter.paint(self._picture, self._turn, width, height, "gray")


class Painter:
    """Makes frames of one stream's decoded pictures; paints in any thread."""

    def __init__(self, stream: VideoStream, max_pixels: int) -> None:
        av = video.library()
        self._stream = stream
        self._max_pixels = max_pixels
        self._aspect = video.pixel_aspect(stream)
        self._own = _Own()
        self._matrix: tuple[int, Turn] | None = None
        how = av.video.reformatter.Interpolation
        self._plain = how.BICUBIC
        self._area = how.AREA | how.ACCURATE_RND | how.FULL_CHR_H_INT
        self._exact = how.BICUBIC | how.ACCURATE_RND | how.FULL_CHR_H_INT

    def frame(self, picture: VideoFrame, number: int, time_s: float) -> Frame:
        """The frame of a picture. Raises NoVideoError where the stream has turned larger than allowed."""
        width, height = max(1, round(picture.width * self._aspect)), picture.height
        if width * height > self._max_pixels:
            raise video.NoVideoError(
                f"too large: {width} x {height} pixels are over the limit of {self._max_pixels:,} pixels"
            )
        # The matrix is the stream's; to read it takes as long as to hash a frame.
        if self._matrix is None or self._matrix[0] != picture.rotation:
            self._matrix = picture.rotation, turn_of(picture)
        turn = self._matrix[1]
        if turn[0]:
            width, height = height, width
        return Frame(number, time_s, width, height, picture, self, turn)

    def paint(self, picture: VideoFrame, turn: Turn, width: int, height: int, layout: str) -> NDArray[np.uint8]:
        """(height, width[, 3]) uint8 of a picture, turned."""
        across, down = (height, width) if turn[0] else (width, height)
        # Gray is the luma as it is; to name a colour space for it would set the scaler up anew for each frame.
        colours = None if layout == "gray" else _colour_space(picture)
        if picture.interlaced_frame:
            picture = self._field(picture)
        if (across, down) == (picture.width, picture.height) and picture.format.name in PLAIN:
            how = self._plain
        else:
            how = self._area if across < picture.width and down < picture.height else self._exact
        # One for each size: a scaler that changes sizes is set up anew each time.
        size = across, down, layout
        if size not in self._own.scalers:
            self._own.scalers[size] = video.library().video.reformatter.VideoReformatter()
        scaled = self._own.scalers[size].reformat(
            picture,
            across,
            down,
            layout,
            src_colorspace=colours,
            interpolation=how,
            threads=1,
        )
        values: NDArray[Any] = scaled.to_ndarray()
        return turned(values, turn)

    def _field(self, picture: VideoFrame) -> VideoFrame:
        """The upper field: half the lines, all of one moment. It needs no other frame, so any skip gives the same."""
        key = picture.width, picture.height, picture.format.name
        if key not in self._own.fields:
            graph = video.library().filter.Graph()
            graph.link_nodes(
                graph.add_buffer(
                    width=picture.width,
                    height=picture.height,
                    format=picture.format,
                    time_base=self._stream.time_base,
                ),
                graph.add("field", "type=top"),
                graph.add("buffersink"),
            ).configure()
            self._own.fields[key] = graph
        graph = self._own.fields[key]
        graph.vpush(picture)
        field: VideoFrame = graph.vpull()
        return field


class _Own(threading.local):
    """What each thread that paints has for itself: FFmpeg's scalers and filters by picture sizes."""

    def __init__(self) -> None:
        self.scalers: dict[tuple[int, int, str], VideoReformatter] = {}
        self.fields: dict[tuple[int, int, str], Any] = {}


def _colour_space(picture: VideoFrame) -> Any:
    """The colour space to read a picture in; None for the one that it names itself."""
    if picture.colorspace != _UNKNOWN_COLOURS or picture.format.is_rgb:
        return None
    spaces = video.library().video.reformatter.Colorspace
    return spaces.ITU709 if picture.height >= HIGH_DEFINITION else spaces.ITU601


def turn_of(picture: VideoFrame) -> Turn:
    """How to turn a picture, by its display matrix: x' = ax + cy, y' = bx + dy (ISO 14496-12), to the nearest of 8."""
    av = video.library()
    data: Any = picture.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32, 9).astype(np.int64).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def turned(values: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """Values (h, w, …) turned; contiguous."""
    across, rows, columns = turn
    if across:
        values = values.swapaxes(0, 1)
    if rows:
        values = values[::-1]
    if columns:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
