"""What `imkin frames` is asked for, and what it gave: `frames.json`, written and read back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields

from imkin.errors import UsageError
from imkin.report.timeline import KeptFrame, SkippedRun
from imkin.sources.video_frames import Look
from imkin.types import Failure

SCHEMA = 1
# Fast, and the same in each run whatever other methods are the default: a network would cost more than the decode.
BY = "phash"
# With phash 9 of 64 bits may differ: looser than for photos, since a frame that is skipped is not lost.
THRESHOLD = 0.85


@dataclass(frozen=True, slots=True)
class Choice:
    """What is looked at and when a frame counts as seen before.

    threshold: the least similarity of two frames that are alike. crop: the central share of the area that is
    compared. max_frames: so many are kept of a video at most. together: what an earlier video showed counts as seen.
    """

    by: str = BY
    threshold: float = THRESHOLD
    crop: float = 1.0
    look: Look = field(default_factory=Look)
    max_frames: int | None = None
    together: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise UsageError(f"a threshold is a similarity in 0..1, not {self.threshold}")
        if not 0.0 < self.crop <= 1.0:
            raise UsageError(f"crop must be over 0 and at most 1, not {self.crop}")
        if self.max_frames is not None and self.max_frames < 1:
            raise UsageError(f"max frames must be at least 1, not {self.max_frames}")


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """What one video gave; `frames.json` holds the same. looked_at: frames that were compared.

    width, height: of the frames as shown, 0 if there is none. settings: those of the run, to know it again.
    """

    schema: int
    video: str
    folder: str
    bytes: int
    mtime_ns: int
    rate: float
    duration_s: float | None
    width: int
    height: int
    settings: dict[str, object]
    looked_at: int
    frames: tuple[KeptFrame, ...]
    skipped: tuple[SkippedRun, ...]
    failures: tuple[Failure, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FramesResult:
    """A finished run: what each video gave, in their order. reused: of these, done by an earlier run."""

    videos: tuple[VideoFrames, ...]
    failures: tuple[Failure, ...]
    reused: int = 0

    def to_dict(self) -> dict[str, object]:
        """The JSON object."""
        return {"schema": SCHEMA} | asdict(self)


def earlier(path: str, target: str, settings: dict[str, object]) -> VideoFrames | None:
    """What an earlier run with these settings left of this very file; None if it is not all there."""
    try:
        with open(os.path.join(target, "frames.json"), encoding="utf-8", errors="surrogateescape") as file:
            told = json.load(file)
        facts = os.stat(path)
        if (told["bytes"], told["mtime_ns"], told["settings"]) != (facts.st_size, facts.st_mtime_ns, settings):
            return None
        kept = tuple(KeptFrame(**each) for each in told["frames"])
        if not all(os.path.isfile(os.path.join(target, frame.file)) for frame in kept):
            return None
        values = {name: told[name] for name in (each.name for each in fields(VideoFrames))}
        return VideoFrames(**values | {
            "video": path, "folder": target, "frames": kept,
            "skipped": tuple(SkippedRun(**each) for each in told["skipped"]),
            "failures": tuple(Failure(**each) for each in told["failures"]),
        })  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None
