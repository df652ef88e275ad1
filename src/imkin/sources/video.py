"""Videos: which files are videos, and what their headers say. `video_frames` decodes them.

Files are read through their own handle and by container formats of the list below: whatever a file claims to be, it
makes nothing open another file or an address, as playlists would.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from imkin.errors import MissingExtraError, MissingPathError
from imkin.sources import Filter
from imkin.sources.folder import SYSTEM_FOLDERS
from imkin.types import Failure

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mpe", ".vob", ".ts", ".mts", ".m2ts"),
    *(".wmv", ".asf", ".flv", ".f4v", ".ogv", ".3gp", ".3g2", ".mxf", ".dv", ".divx", ".rm", ".rmvb", ".nut"),
)
# Demuxers by FFmpeg's names. Left out: all that open something else (hls, dash, concat, image sequences) or take any
# text for a picture (tty).
FORMATS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv",
    "ogg", "mxf", "dv", "rm", "nut", "gif", "apng", "h264", "hevc", "m4v", "obu", "ivf", "wtv", "yuv4mpegpipe",
)  # fmt: skip
# Bytes that FFmpeg takes from the file at once: its 32 KB cost 10 % of the time of a fast decode.
READ_BYTES = 1 << 18
# AVFieldOrder: unknown, progressive.
_WHOLE_PICTURES = (0, 1)
# A pixel wider or higher than this is a broken header, not a wide screen (the widest in use are 2:1).
WIDEST_PIXEL = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """What a video's header says. rate: frames a second on average, 0 where that is not told.

    duration_s: of the pictures, or of the file where only that is told; None: not told.
    """

    path: str
    size: int
    mtime_ns: int
    rate: float
    duration_s: float | None
    codec: str


def is_video(path: str) -> bool:
    """Whether path is named like a video."""
    return path.lower().endswith(VIDEO_ENDINGS)


def walk(roots: Sequence[str], wanted: Filter = Filter()) -> Iterator[str]:
    """Paths of the videos at the roots: a file by itself whatever its ending, in a folder those of VIDEO_ENDINGS.

    Roots in the order given, files of a folder by name; a file reached twice comes once. An unreadable folder below a
    root holds nothing. Raises MissingPathError for a root that is not there, before anything is yielded.
    """
    for root in roots:
        if not os.path.exists(root):
            raise MissingPathError(f"cannot read {root}: no such file or folder")
    seen: set[str] = set()
    for root in roots:
        for path in _below(root, root, wanted) if os.path.isdir(root) else (root,):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield path


def _below(root: str, folder: str, wanted: Filter) -> Iterator[str]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if _unwanted(entry, os.path.relpath(entry.path, root), wanted):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if wanted.recursive and entry.name.casefold() not in SYSTEM_FOLDERS:
                    yield from _below(root, entry.path, wanted)
            elif (
                entry.is_file()
                and os.path.splitext(entry.name)[1].lower() in VIDEO_ENDINGS
                and entry.stat().st_size >= wanted.min_size
            ):
                yield entry.path
        except OSError:
            continue


def _unwanted(entry: os.DirEntry[str], relative: str, wanted: Filter) -> bool:
    if entry.name.startswith(".") and not wanted.hidden:
        return True
    if entry.is_symlink() and not (wanted.follow_links and entry.is_file()):
        return True
    if _matches(wanted.exclude, entry.name, relative):
        return True
    parts = relative.split(os.sep)
    return bool(wanted.include) and entry.is_file() and not any(_matches(wanted.include, p, relative) for p in parts)


def _matches(globs: Sequence[str], name: str, relative: str) -> bool:
    name, relative = name.casefold(), relative.replace(os.sep, "/").casefold()
    return any(fnmatchcase(relative if "/" in glob else name, glob.casefold()) for glob in globs)


def library() -> Any:
    """The module `av`. Raises MissingExtraError where it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("reading videos", "video") from None
    return av


class NoVideoError(Exception):
    """A file without moving pictures, or none that may be shown; the text says why. Never leaves this package."""


@contextmanager
def opened(path: str, *, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first stream of moving pictures.

    Raises NoVideoError, OSError, and whatever FFmpeg finds wrong with the file (`av.error.FFmpegError`).
    """
    options = {"format_whitelist": ",".join(FORMATS)}
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise NoVideoError("the file is empty")
        with library().open(
            file, container_options=options, buffer_size=READ_BYTES, metadata_errors="replace"
        ) as container:
            yield container, _pictures(container, max_pixels)


def _pictures(container: InputContainer, max_pixels: int) -> VideoStream:
    import av

    # The cover of a song is a stream of one picture.
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not moving:
        raise NoVideoError("no moving pictures in it, only sound" if container.streams.audio else "no pictures in it")
    stream = moving[0]
    if getattr(stream, "codec_context", None) is None:
        raise NoVideoError("its pictures are of a kind that cannot be decoded")
    if stream.width * stream.height > max_pixels:
        raise NoVideoError(
            f"too large: {stream.width} x {stream.height} pixels are over the limit of {max_pixels:,} pixels"
        )
    return stream


def facts(path: str, *, max_pixels: int) -> Facts | Failure:
    """What the header of a video says; a Failure where it holds no pictures that can be decoded."""
    try:
        with opened(path, max_pixels=max_pixels) as (container, stream):
            file = os.stat(path)
            rate = stream.average_rate or stream.guessed_rate or Fraction(0)
            return Facts(
                path,
                file.st_size,
                file.st_mtime_ns,
                float(rate),
                duration(container, stream),
                stream.codec_context.name,
            )
    except (NoVideoError, OSError, ValueError, LookupError, library().error.FFmpegError) as error:
        return Failure(path, "open", why(error))


def why(error: Exception) -> str:
    """An error in words, on one line, the same in every run."""
    av = library()
    if isinstance(error, NoVideoError):
        return str(error)
    if isinstance(error, av.error.InvalidDataError):
        return "no video, or a damaged one"
    if isinstance(error, av.error.DecoderNotFoundError):
        return "its pictures are of a kind that cannot be decoded"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of the pictures, as the header tells: of the stream, or else of the whole file."""
    import av

    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:01:02.500000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None if container.duration is None else container.duration / av.time_base


def pixel_aspect(stream: VideoStream) -> float:
    """Width of a pixel by its height."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
        return 1.0
    return float(aspect)


def timed(container: InputContainer, stream: VideoStream) -> bool:
    """Whether each packet is one frame and tells its time, so that frames can be counted without being decoded.

    Not so: raw streams and AVI (no times), VP8 (hidden frames), interlaced H.264 (a packet may be half a frame).
    """
    return (
        container.format.name.split(",")[0] in ("mov", "matroska", "mpegts", "flv")
        and stream.codec_context.name in ("h264", "hevc", "mpeg4", "vp9", "av1", "libdav1d", "mjpeg", "prores", "ffv1")
        and stream.codec_context.field_order in _WHOLE_PICTURES
    )
