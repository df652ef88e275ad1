"""timeline.html: the kept frames of one video along its time, in one file that opens offline.

The strip is the whole video; one colour is one kept frame and everything like it. Names come from anywhere: they
reach the page only as escaped text, and the page's policy lets no script run.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from imkin.report.files import write_atomic
from imkin.report.head import head, text

# Of the strip, in its own units.
WIDTH, HEIGHT = 1000.0, 40.0
LEAST_MARK = 1.0
# Hues that follow each other by the golden angle stay apart however many there are.
GOLDEN_ANGLE = 137.508
AXIS_LABELS = 5


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame that was kept. frame: its number, from 0. time_s: after frame 0. file: its name in the folder."""

    frame: int
    time_s: float
    time_code: str
    file: str


@dataclass(frozen=True, slots=True)
class SkippedRun:
    """Neighbours among the frames looked at that were not kept, for one reason.

    first, last: their numbers; time_s, end_s: their times; frames: how many were looked at. like: the number of the
    kept frame they are like, of `like_video`, by at least `similarity`; None: too blank to be compared.
    """

    first: int
    last: int
    time_s: float
    end_s: float
    frames: int
    like: int | None
    like_video: str | None
    similarity: float | None


def time_code(time_s: float) -> str:
    """Hours, minutes, seconds and milliseconds: 01:02:03.456."""
    ms = round(time_s * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def write_timeline(
    path: str,
    kept: Sequence[KeptFrame],
    skipped: Sequence[SkippedRun],
    *,
    thumbnails: Sequence[bytes],
    video: str,
    length_s: float,
    about: Mapping[str, str],
    failures: Sequence[str] = (),
) -> None:
    """Write the page. thumbnails: a JPEG of each kept frame. length_s: of the video. Raises OutputError."""
    page = _Page(kept, skipped, thumbnails, video, max(length_s, 1e-3))
    write_atomic(path, (part.encode() for part in page.parts(about, failures)), sync=False)


class _Page:
    def __init__(
        self,
        kept: Sequence[KeptFrame],
        skipped: Sequence[SkippedRun],
        thumbnails: Sequence[bytes],
        video: str,
        length_s: float,
    ) -> None:
        self._kept, self._skipped, self._thumbnails = kept, skipped, thumbnails
        self._video, self._length_s = video, length_s
        self._place = {frame.frame: at for at, frame in enumerate(kept)}

    def parts(self, about: Mapping[str, str], failures: Sequence[str]) -> Iterator[str]:
        title = os.path.basename(self._video)
        yield head(title, styles=("report.css", "timeline.css"))
        yield f'<header class="top">\n<h1>{text(title)}</h1>\n<dl class="about">\n'
        for name, value in {"Video": self._video, **about}.items():
            yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
        yield '</dl>\n<dl class="figures">\n'
        looked_at = len(self._kept) + sum(run.frames for run in self._skipped)
        for number, noun in (
            (f"{len(self._kept):,}", "frames kept"),
            (f"{looked_at:,}", "looked at"),
            (time_code(self._length_s)[:-4], "long"),
        ):
            yield f"<div><dd>{number}</dd><dt>{noun}</dt></div>\n"
        yield "</dl>\n"
        for failure in failures:
            yield f'<p class="failure">{text(failure)}</p>\n'
        yield "</header>\n<main>\n"
        yield from self._strip()
        yield from self._frames()
        yield "</main>\n</body>\n</html>\n"

    def _strip(self) -> Iterator[str]:
        yield f'<svg class="strip" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        yield 'aria-label="The video from left to right; one colour is one kept frame and what is like it">\n'
        for run in self._skipped:
            at = self._place.get(run.like) if run.like_video == self._video and run.like is not None else None
            words = "too blank to compare" if run.like is None else f"like frame {run.like}"
            if run.like is not None and at is None:
                words += f" of {run.like_video}"
            yield self._bar(run.time_s, run.end_s, at, f"{run.frames:,} frames {words}", mark=False)
        for at, frame in enumerate(self._kept):
            yield self._bar(frame.time_s, frame.time_s, at, f"frame {frame.frame}, {frame.time_code}", mark=True)
        yield '</svg>\n<div class="axis" aria-hidden="true">'
        for label in range(AXIS_LABELS):
            yield f"<span>{time_code(self._length_s * label / (AXIS_LABELS - 1))[:-4]}</span>"
        yield "</div>\n"

    def _bar(self, time_s: float, end_s: float, at: int | None, words: str, *, mark: bool) -> str:
        scale = WIDTH / self._length_s
        x, width = min(time_s * scale, WIDTH - LEAST_MARK), max((end_s - time_s) * scale, LEAST_MARK)
        fill = "#9a9a9a" if at is None else f"hsl({at * GOLDEN_ANGLE % 360:.0f} 55% 50%)"
        top, height = (0.0, HEIGHT) if mark else (HEIGHT * 0.35, HEIGHT * 0.65)
        bar = (
            f'<rect x="{x:.2f}" y="{top:g}" width="{width:.2f}" height="{height:g}" fill="{fill}">'
            f"<title>{text(words)}</title></rect>"
        )
        return f'<a href="#f{self._kept[at].frame}">{bar}</a>\n' if at is not None else f"{bar}\n"

    def _frames(self) -> Iterator[str]:
        if not self._kept:
            yield '<p class="empty">No frame was kept.</p>\n'
            return
        like: dict[int, list[SkippedRun]] = {}
        for run in self._skipped:
            if run.like is not None and run.like_video == self._video:
                like.setdefault(run.like, []).append(run)
        yield '<ol class="members">\n'
        for at, (frame, jpeg) in enumerate(zip(self._kept, self._thumbnails, strict=True)):
            runs = like.get(frame.frame, [])
            count = sum(run.frames for run in runs)
            again = [run for run in runs if at + 1 < len(self._kept) and run.first > self._kept[at + 1].frame]
            facts = f"and {count:,} more like it" if count else "nothing else like it"
            if again:
                facts += f", back at {', '.join(time_code(run.time_s)[:-4] for run in again[:3])}"
                facts += f" and {len(again) - 3:,} times more" if len(again) > 3 else ""
            data = base64.b64encode(jpeg).decode()
            yield (
                f'<li id="f{frame.frame}"><a href="{quote(frame.file)}"><span class="frame">'
                f'<img src="data:image/jpeg;base64,{data}" alt="Frame {frame.frame}" loading="lazy"></span>'
                f'<span class="score">{frame.time_code}</span></a>'
                f'<div class="facts">frame {frame.frame:,}, {facts}</div></li>\n'
            )
        yield "</ol>\n"
