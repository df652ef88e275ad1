"""Bundles: the files that belong to an image and go where it goes.

By stem, in any case, in the image's own folder: the camera RAW of a JPEG or HEIC (and the other way round), the
video of a Live Photo (.mov), edits and metadata (.xmp, .aae), labels (YOLO .txt, Pascal VOC .xml, by their content).
By the image's whole name: IMG_1.jpg.xmp, IMG_1.jpg.json. What could belong to two pictures (a.jpg and a.png with
one a.xmp) belongs to neither and stays where it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat

from imkin.plan import Beside, Seen
from imkin.policy.keep import RAW_SUFFIXES

_PHOTOS = frozenset({".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif"})
_PICTURES = frozenset({".avif", ".bmp", ".gif", ".jp2", ".png", ".psd", ".tga", ".tif", ".tiff", ".webp"})
_SIDECARS = frozenset({".xmp", ".aae"})
_AFTER_NAME = (".xmp", ".json", ".supplemental-metadata.json")

# Larger text is no label file: 1 MB holds 20,000 boxes.
LABEL_BYTES = 1 << 20

_YOLO_LINE = re.compile(rb"\s*\d+(\s+[-+.\deE]+){4,}\s*")


class FolderBundles:
    """Bundles as they lie in folders; each folder is listed once, each companion read once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._seen: dict[str, Seen | None] = {}

    def of(self, path: str) -> tuple[Beside, ...]:
        """The files that belong to the image at path, by name. What cannot be listed has none."""
        folder, name = os.path.split(path)
        stems = self._listing(folder)
        stem, suffix = _split(name)
        same_stem = [other for other in stems.get(stem, ()) if other != name]
        found = [Beside(os.path.join(folder, other), kind) for other, kind in _by_stem(suffix, same_stem, folder)]
        longer = {(name + ending).casefold() for ending in _AFTER_NAME}
        named = (other for ending in _AFTER_NAME for other in stems.get(_split(name + ending)[0], ()))
        found += [
            Beside(os.path.join(folder, other), "sidecar")
            for other in named
            if other.casefold() in longer and other not in same_stem
        ]
        return tuple(dict.fromkeys(found))

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """Stem, case folded → names, sorted."""
        if folder not in self._folders:
            stems: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(folder)):
                    stems.setdefault(_split(name)[0], []).append(name)
            except OSError:
                stems = {}
            self._folders[folder] = stems
        return self._folders[folder]

    def seen(self, path: str) -> Seen | None:
        """A file as it is now; None if it is no regular file or cannot be read."""
        if path not in self._seen:
            self._seen[path] = look(path)
        return self._seen[path]


def look(path: str) -> Seen | None:
    """Size, time and checksum of a regular file; None if it is none, cannot be read, or changes meanwhile."""
    try:
        before = os.lstat(path)
        if not stat.S_ISREG(before.st_mode):
            return None
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.lstat(path)
    except OSError:
        return None
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        return None
    return Seen(path, after.st_size, after.st_mtime_ns, sha256)


def _split(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)
    return stem.casefold(), suffix.lower()


def _by_stem(suffix: str, others: list[str], folder: str) -> list[tuple[str, str]]:
    """Name and kind of the files of one stem that belong to an image with this suffix."""
    suffixes = {other: _split(other)[1] for other in others}
    pictures = [other for other in others if suffixes[other] in _PHOTOS | _PICTURES]
    raws = [other for other in others if suffixes[other] in RAW_SUFFIXES]
    is_raw = suffix in RAW_SUFFIXES
    mates = [other for other in pictures if suffixes[other] in _PHOTOS] if is_raw else []
    if is_raw:
        # The RAW of exactly one photo; with other pictures or other RAW files of that stem nobody can tell.
        alone = not raws and len(pictures) == len(mates) <= 1
    else:
        alone = not pictures and (suffix in _PHOTOS or not raws)
    if not alone:
        return []
    found = [(other, "image") for other in mates] + [(other, "raw") for other in raws]
    for other in others:
        kind = "sidecar" if suffixes[other] in _SIDECARS else ""
        if suffixes[other] == ".mov" and (suffix in _PHOTOS or mates):
            kind = "video"
        if suffixes[other] in (".txt", ".xml") and _is_label(os.path.join(folder, other)):
            kind = "label"
        if kind:
            found.append((other, kind))
    return found


def _is_label(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read(LABEL_BYTES + 1)
    except OSError:
        return False
    if len(text) > LABEL_BYTES:
        return False
    if path.lower().endswith(".xml"):
        return b"<annotation" in text
    return all(_YOLO_LINE.fullmatch(line) for line in text.splitlines() if line.strip())
