"""Frames of a video, in the order they are shown, decoding no more than a look at them needs.

packets ─number─► packets with the number and time of their frame ─schedule─► decoder ─► Frame, Frame, … | Failure

A frame's number is its place in the order of showing, from 0, whatever the rate: packets tell their times, so frames
that are not decoded count as well. Its time is that after frame 0.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imkin.errors import UsageError
from imkin.sources import video
from imkin.sources.video_picture import Frame, Painter
from imkin.types import Failure

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# H.264 and HEVC let at most 16 frames be stored before an earlier one is shown.
REORDERED = 32
# Packets that must be saved to enter anew at a key frame: the decoder's threads run dry each time.
LEAST_LEFT_OUT = 8
# Packets without a wanted frame that wait for the next key frame; more are decoded after all.
MOST_HELD = 2000
# A video whose header promises this many seconds more than there are was cut off. Audio may be longer by less.
CUT_OFF_S = 0.5
# The header's length is told by every frame's length but the last one's, in some containers.
CUT_OFF_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Look:
    """Which frames are looked at: every `skip`-th, or the first of each `every_s` seconds, or key frames only."""

    skip: int = 1
    every_s: float | None = None
    keyframes: bool = False

    def __post_init__(self) -> None:
        if self.skip < 1:
            raise UsageError(f"skip must be at least 1, not {self.skip}")
        if self.every_s is not None and not 0 < self.every_s < float("inf"):
            raise UsageError(f"every must be over 0 seconds, not {self.every_s}")
        if (self.skip > 1) + (self.every_s is not None) + self.keyframes > 1:
            raise UsageError("give one of skip, every and keyframes")


def frames(
    path: str, look: Look = Look(), *, max_pixels: int = 178_000_000, threads: int | None = None
) -> Iterator[Frame | Failure]:
    """The frames of a video that `look` chooses, in their order; at last a Failure if the video is damaged.

    From damage on frames are left out up to the next key frame. threads: of the decoder, default one a processor.
    """
    av = video.library()
    errors = (video.NoVideoError, OSError, ValueError, LookupError, av.error.FFmpegError)
    last = -1
    for frugal in (True, False):
        try:
            with video.opened(path, max_pixels=max_pixels) as (container, stream):
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = threads or 0
                for frame in _Run(path, container, stream, look, max_pixels=max_pixels, frugal=frugal).frames():
                    if isinstance(frame, Failure):
                        yield frame
                    elif frame.number > last:
                        last = frame.number
                        yield frame
                return
        except _LostError:
            # Its key frames are no entrances (intra refresh): once more from the start, and all of it.
            continue
        except errors as error:
            yield Failure(path, "open" if last < 0 else "decode", video.why(error))
            return


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame that is not decoded yet. number, time_s: as a `Frame`'s. pts: its time stamp; None: not told."""

    number: int
    time_s: float
    pts: int | None


def moments(path: str, look: Look, *, max_pixels: int, threads: int | None = None) -> Iterator[Moment | Failure]:
    """Where the frames are that `frames` gives, decoding nothing where packets tell their times."""
    av = video.library()
    try:
        with video.opened(path, max_pixels=max_pixels) as (container, stream):
            run = _Run(path, container, stream, look, max_pixels=max_pixels, frugal=True)
            if run.timed:
                yield from run.moments()
                return
    except (video.NoVideoError, OSError, ValueError, LookupError, av.error.FFmpegError) as error:
        yield Failure(path, "open", video.why(error))
        return
    for frame in frames(path, look, max_pixels=max_pixels, threads=threads):
        yield frame if isinstance(frame, Failure) else Moment(frame.number, frame.time_s, None)


class _LostError(Exception):
    """A frame that was to come did not: the stream cannot be entered where it says so."""


@dataclass(slots=True, eq=False)
class _Packet:
    """A packet with the number of its frame (-1: it shows none), and whether that is to be looked at."""

    packet: Packet[VideoStream]
    pts: int
    number: int = -1
    wanted: bool = False
    settled: bool = False


class _Run:
    """One pass over one video. frugal: leave out what need not be decoded."""

    def __init__(
        self,
        path: str,
        container: InputContainer,
        stream: VideoStream,
        look: Look,
        *,
        max_pixels: int,
        frugal: bool,
    ) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._context = stream.codec_context
        self._look, self._chooser = look, _Chooser(look)
        self._painter = Painter(stream, max_pixels)
        self.timed = frugal and video.timed(container, stream)
        self._frugal = self.timed and look != Look()
        self._tick = float(stream.time_base or 0)
        self._length_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._expected_s = video.duration(container, stream)
        self._failure: Failure | None = None
        self._end_s = 0.0
        self._waiting = False  # after damage, for a key frame

    def frames(self) -> Iterator[Frame | Failure]:
        """The frames, and the failure."""
        yield from self._by_packets() if self.timed else self._by_count()
        yield from self._ending()

    def moments(self) -> Iterator[Moment | Failure]:
        """As `frames`, but nothing is decoded."""
        found: deque[Moment] = deque()

        def settle(item: _Packet, number: int, first: int) -> None:
            time_s = self._settle(item, number, first)
            if item.wanted:
                found.append(Moment(number, time_s, item.pts))

        for _ in _numbered(self._packets(), settle, _Ledger()):
            while found:
                yield found.popleft()
        yield from found
        yield from self._ending()

    def _ending(self) -> Iterator[Failure]:
        """What was wrong with the video, if anything."""
        if self._expected_s is not None:
            missing_s = self._expected_s - self._end_s
            if missing_s > max(CUT_OFF_S, CUT_OFF_SHARE * self._expected_s):
                self._fail(f"ends early: {self._end_s:.1f} of {self._expected_s:.1f} s")
        if self._failure is not None:
            yield self._failure

    def _by_count(self) -> Iterator[Frame]:
        """Every frame is decoded, and counted as it comes."""
        first_s: float | None = None
        for number, picture in enumerate(self._decoded(_Packet(packet, 0) for packet in self._packets())):
            shown_s = number * self._length_s if picture.pts is None else picture.pts * self._tick
            first_s = shown_s if first_s is None else first_s
            time_s = max(0.0, shown_s - first_s)
            self._end_s = max(self._end_s, time_s + self._length_s)
            if self._chooser.wants(number, time_s, key=bool(picture.key_frame)):
                yield self._painter.frame(picture, number, time_s)

    def _by_packets(self) -> Iterator[Frame]:
        """Frames are counted by their packets, decoded or not."""
        ledger = _Ledger()
        if self._look.keyframes:
            self._context.skip_frame = "NONKEY"
        for picture in self._decoded(self._noted(ledger)):
            number = ledger.number(picture.pts)
            if self._frugal and self._failure is None and ledger.lost_before(number):
                raise _LostError
            if ledger.wanted(number):
                time_s = ((picture.pts or 0) - ledger.first) * self._tick
                yield self._painter.frame(picture, number, max(0.0, time_s))
        if self._frugal and self._failure is None and ledger.owed:
            raise _LostError

    def _noted(self, ledger: _Ledger) -> Iterator[_Packet | None]:
        """The packets to decode, noted in the ledger; None where some before the next were left out."""
        items = _numbered(self._packets(), self._settle, ledger)
        for item in _schedule(items, keyframes=self._look.keyframes) if self._frugal else items:
            if item is not None:
                ledger.note(item)
                if self._frugal and not self._look.keyframes:
                    self._context.skip_frame = "DEFAULT" if item.wanted else "NONREF"
            yield item

    def _settle(self, item: _Packet, number: int, first: int) -> float:
        time_s = max(0.0, (item.pts - first) * self._tick)
        length = item.packet.duration
        self._end_s = max(self._end_s, time_s + (length * self._tick if length else self._length_s))
        item.number, item.settled = number, True
        item.wanted = self._chooser.wants(number, time_s, key=item.packet.is_keyframe)
        return time_s

    # ---- FFmpeg

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets in the order of decoding, up to where the file can be read."""
        av = video.library()
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0:  # the end
                    return
                if packet.is_corrupt:
                    self._damaged(packet.pts)
                yield packet
        except av.error.FFmpegError as error:
            self._fail(f"damaged after {self._end_s:.1f} s: {video.why(error)}")

    def _decoded(self, items: Iterable[_Packet | None]) -> Iterator[VideoFrame]:
        for item in items:
            if item is None:
                yield from self._drained()
                continue
            if item.packet.is_corrupt:
                self._waiting = True
                continue
            if self._waiting:
                if not item.packet.is_keyframe:
                    continue
                yield from self._drained()
                self._waiting = False
            yield from self._decode(item.packet)
        yield from self._decode(None)

    def _drained(self) -> Iterator[VideoFrame]:
        yield from self._decode(None)
        self._context.flush_buffers()

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        av = video.library()
        try:
            pictures = self._context.decode(packet)
        except av.error.FFmpegError:
            self._damaged(packet.pts if packet else None)
            self._waiting = True
            return
        for picture in pictures:
            if picture.is_corrupt:
                self._damaged(picture.pts)
            else:
                yield picture

    def _damaged(self, pts: int | None) -> None:
        at_s = self._end_s if pts is None else max(0.0, (pts - (self._stream.start_time or 0)) * self._tick)
        self._fail(f"damaged at {at_s:.1f} s")

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = Failure(self._path, "decode", reason)


class _Chooser:
    """Says of each frame, in the order of showing, whether it is to be looked at."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._turn = -1

    def wants(self, number: int, time_s: float, *, key: bool) -> bool:
        if self._look.keyframes:
            return key
        if self._look.every_s is None:
            return number % self._look.skip == 0
        # A billionth: times are sums of ticks, and 3 times 0.1 s must be the start of the fourth tenth.
        turn = int(time_s / self._look.every_s + 1e-9)
        fresh, self._turn = turn > self._turn, max(turn, self._turn)
        return fresh


class _Ledger:
    """Which numbers the decoder's pictures have, and which of those that are wanted it still owes."""

    def __init__(self) -> None:
        self.first = 0
        self.owed: list[int] = []
        self._numbers: dict[int, list[int]] = {}
        self._last = -1

    def note(self, item: _Packet) -> None:
        self._numbers.setdefault(item.pts, []).append(item.number)
        if item.wanted:
            heapq.heappush(self.owed, item.number)

    def number(self, pts: int | None) -> int:
        """The number of a picture; -1 for one that no packet announced."""
        numbers = self._numbers.get(pts, []) if pts is not None else []
        if not numbers:
            return -1
        self._last = numbers.pop(0)
        if not numbers:
            del self._numbers[pts]  # type: ignore[arg-type]
        return self._last

    def lost_before(self, number: int) -> bool:
        return bool(self.owed) and self.owed[0] < number

    def wanted(self, number: int) -> bool:
        """Whether this picture is wanted; what was wanted before it is forgotten."""
        while self.owed and self.owed[0] < number:
            heapq.heappop(self.owed)
        if number < 0 or not self.owed or self.owed[0] != number:
            return False
        heapq.heappop(self.owed)
        return True


def _numbered(
    packets: Iterable[Packet[VideoStream]], settle: Callable[[_Packet, int, int], float | None], ledger: _Ledger
) -> Iterator[_Packet]:
    """The packets, settled in the order in which their frames are shown; they come in the order of decoding."""
    waiting: deque[_Packet] = deque()
    by_time: list[tuple[int, int, _Packet]] = []
    count = 0

    def next_shown() -> None:
        nonlocal count
        _, _, item = heapq.heappop(by_time)
        if count == 0:
            ledger.first = item.pts
        settle(item, count, ledger.first)
        count += 1

    pts = 0
    for order, packet in enumerate(packets):
        known = packet.pts if packet.pts is not None else packet.dts
        pts = known if known is not None else pts + 1
        item = _Packet(packet, pts, settled=packet.is_discard)
        waiting.append(item)
        if not packet.is_discard:
            heapq.heappush(by_time, (pts, order, item))
        if len(by_time) > REORDERED:
            next_shown()
        while waiting and waiting[0].settled:
            yield waiting.popleft()
    while by_time:
        next_shown()
    yield from waiting


def _schedule(items: Iterable[_Packet], *, keyframes: bool) -> Iterator[_Packet | None]:
    """The packets that the wanted frames need; None before a key frame at which decoding begins anew.

    A frame needs all packets before it back to the last key frame; one that is shown before that key frame, though
    stored behind it, back to the key frame before.
    """
    if keyframes:
        yield from (item for item in items if item.wanted)
        return
    held: list[_Packet] = []  # since the last packet handed on
    entrance = 0  # the place in `held` of the last key frame
    joined = True  # `held` begins where the packets handed on end
    for item in items:
        if item.packet.is_keyframe:
            if entrance >= LEAST_LEFT_OUT or not joined:
                held, joined = held[entrance:], joined and entrance == 0
            entrance = len(held)
        held.append(item)
        if not item.wanted and len(held) < MOST_HELD:
            continue
        if entrance >= LEAST_LEFT_OUT and item.pts >= held[entrance].pts:
            held, joined = held[entrance:], False
        if not joined:
            yield None
            held = [each for each in held if each.pts >= held[0].pts]
        yield from held
        held, entrance, joined = [], 0, True
