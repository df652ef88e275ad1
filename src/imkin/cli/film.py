"""`imkin frames`, and `imkin group --videos`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Json, Setup
from imkin.cli.run import command, finish, logged, progress_bar, report_failures, say, write

if TYPE_CHECKING:
    from imkin.result import VideoGroup, VideoMember, VideoResult
    from imkin.stills_result import VideoFrames

SHOWN_GROUPS = 12

_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "m": 60.0}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "frames")(frames)


def frames(
    paths: Annotated[
        list[str], typer.Argument(metavar="VIDEO|FOLDER...", help="Videos, and folders of videos.", show_default=False)
    ],
    *,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Gets a folder for each video.", show_default=False)],
    by: Annotated[str, typer.Option("--by", metavar="METHOD", help="How to compare; see `imkin methods`.")] = "phash",
    threshold: Annotated[
        float, typer.Option("--threshold", metavar="0..1", help="A frame this similar to a kept one is left out.")
    ] = 0.85,
    crop: Annotated[
        float, typer.Option("--crop", metavar="0..1", help="Compare the central share of the area; write all of it.")
    ] = 1.0,
    skip: Annotated[int, typer.Option("--skip", metavar="N", help="Look at every N-th frame.")] = 1,
    every: Annotated[
        str | None, typer.Option("--every", metavar="0.5s", help="Look at a frame in each such time (s, ms, min).")
    ] = None,
    keyframes: Annotated[bool, typer.Option("--keyframes", help="Look at key frames only: the fastest.")] = False,
    max_frames: Annotated[
        int | None, typer.Option("--max-frames", metavar="N", help="Keep so many of a video at most.")
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Leave out what an earlier video showed as well.")
    ] = False,
    as_json: Json = False,
    setup: Setup,
) -> None:
    """Keep the frames of videos that are unlike every frame kept before.

    Each video gets a folder with its frames as JPEG, frames.json, and timeline.html. Run again, videos that are done
    are passed over.
    """
    from imkin.sources.video_frames import Look
    from imkin.stills import keep_frames
    from imkin.stills_result import Choice

    look = Look(skip, None if every is None else seconds(every), keyframes)
    choice = Choice(by, threshold, crop, look, max_frames, together)
    with logged(setup), progress_bar(setup) as progress:
        done = keep_frames(
            paths,
            out,
            choice,
            wanted=setup.wanted(),
            max_pixels=setup.max_pixels,
            jobs=setup.jobs,
            progress=progress,
        )
    if as_json:
        write(json.dumps(done.to_dict()) + "\n")
    else:
        for video in done.videos:
            write(_video_line(video))
    report_failures(done.failures, setup=setup)
    if done.reused:
        say(f"{done.reused:,} of {len(done.videos):,} videos were done already", setup=setup)
    finish(setup, failures=len(done.failures))


def seconds(text: str) -> float:
    """A length of time as a person writes it: 0.5s, 0.5, 500ms, 2min. UsageError for anything else."""
    from imkin.errors import UsageError

    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"--every is a time such as 0.5s, 500ms or 2min, not {text}")
    return float(found[1]) * _UNITS[found[2]]


def _video_line(video: VideoFrames) -> str:
    page = os.path.join(video.folder, "timeline.html")
    return f"{video.video}: {len(video.frames):,} of {video.looked_at:,} frames kept: {page}\n"


def group_videos(
    paths: list[str],
    *,
    threshold: float | None,
    out: str | None,
    no_report: bool,
    as_json: bool,
    fail_if_found: bool,
    setup: Setup,
) -> None:
    """What `imkin group --videos` does."""
    from imkin.report import folder as report_folder
    from imkin.report.footage import write_video_report
    from imkin.sources.video_moments import picture_at
    from imkin.videos import THRESHOLD
    from imkin.videos import group_videos as find

    now = datetime.now().astimezone()
    limit = THRESHOLD if threshold is None else threshold
    with ExitStack() as stack:
        stack.enter_context(logged(setup))
        with_report = out is not None or not (as_json or no_report)
        target = stack.enter_context(report_folder.prepared(out, now=now)) if with_report else None
        progress = stack.enter_context(progress_bar(setup))
        found = find(
            paths,
            threshold=limit,
            wanted=setup.wanted(),
            max_pixels=setup.max_pixels,
            jobs=setup.jobs,
            progress=progress,
        )
        if target is not None:
            write_video_report(
                target,
                found,
                now=now,
                paths=paths,
                load=lambda path, time_s: picture_at(path, time_s, max_pixels=setup.max_pixels),
                progress=progress,
            )
    if as_json:
        write(json.dumps(found.to_dict()) + "\n")
    else:
        for line in video_table(found):
            write(line)
    report_failures(found.failures, setup=setup)
    if target is not None:
        say(f"report: {os.path.join(target, 'report.html')}", setup=setup)
    finish(setup, failures=len(found.failures), found=fail_if_found and bool(found.groups))


def video_table(found: VideoResult) -> Iterator[str]:
    """The groups with what their videos share, and the counts, for a person."""
    for number, group in enumerate(found.groups[:SHOWN_GROUPS], 1):
        yield from _group_lines(number, group)
    if len(found.groups) > SHOWN_GROUPS:
        yield f"… and {len(found.groups) - SHOWN_GROUPS:,} more groups (see the report, or --json)\n"
    if found.groups:
        yield "\n"
    rows = {
        "videos": found.videos,
        "failures": len(found.failures),
        "too short or blank": len(found.low_quality),
        "pairs": sum(len(group.pairs) for group in found.groups),
        "groups": len(found.groups),
    }
    for name, value in rows.items():
        yield f"{name:<19}{value:>10,}\n"


def _group_lines(number: int, group: VideoGroup) -> Iterator[str]:
    from imkin.report.footage import from_side_of, link_of, told

    width = max(len(member.path) for member in group.members)
    yield f"group {number}: {len(group.members):,} videos\n"
    for member in group.members:
        pair = link_of(member, group)
        mark = "keep" if pair is None else "chain" if group.keeper not in (pair.a, pair.b) else f"{pair.similarity:.3f}"
        yield f"  {mark:>6}  {member.path:<{width}}  {_facts(member)}\n"
        if pair is not None:
            other, stretches = from_side_of(member.path, pair)
            yield from (f"          {told(stretch, other)}\n" for stretch in stretches)


def _facts(member: VideoMember) -> str:
    from imkin.report.html import byte_size
    from imkin.report.timeline import time_code

    size = f"{member.width}x{member.height}"
    return f"{size:>11}  {time_code(member.length_s)[:-2]}  {byte_size(member.bytes):>8}"
