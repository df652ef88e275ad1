"""One frame's pixels as a player shows them: upright, square pixels, one field of an interlaced picture, sRGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imkin.sources import video
from imkin.types import Pixels

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# AVColorSpace: unspecified.
_UNKNOWN_COLOURS = 2
# Where a video does not name its colour space, players take BT.709 from this height on and BT.601 below.
HIGH_DEFINITION = 720

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

    def pixels(self, side: int = 0) -> Pixels:
        """(h, w, 3) uint8, upright. side: reduced as `image.decode` does, by a power of two, by area; 0: full size."""
        factor = 1 << max((min(self.width, self.height) // side).bit_length() - 1, 0) if side > 0 else 1
        return self.sized(max(1, self.width // factor), max(1, self.height // factor))

    def sized(self, width: int, height: int) -> Pixels:
        """(height, width, 3) uint8, upright, squeezed or stretched as needed."""
        return self._painter.paint(self._picture, self._turn, width, height, "rgb24")

    def luma(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width) uint8, upright: the picture's own gray, squeezed or stretched as needed."""
        return self._painter.paint(self._picture, self._turn, width, height, "gray")


class Painter:
    """Makes frames of one stream's decoded pictures."""

    def __init__(self, stream: VideoStream, max_pixels: int) -> None:
        av = video.library()
        self._stream = stream
        self._max_pixels = max_pixels
        self._aspect = video.pixel_aspect(stream)
        self._scaler = av.video.reformatter.VideoReformatter()
        self._area = av.video.reformatter.Interpolation.AREA
        self._exact = av.video.reformatter.Interpolation.BICUBIC | av.video.reformatter.Interpolation.ACCURATE_RND
        self._fields: dict[tuple[int, int, str], Any] = {}

    def frame(self, picture: VideoFrame, number: int, time_s: float) -> Frame:
        """The frame of a picture. Raises NoVideoError where the stream has turned larger than allowed."""
        width, height = max(1, round(picture.width * self._aspect)), picture.height
        if width * height > self._max_pixels:
            raise video.NoVideoError(
                f"too large: {width} x {height} pixels are over the limit of {self._max_pixels:,} pixels"
            )
        turn = turn_of(picture)
        if turn[0]:
            width, height = height, width
        return Frame(number, time_s, width, height, picture, self, turn)

    def paint(self, picture: VideoFrame, turn: Turn, width: int, height: int, layout: str) -> NDArray[np.uint8]:
        """(height, width[, 3]) uint8 of a picture, turned."""
        across, down = (height, width) if turn[0] else (width, height)
        colours = _colour_space(picture)
        if picture.interlaced_frame:
            picture = self._field(picture)
        smaller = across < picture.width and down < picture.height
        scaled = self._scaler.reformat(
            picture,
            across,
            down,
            layout,
            src_colorspace=colours,
            interpolation=self._area if smaller else self._exact,
            threads=1,
        )
        return turned(scaled.to_ndarray(), turn)

    def _field(self, picture: VideoFrame) -> VideoFrame:
        """The upper field: half the lines, all of one moment. It needs no other frame, so any skip gives the same."""
        key = picture.width, picture.height, picture.format.name
        if key not in self._fields:
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
            self._fields[key] = graph
        graph = self._fields[key]
        graph.vpush(picture)
        field: VideoFrame = graph.vpull()
        return field


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
