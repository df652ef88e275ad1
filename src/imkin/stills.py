"""Interesting frames: of each video those that are unlike every frame kept before.

video ─look─► frames ─shrink, crop─► fingerprints ─compare with all kept─► kept: a file | like a kept one: part of a run
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from imkin import image, prints
from imkin.engine import local
from imkin.errors import OutputError, StoppedError, UsageError
from imkin.join.seen import Seen
from imkin.report.files import write_atomic
from imkin.report.timeline import KeptFrame, SkippedRun, time_code, write_timeline
from imkin.sources import Filter, video
from imkin.sources.video_frames import frames
from imkin.sources.video_picture import Frame
from imkin.stills_result import SCHEMA, Choice, FramesResult, VideoFrames, earlier
from imkin.types import QUALITY_FLOOR, Failure, Fingerprinter, Pixels

# Frames that are compared together, and their pixels at most: decoded frames are large and wait in memory.
BATCH = 16
BATCH_PIXELS = 1 << 22
MOST_THREADS = 4
# For ssim each kept frame is compared pixel by pixel: at full size a second video frame could take minutes.
SSIM_SIDE = 256
JPEG_QUALITY = 92
# These look at luma alone, which a video has as it is: making colours of it would take a quarter of the decode's time.
GRAY_METHODS = ("ahash", "dhash", "phash", "pdq", "vote", "ssim")
# These squeeze a picture to 32 pixels or fewer, and get them as the means of areas. At their own decode's size they
# would take a third of the decode's time.
TINY_METHODS = ("ahash", "dhash", "phash", "vote")
TINY_SIDE = 32
THUMBNAIL_SIDE = 240

Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]


def keep_frames(
    paths: Sequence[str],
    out: str,
    choice: Choice = Choice(),
    *,
    wanted: Filter = Filter(),
    max_pixels: int = image.Limits().max_pixels,
    jobs: int | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> FramesResult:
    """Write the interesting frames of videos, of each into a folder of its own in `out`.

    paths: videos, and folders of videos. A folder appears when it is complete; one of an earlier run with the same
    settings over the same file is taken as done (not with `together`). jobs: threads of the decoder.
    Raises UsageError for what cannot be, OutputError where something stands in the way or cannot be written; videos
    that were finished stay.
    """
    made = _fingerprinter(choice.by)
    found = list(video.walk(paths, wanted))
    if not found:
        raise UsageError(f"no videos in {', '.join(paths) or 'no paths'}")
    seen = Seen(made.spec, choice.threshold)
    done: list[VideoFrames] = []
    failures: list[Failure] = []
    reused = 0
    work = _Work(choice, made, out, max_pixels, jobs, progress, stop)
    targets = _targets(found, out)
    known = {path: earlier(path, targets[path], work.settings) for path in found}
    _check_free([targets[path] for path in found if choice.together or known[path] is None])
    with _made(out):
        for path in found:
            before = known[path]
            if before is None or choice.together:
                outcome = work.one(path, targets[path], seen if choice.together else Seen(made.spec, choice.threshold))
            else:
                outcome, reused = before, reused + 1
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                done.append(outcome)
                failures += outcome.failures
    return FramesResult(tuple(done), tuple(failures), reused)


def _fingerprinter(by: str) -> Fingerprinter:
    made = prints.fingerprinter(by)
    if made.spec.kind == "bytes":
        raise UsageError(f"method `{by}` compares files, and a frame is none; phash, pdq or ssim compare pictures")
    return made


def _targets(paths: Sequence[str], out: str) -> dict[str, str]:
    """A folder for each video: its name without the ending, numbered where two have the same."""
    taken: set[str] = set()
    targets = {}
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0] or "video"
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        targets[path] = os.path.join(out, name)
    return targets


def _check_free(targets: Iterable[str]) -> None:
    for target in targets:
        if os.path.lexists(target):
            raise OutputError(f"{target} exists already and is not of this run; name a new folder, or move it away")


@contextlib.contextmanager
def _made(out: str) -> Iterator[None]:
    """Make the folder `out`; it goes again if nothing was put into it."""
    fresh = not os.path.lexists(out)
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {out}: {error.strerror}") from None
    try:
        yield
    finally:
        if fresh:
            with contextlib.suppress(OSError):
                os.rmdir(out)


class _Work:
    """One run's settings, and what it does with one video."""

    def __init__(
        self,
        choice: Choice,
        made: Fingerprinter,
        out: str,
        max_pixels: int,
        jobs: int | None,
        progress: Progress | None,
        stop: Stop | None,
    ) -> None:
        self._choice, self._made, self._out, self._max_pixels, self._jobs = choice, made, out, max_pixels, jobs
        self._progress, self._stop = progress, stop
        # Few threads: the decoder's own come first, and each holds decoded frames.
        self._engine = local.threads(min(jobs or local.default_jobs(), MOST_THREADS))
        self.settings: dict[str, object] = {"print": made.spec.id} | asdict(choice)

    def one(self, path: str, target: str, seen: Seen) -> VideoFrames | Failure:
        """The interesting frames of one video, written; a Failure where it has none that can be decoded."""
        facts = video.facts(path, max_pixels=self._max_pixels)
        if isinstance(facts, Failure):
            return facts
        part = os.path.join(self._out, f".imkin-{secrets.token_hex(6)}.part")
        try:
            os.mkdir(part)
            found = _Found(path, part)
            self._watch(facts, found, seen)
            if found.looked_at == 0 and found.failures:
                return found.failures[0]
            outcome = self._outcome(facts, target, found)
            self._report(part, outcome, found.thumbnails)
            _check_free([target])
            os.rename(part, target)
            return outcome
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _watch(self, facts: video.Facts, found: _Found, seen: Seen) -> None:
        expected = int((facts.duration_s or 0) * facts.rate)
        source = frames(facts.path, self._choice.look, max_pixels=self._max_pixels, threads=self._jobs)
        for batch, values, quality in self._engine(self._embed, _batches(source, found.failures)):
            for frame, value, grade in zip(batch, values, quality, strict=True):
                if found.full(self._choice.max_frames):
                    return
                found.see(frame, value, float(grade), seen)
            if self._progress:
                self._progress(os.path.basename(facts.path), min(batch[-1].number, expected), expected)
            if self._stop and self._stop():
                raise StoppedError("stopped; the videos finished so far are written, the next run goes on from there")

    def _embed(self, batch: list[Frame]) -> tuple[list[Frame], NDArray[np.generic], NDArray[np.float32]]:
        return batch, *self._made.embed_batch([self._small(frame) for frame in batch])

    def _small(self, frame: Frame) -> Pixels:
        """The part of a frame that is compared, no larger than the method asks for."""
        spec = self._made.spec
        if spec.name in TINY_METHODS:
            side = math.ceil(TINY_SIDE / math.sqrt(self._choice.crop))
            return self._central(frame.luma(min(side, frame.width), min(side, frame.height))[..., None].repeat(3, 2))
        if spec.kind == "gray image":
            shrink = SSIM_SIDE / max(frame.width, frame.height)
        else:
            shrink = spec.side / math.sqrt(self._choice.crop) / min(frame.width, frame.height) if spec.side else 1.0
        width, height = (max(1, math.ceil(length * min(1.0, shrink))) for length in (frame.width, frame.height))
        if spec.name in GRAY_METHODS:
            whole = np.repeat(frame.luma(width, height)[..., None], 3, axis=2)
        else:
            whole = frame.sized(width, height)
        return self._central(whole)

    def _central(self, whole: Pixels) -> Pixels:
        return whole if self._choice.crop == 1.0 else central(whole, self._choice.crop)

    def _outcome(self, facts: video.Facts, target: str, found: _Found) -> VideoFrames:
        width, height = found.size
        return VideoFrames(
            schema=SCHEMA,
            video=facts.path,
            folder=target,
            bytes=facts.size,
            mtime_ns=facts.mtime_ns,
            rate=round(facts.rate, 6),
            duration_s=None if facts.duration_s is None else round(facts.duration_s, 3),
            width=width,
            height=height,
            settings=self.settings,
            looked_at=found.looked_at,
            frames=tuple(found.kept),
            skipped=tuple(found.skipped),
            failures=tuple(found.failures),
        )

    def _report(self, part: str, outcome: VideoFrames, thumbnails: Sequence[bytes]) -> None:
        choice = self._choice
        ends = [*(run.end_s for run in outcome.skipped), *(frame.time_s for frame in outcome.frames)]
        write_timeline(
            os.path.join(part, "timeline.html"),
            outcome.frames,
            outcome.skipped,
            thumbnails=thumbnails,
            video=outcome.video,
            length_s=max([outcome.duration_s or 0.0, *ends]),
            about={"Method": f"{choice.by}, kept below similarity {choice.threshold:g}"}
            | ({"Compared": f"the central {choice.crop:.0%} of the area"} if choice.crop < 1 else {}),
            failures=[failure.reason for failure in outcome.failures],
        )
        text = json.dumps(outcome.to_dict(), indent=1) + "\n"
        write_atomic(os.path.join(part, "frames.json"), [text.encode("utf-8", "surrogateescape")], sync=False)


def central(pixels: Pixels, share: float) -> Pixels:
    """The central part of a picture with this share of its area and its own proportions; at least one pixel."""
    keep = math.sqrt(share)
    height, width = (max(1, round(length * keep)) for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _batches(source: Iterable[Frame | Failure], failures: list[Failure]) -> Iterator[list[Frame]]:
    """The frames a few at a time; failures go into their list."""
    batch: list[Frame] = []
    for frame in source:
        if isinstance(frame, Failure):
            failures.append(frame)
            continue
        batch.append(frame)
        if len(batch) >= max(1, min(BATCH, BATCH_PIXELS // (frame.width * frame.height))):
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(slots=True)
class _Found:
    """What has been found in one video so far; kept frames are written into `folder` at once."""

    video: str
    folder: str
    kept: list[KeptFrame] = field(default_factory=list)
    skipped: list[SkippedRun] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    looked_at: int = 0
    size: tuple[int, int] = (0, 0)

    def full(self, most: int | None) -> bool:
        return most is not None and len(self.kept) >= most

    def see(self, frame: Frame, value: NDArray[np.generic], quality: float, seen: Seen) -> None:
        """Keep the frame, or add it to a run."""
        self.looked_at += 1
        self.size = self.size if self.looked_at > 1 else (frame.width, frame.height)
        if quality < QUALITY_FLOOR:
            self._skip(frame, None, None, None)
            return
        like = seen.like(value)
        if like is not None:
            (name, number), similarity = like
            self._skip(frame, name, number, similarity)
            return
        pixels, name = frame.pixels(), f"frame{frame.number:07}.jpg"
        with open(os.path.join(self.folder, name), "xb") as file:
            file.write(image.encode_jpeg(pixels, quality=JPEG_QUALITY))
        shrink = min(1.0, THUMBNAIL_SIDE / max(frame.width, frame.height))
        small = frame.sized(max(1, round(frame.width * shrink)), max(1, round(frame.height * shrink)))
        self.thumbnails.append(image.encode_jpeg(small, quality=75))
        self.kept.append(KeptFrame(frame.number, round(frame.time_s, 6), time_code(frame.time_s), name))
        seen.add((self.video, frame.number), value)

    def _skip(self, frame: Frame, name: str | None, number: int | None, similarity: float | None) -> None:
        time_s = round(frame.time_s, 6)
        grade = None if similarity is None else round(similarity, 4)
        last = self.skipped[-1] if self.skipped else None
        follows = last is not None and (not self.kept or last.last > self.kept[-1].frame)
        if last is not None and follows and (last.like, last.like_video) == (number, name):
            least = None if grade is None or last.similarity is None else min(grade, last.similarity)
            self.skipped[-1] = replace(last, last=frame.number, end_s=time_s, frames=last.frames + 1, similarity=least)
        else:
            self.skipped.append(SkippedRun(frame.number, frame.number, time_s, time_s, 1, number, name, grade))
