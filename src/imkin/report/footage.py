"""The report of near-duplicate videos: report.json, pairs.csv, and report.html, one file that opens offline.

Of each group the page shows the keeper, and of every other member the stretches that it shares with the keeper (or
with the video that links it), drawn along both videos, and moments of them from both side by side. Names come from
anywhere: they reach the page only as escaped text, and the page's policy lets no script run.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from imkin import image
from imkin.report.files import name_bytes, write_atomic
from imkin.report.head import head, text
from imkin.report.html import byte_size, file_url
from imkin.report.timeline import time_code
from imkin.result import Stretch, VideoGroup, VideoMember, VideoPair, VideoResult
from imkin.types import Pixels

Load = Callable[[str, float], Pixels | None]
"""The frame of a video at a time; None where there is none."""
Progress = Callable[[str, int, int], None]

MOMENTS = 3
THUMBNAIL_SIDE = 200
WIDTH = 1000.0
COLUMNS = ("a", "b", "similarity", "share", "a_start_s", "a_end_s", "b_start_s", "b_end_s", "speed")


def write_video_report(
    folder: str,
    found: VideoResult,
    *,
    now: datetime,
    paths: Sequence[str],
    load: Load,
    progress: Progress | None = None,
) -> None:
    """Write all files of the report; report.json last, so that its presence means a whole report.

    now: with its zone. Raises OutputError.
    """
    write_atomic(os.path.join(folder, "pairs.csv"), _csv(found))
    page = _Page(found, load, progress)
    about = {"Folders": ", ".join(paths), "Made": now.strftime("%Y-%m-%d %H:%M")}
    write_atomic(os.path.join(folder, "report.html"), (part.encode() for part in page.parts(about)))
    facts = found.to_dict() | {"timestamp": now.isoformat(timespec="seconds"), "folder_list": list(paths)}
    write_atomic(os.path.join(folder, "report.json"), [json.dumps(facts, indent=1).encode("ascii"), b"\n"])


def _csv(found: VideoResult) -> Iterator[bytes]:
    """A line for each stretch that two videos share."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for group in found.groups:
        for pair in group.pairs:
            for each in pair.shared:
                spans = each.a_start_s, each.a_end_s, each.b_start_s, each.b_end_s, each.speed
                writer.writerow([pair.a, pair.b, pair.similarity, pair.share, *spans])
    yield name_bytes(text.getvalue())


def link_of(member: VideoMember, group: VideoGroup) -> VideoPair | None:
    """The pair that links a member to the keeper, or else its most similar one; None for the keeper."""
    if member.path == group.keeper:
        return None
    own = [pair for pair in group.pairs if member.path in (pair.a, pair.b)]
    return min(own, key=lambda pair: (group.keeper not in (pair.a, pair.b), -pair.similarity, pair.a, pair.b))


def from_side_of(path: str, pair: VideoPair) -> tuple[str, list[Stretch]]:
    """The other video of a pair, and its stretches with `path` as their a."""
    if path == pair.a:
        return pair.b, list(pair.shared)
    return pair.a, [
        Stretch(each.b_start_s, each.b_end_s, each.a_start_s, each.a_end_s, 1 / each.speed, each.similarity)
        for each in pair.shared
    ]


def told(stretch: Stretch, other: str) -> str:
    """A stretch in words: 00:00:00.0-00:00:18.7 is 00:00:03.7-00:00:22.4 of other.mp4, at 1.04 times the speed."""
    spans = (stretch.a_start_s, stretch.a_end_s), (stretch.b_start_s, stretch.b_end_s)
    own, others = ("-".join(time_code(time_s)[:-2] for time_s in span) for span in spans)
    faster = "" if abs(stretch.speed - 1) < 0.005 else f", at {stretch.speed:.2f} times the speed"
    return f"{own} is {others} of {other}{faster}"


class _Page:
    def __init__(self, found: VideoResult, load: Load, progress: Progress | None) -> None:
        self._found, self._load, self._progress = found, load, progress
        self._drawn, self._total = 0, sum(len(group.members) for group in found.groups)

    def parts(self, about: dict[str, str]) -> Iterator[str]:
        found = self._found
        yield head("imkin report: videos", styles=("report.css", "footage.css"))
        yield '<header class="top">\n<h1>imkin report: videos</h1>\n<dl class="about">\n'
        for name, value in {**about, "Method": f"{found.method}, similarity {found.threshold:g} and over"}.items():
            yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
        yield '</dl>\n<dl class="figures">\n'
        pairs = sum(len(group.pairs) for group in found.groups)
        for number, noun in ((found.videos, "videos"), (len(found.groups), "groups"), (pairs, "pairs")):
            yield f"<div><dd>{number:,}</dd><dt>{noun}</dt></div>\n"
        yield "</dl>\n"
        failed = [f"{each.path}: {each.reason}" for each in found.failures]
        yield from _list(failed, "could not be read")
        yield from _list(found.low_quality, "too short or too blank to compare")
        yield "</header>\n<main>\n"
        for at, group in enumerate(found.groups, 1):
            yield from self._group(at, group)
        if not found.groups:
            yield '<p class="empty">No two videos are alike at this threshold.</p>\n'
        yield "</main>\n</body>\n</html>\n"

    def _group(self, number: int, group: VideoGroup) -> Iterator[str]:
        lengths = {member.path: member.length_s for member in group.members}
        yield f'<section>\n<h2>Group {number}</h2>\n<p class="why">Keep <b>'
        yield f"{text(os.path.basename(group.keeper))}</b>: {text(group.reason)}</p>\n"
        for member in group.members:
            pair = link_of(member, group)
            yield f'<div class="video">\n<p class="name"><a href="{html.escape(file_url(member.path))}">'
            yield f"{text(member.path)}</a></p>\n"
            facts = f"{member.width}×{member.height}, {time_code(member.length_s)[:-2]} long, {byte_size(member.bytes)}"
            yield f'<p class="facts">{facts}</p>\n'
            if pair is None:
                yield '<p><span class="tag">keep</span></p>\n'
            else:
                yield from self._shared(member, pair, lengths)
            yield "</div>\n"
            self._drawn += 1
            if self._progress:
                self._progress("drawing the report", self._drawn, self._total)
        yield "</section>\n"

    def _shared(self, member: VideoMember, pair: VideoPair, lengths: dict[str, float]) -> Iterator[str]:
        other, stretches = from_side_of(member.path, pair)
        yield f'<p class="score">similarity {pair.similarity:.3f}, {pair.share:.0%} of the shorter one</p>\n'
        for stretch in stretches:
            yield f'<p class="facts">{text(told(stretch, os.path.basename(other)))}</p>\n'
        longest = max(member.length_s, lengths[other], 1e-3)
        yield _bars(member.length_s, [(each.a_start_s, each.a_end_s) for each in stretches], longest)
        yield _bars(lengths[other], [(each.b_start_s, each.b_end_s) for each in stretches], longest)
        main = max(stretches, key=lambda each: each.a_end_s - each.a_start_s)
        yield '<div class="moments">\n'
        for at in range(MOMENTS):
            share = (at + 0.5) / MOMENTS
            yield '<div class="moment">'
            for path, start, end in (
                (member.path, main.a_start_s, main.a_end_s),
                (other, main.b_start_s, main.b_end_s),
            ):
                yield self._picture(path, start + share * (end - start))
            yield "</div>\n"
        yield "</div>\n"

    def _picture(self, path: str, time_s: float) -> str:
        words = f"{os.path.basename(path)} at {time_code(time_s)[:-2]}"
        pixels = self._load(path, time_s)
        shown_as = "<span>no picture</span>"
        if pixels is not None:
            jpeg = image.encode_jpeg(image.thumbnail(pixels, side=THUMBNAIL_SIDE), quality=75)
            data = base64.b64encode(jpeg).decode()
            shown_as = f'<img src="data:image/jpeg;base64,{data}" alt="{text(words)}">'
        return f'<figure><span class="frame">{shown_as}</span><figcaption>{text(words)}</figcaption></figure>'


def _bars(length_s: float, spans: Sequence[tuple[float, float]], longest_s: float) -> str:
    """A video as a bar, to the scale of the longer one, with what is shared in colour."""
    scale = WIDTH / longest_s
    rows = [("whole", 0.0, length_s), *(("shared", *span) for span in spans)]
    bars = "".join(
        f'<rect class="{kind}" x="{start * scale:.2f}" width="{max(1.0, (end - start) * scale):.2f}" height="10"/>'
        for kind, start, end in rows
    )
    viewed = f'viewBox="0 0 {WIDTH:g} 10" preserveAspectRatio="none"'
    return f'<svg class="strip" {viewed} aria-hidden="true">{bars}</svg>\n'


def _list(rows: Sequence[str], what: str) -> Iterator[str]:
    if rows:
        noun = "video" if len(rows) == 1 else "videos"
        yield f'<details class="list"><summary>{len(rows):,} {noun} {what}</summary><ul>'
        yield from (f"<li>{text(row)}</li>" for row in rows)
        yield "</ul></details>\n"
