"""Pictures for eyes: thumbnails kept by content, larger views made when they are looked at."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable

from imkin import image
from imkin.catalogue import default_path
from imkin.catalogue.database import SERVER_SCHEMES
from imkin.errors import OutputError
from imkin.report.files import write_atomic
from imkin.types import File, Pixels

Load = Callable[[str, int], Pixels | None]

# Pixels on the long side: of a thumbnail, of a picture on a screen, and of one that is looked at closely.
THUMBNAIL, SCREEN, CLOSE = 320, 1600, 4800
SIDES = (THUMBNAIL, SCREEN, CLOSE)

# A screenful of large views at once; going back to one of them decodes nothing.
HELD_BYTES = 96_000_000
# 50,000 thumbnails of 10 KB; when the folder is larger, those not used for longest go.
FOLDER_BYTES = 500_000_000
# Each decodes one picture: more would only take memory.
AT_ONCE = 2


class Pictures:
    """JPEGs of scanned files, upright and sRGB.

    load: see `Library.pixels`. folder: where thumbnails are kept. unchanged: whether a file is what was scanned.
    """

    def __init__(
        self, load: Load, *, folder: str | None = None, unchanged: Callable[[File], bool] | None = None
    ) -> None:
        self._load, self._folder, self._unchanged = load, folder, unchanged or is_unchanged
        self._held: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(AT_ONCE)

    def jpeg(self, file: File, side: int) -> bytes | None:
        """The picture, its long side at most `side` pixels (one of SIDES); None if it cannot be read or has changed."""
        key = (file.sha256, side)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        if (kept := self._kept(file) if side == THUMBNAIL else None) is not None:
            return kept
        if not self._unchanged(file):
            return None
        with self._decoding:
            pixels = self._load(file.path, side)
        if pixels is None:
            return None
        made = image.encode_jpeg(image.thumbnail(pixels, side=side), quality=80 if side == THUMBNAIL else 90)
        if side == THUMBNAIL:
            self._keep(file, made)
        self._hold(key, made)
        return made

    def _hold(self, key: tuple[str, int], made: bytes) -> None:
        with self._lock:
            self._held[key] = made
            while sum(map(len, self._held.values())) > HELD_BYTES and len(self._held) > 1:
                self._held.popitem(last=False)

    def _path(self, file: File) -> str:
        name = f"{file.sha256}-{image.VERSION}.jpg"
        return os.path.join(self._folder or "", file.sha256[:2], name)

    def _kept(self, file: File) -> bytes | None:
        if self._folder is None:
            return None
        try:
            with open(self._path(file), "rb") as opened:
                return opened.read()
        except OSError:
            return None

    def _keep(self, file: File, made: bytes) -> None:
        if self._folder is None:
            return
        path = self._path(file)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_atomic(path, [made], sync=False)
        except (OSError, OutputError):
            # A thumbnail that cannot be kept is made again.
            return


def thumbnails_of(catalogue: str | None) -> str | None:
    """The folder of the thumbnails that go with a catalogue, trimmed; None where nothing is remembered.

    It lies beside the catalogue; beside the default one where the catalogue is on a server.
    """
    if catalogue is None:
        return None
    beside = default_path() if catalogue.startswith(SERVER_SCHEMES) else os.path.abspath(catalogue)
    folder = os.path.join(os.path.dirname(beside), "thumbnails")
    trim(folder)
    return folder


def trim(folder: str, *, most: int = FOLDER_BYTES) -> int:
    """Remove the oldest thumbnails until a folder of them holds `most` bytes; returns how many went."""
    found: list[tuple[int, int, str]] = []
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.stat(os.path.join(at, name))
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_size, os.path.join(at, name)))
    total, gone = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total <= most:
            break
        try:
            os.unlink(path)
        except OSError:
            continue
        total, gone = total - size, gone + 1
    return gone


def is_unchanged(file: File) -> bool:
    """Whether a file still is what was scanned; what is no file of its own is taken for unchanged."""
    if file.source != "file":
        return True
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
