"""Looking at a file again, right before it is changed."""

from __future__ import annotations

import os
import stat

from imkin.actions.disk import digest
from imkin.plan import Seen
from imkin.policy.keep import RAW_SUFFIXES

READ_ONLY = "is read-only; make it writable to have it cleaned"

_SIDECARS = frozenset({".xmp", ".aae", ".json", ".txt", ".xml"})


class Recheck:
    """Compares files with what was seen of them; reads a content once for as long as the file is the same."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int, int, int, int, int], str] = {}

    def changed(self, seen: Seen) -> str:
        """How a file differs from what was seen, or empty. Raises OSError if it cannot be looked at."""
        try:
            status = os.lstat(seen.path)
            if not stat.S_ISREG(status.st_mode):
                return "is no regular file any more"
            if (status.st_size, status.st_mtime_ns) != (seen.size, seen.mtime_ns):
                return "changed since the scan"
            # The time of the last change of any kind, unlike that of the content, cannot be set back.
            key = (seen.path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if key not in self._digests:
                self._digests[key] = digest(seen.path)
        except (FileNotFoundError, NotADirectoryError):
            return "is not there any more"
        return "" if self._digests[key] == seen.sha256 else "changed since the scan, in its content alone"


def is_read_only(status: os.stat_result) -> bool:
    """Whether nobody may write the file: its owner does not want it changed, whatever the folder allows."""
    return not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def content_of(companion: Seen) -> str:
    """What a file of a bundle holds that no other file does: raw, video or image; empty for a sidecar or label."""
    suffix = os.path.splitext(companion.path)[1].lower()
    if suffix in _SIDECARS:
        return ""
    return "raw" if suffix in RAW_SUFFIXES else "video" if suffix == ".mov" else "image"
