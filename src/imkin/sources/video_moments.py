"""The frames of a video as items, one in each second, shown as `clip.mp4!/00:01:23.400`; and a frame at any time.

An item is read as the JPEG that `imkin frames` writes of that frame. Nothing is decoded before, and no frame is kept:
a reader goes on from where it stands, or enters the video at the key frame before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imkin import image
from imkin.errors import MissingPathError
from imkin.report.timeline import time_code
from imkin.sources import video
from imkin.sources.archive import INSIDE, Names
from imkin.sources.video_frames import Look, Moment, frames, moments
from imkin.sources.video_picture import PAINT_VERSION, Frame, Painter
from imkin.types import Failure, Pixels

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# A second of a film is rarely more than one picture; `imkin frames` looks closer.
EVERY_S = 1.0
JPEG_QUALITY = 92
# Decoding on costs less than entering anew where key frames are this far apart, as encoders set them.
NEAR_S = 4.0
READERS_KEPT = 8


@dataclass(frozen=True, slots=True)
class FrameItem:
    """One frame of a video; see `imkin.sources.Item`. It has no bytes of its own, so its size is 0."""

    path: str
    key: str
    mtime_ns: int
    root: int
    moment: Moment
    readers: Readers = field(compare=False, repr=False)

    @property
    def size(self) -> int:
        """None of its own."""
        return 0

    @property
    def source(self) -> str:
        """From a video."""
        return "video"

    def read(self) -> bytes:
        """The frame as JPEG. Raises OSError where the video is damaged."""
        return image.encode_jpeg(self.readers.frame(self.moment).pixels(), quality=JPEG_QUALITY)


def walk(path: str, *, root: int = 0, max_pixels: int = image.Limits().max_pixels) -> Iterator[FrameItem | Failure]:
    """The first frame of each second, in their order; a Failure for what is damaged or no video.

    Raises MissingPathError if path cannot be read, MissingExtraError where PyAV is not installed.
    """
    try:
        facts = os.stat(path)
        open(path, "rb").close()
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror}") from None
    video.library()
    readers, names, absolute = Readers(path, max_pixels), Names(), os.path.abspath(path)
    for moment in moments(path, Look(every_s=EVERY_S), max_pixels=max_pixels):
        if isinstance(moment, Failure):
            yield moment
            continue
        inside = INSIDE + names.unique(time_code(moment.time_s))
        # The size is part of the key, since the item has none of its own to tell that a video was replaced.
        key = f"{absolute}{inside}#{facts.st_size}#{PAINT_VERSION}"
        yield FrameItem(path + inside, key, facts.st_mtime_ns, root, moment, readers)


class Readers:
    """Decoders of one video, each at its own place; a frame is taken from the nearest one before it."""

    def __init__(self, path: str, max_pixels: int) -> None:
        self.path, self.max_pixels = path, max_pixels
        self._lock = threading.Lock()
        self._idle: list[_Reader | _Forward] = []
        self._enterable = True

    def __reduce__(self) -> tuple[type[Readers], tuple[str, int]]:
        return Readers, (self.path, self.max_pixels)

    def frame(self, moment: Moment) -> Frame:
        """The frame of a moment. Raises OSError where it cannot be decoded."""
        reader = self._take(moment)
        try:
            found = reader.frame(moment)
        except video.NoVideoError as error:
            reader.close()
            raise OSError(str(error)) from None
        except BaseException:
            reader.close()
            raise
        with self._lock:
            self._idle.append(reader)
            spare = self._idle.pop(0) if len(self._idle) > READERS_KEPT else None
        if spare is not None:
            spare.close()
        if found is None and isinstance(reader, _Reader):
            # What the file says of its times and key frames is not so.
            self._enterable = False
            return self.frame(moment)
        if found is None:
            raise OSError("the video is damaged there")
        return found

    def _take(self, moment: Moment) -> _Reader | _Forward:
        kind = _Reader if self._enterable and moment.pts is not None else _Forward
        with self._lock:
            before = [each for each in self._idle if isinstance(each, kind) and each.time_s < moment.time_s]
            nearest = max(before, key=lambda each: each.time_s, default=None)
            near = nearest is not None and (kind is _Forward or moment.time_s - nearest.time_s <= NEAR_S)
            if nearest is not None and (near or len(self._idle) == READERS_KEPT):
                self._idle.remove(nearest)
                return nearest
        return kind(self.path, self.max_pixels)


class _Reader:
    """A decoder that enters the video at key frames."""

    def __init__(self, path: str, max_pixels: int) -> None:
        self.time_s = -1.0
        self._stack = ExitStack()
        try:
            self._container, self._stream = self._stack.enter_context(video.opened(path, max_pixels=max_pixels))
        except (ValueError, LookupError, video.library().error.FFmpegError) as error:
            raise OSError(video.why(error)) from None
        self._stream.codec_context.thread_count = 1  # the scan has its own threads
        self._painter = Painter(self._stream, max_pixels)
        self._pictures: Iterator[VideoFrame] = iter(())

    def close(self) -> None:
        self._stack.close()

    def frame(self, moment: Moment) -> Frame | None:
        """The frame, if it is where the moment says."""
        if moment.pts is None:
            return None
        try:
            if not 0 < moment.time_s - self.time_s <= NEAR_S:
                self._container.seek(moment.pts, stream=self._stream)
                self._pictures = self._decoded()
            self.time_s = moment.time_s
            for picture in self._pictures:
                if picture.pts is not None and picture.pts >= moment.pts:
                    right = picture.pts == moment.pts and not picture.is_corrupt
                    return self._painter.frame(picture, moment.number, moment.time_s) if right else None
        except video.library().error.FFmpegError:
            return None
        return None

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except video.library().error.FFmpegError:
                continue


class _Forward:
    """All the frames from the first on, where packets tell no times."""

    def __init__(self, path: str, max_pixels: int) -> None:
        self.time_s = -1.0
        self._frames = frames(path, Look(every_s=EVERY_S), max_pixels=max_pixels, threads=1)

    def close(self) -> None:
        self._frames = iter(())

    def frame(self, moment: Moment) -> Frame | None:
        for frame in self._frames:
            if isinstance(frame, Failure):
                continue
            self.time_s = frame.time_s
            if frame.number >= moment.number:
                return frame if frame.number == moment.number else None
        return None


def picture_at(path: str, time_s: float, *, max_pixels: int = image.Limits().max_pixels) -> Pixels | None:
    """The frame shown at a time, upright; None where there is none that can be decoded."""
    last: Frame | None = None
    for frame in frames(path, Look(every_s=max(time_s, 1e-3)), max_pixels=max_pixels):
        if isinstance(frame, Failure):
            break
        last = frame
        if frame.time_s >= time_s:
            break
    return None if last is None else last.pixels()
