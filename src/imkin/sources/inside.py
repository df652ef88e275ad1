"""Where a thing lies inside an archive or a video, as text, so that another process can read it by itself."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from imkin.sources import Item
from imkin.sources.tarred import Streams, TarItem
from imkin.sources.zipped import Entry, ZipItem

if TYPE_CHECKING:
    from imkin.sources.video_moments import Readers

OPEN_AT_ONCE = 8


def locator(item: Item) -> str:
    """The place of an item of an archive or of a video; "" of any other."""
    if isinstance(item, ZipItem):
        return json.dumps(["zip", item.archive, *item.entry])
    if isinstance(item, TarItem):
        return json.dumps(["tar", item.streams.archive, item.at])
    if item.source == "video":
        from imkin.sources.video_moments import FrameItem

        if isinstance(item, FrameItem):
            moment, readers = item.moment, item.readers
            place = ["video", readers.path, moment.number, moment.time_s, moment.pts, readers.max_pixels]
            return json.dumps(place)
    return ""


def read(place: str, size: int) -> bytes:
    """The bytes at a place. OSError where the archive or video is damaged."""
    kind, path, *rest = json.loads(place)
    if kind == "zip":
        return ZipItem("", "", 0, 0, path, Entry(*rest)).read()
    if kind == "tar":
        return _streams(path).read(rest[0], size)
    from imkin.sources.video_frames import Moment
    from imkin.sources.video_moments import FrameItem

    number, time_s, pts, max_pixels = rest
    return FrameItem("", "", 0, 0, Moment(number, time_s, pts), _readers(path, max_pixels)).read()


# Entries are read in their order: whoever goes on where it stands unpacks an archive once.
@lru_cache(maxsize=OPEN_AT_ONCE)
def _streams(path: str) -> Streams:
    return Streams(path)


@lru_cache(maxsize=OPEN_AT_ONCE)
def _readers(path: str, max_pixels: int) -> Readers:
    from imkin.sources.video_moments import Readers

    return Readers(path, max_pixels)
