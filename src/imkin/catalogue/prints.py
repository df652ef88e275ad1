"""Files seen, contents read, fingerprints made: what lets a second run read no pixels.

Keyed by content: a copied or moved file costs no second fingerprint. A path is only a shortcut to its content,
valid while size and mtime are unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imkin.catalogue.database import Database
from imkin.types import Failure, File

# SQLite binds at most 32,766 values a statement; smaller chunks cost nothing and keep memory flat.
CHUNK = 500
# A file of a longer path is read again in each run: PostgreSQL indexes no key of over 2,704 bytes.
LONGEST_PATH = 2000


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue holds of one content. value is None where only a failure is known."""

    sha256: bytes
    sha1: bytes
    width: int
    height: int
    format: str
    value: bytes | None
    quality: float
    failure: tuple[str, str] | None


class PrintStore:
    """Reads and writes files, contents and prints for one recipe.

    spec: the id of the fingerprint together with that of the decoder. recipe: the same and the decoder's limits:
    a failure is remembered for the limits it came from.
    """

    def __init__(self, database: Database, *, spec: str, recipe: str) -> None:
        self._database = database
        self._spec = spec
        self._recipe = recipe

    def unchanged(self, paths: Sequence[str]) -> dict[str, tuple[int, int, bytes]]:
        """Absolute path → (size, mtime_ns, sha256) as last seen, of those that were seen."""
        found: dict[str, tuple[int, int, bytes]] = {}
        for chunk in _chunks([os.fsencode(path) for path in paths]):
            rows = self._database.execute(
                f"SELECT path, size, mtime_ns, sha256 FROM files WHERE path IN ({_marks(chunk)})",
                chunk,
            )
            found.update((os.fsdecode(path), (size, mtime_ns, sha256)) for path, size, mtime_ns, sha256 in rows)
        return found

    def known(self, sha256s: Iterable[bytes]) -> dict[bytes, Known]:
        """Content → what is known of it under this recipe; contents without print or failure are absent."""
        found: dict[bytes, Known] = {}
        for chunk in _chunks(list(sha256s)):
            marks = _marks(chunk)
            rows = self._database.execute(
                "SELECT c.sha256, c.sha1, c.width, c.height, c.format, p.value, p.quality "
                "FROM contents c JOIN prints p ON p.spec = ? AND p.sha256 = c.sha256 "
                f"WHERE c.sha256 IN ({marks})",
                [self._spec, *chunk],
            )
            for sha256, sha1, width, height, format_, value, quality in rows:
                found[sha256] = Known(sha256, sha1, width, height, format_, value, quality, None)
            rows = self._database.execute(
                f"SELECT sha256, stage, reason FROM failures WHERE recipe = ? AND sha256 IN ({marks})",
                [self._recipe, *chunk],
            )
            for sha256, stage, reason in rows:
                found[sha256] = Known(sha256, b"", 0, 0, "", None, 0.0, (stage, reason))
        return found

    def save(
        self,
        seen: Iterable[tuple[str, int, int, bytes]],
        made: Iterable[tuple[File, bytes, float]],
        failed: Iterable[tuple[bytes, Failure]],
    ) -> None:
        """Write one batch as one commit.

        seen: (absolute path, size, mtime_ns, sha256). made: (file, value, quality). failed: (sha256, failure).
        """
        files = [
            (os.fsencode(path), size, mtime_ns, sha256)
            for path, size, mtime_ns, sha256 in seen
            if len(os.fsencode(path)) <= LONGEST_PATH
        ]
        made = list(made)
        contents = [(bytes.fromhex(f.sha256), bytes.fromhex(f.sha1), f.width, f.height, f.format) for f, _, _ in made]
        prints = [(self._spec, bytes.fromhex(f.sha256), value, quality) for f, value, quality in made]
        failures = [(self._recipe, sha256, failure.stage, failure.reason) for sha256, failure in failed]

        def write() -> None:
            with self._database.transaction():
                put = self._database.put
                put("files", ("path", "size", "mtime_ns", "sha256"), files, key=("path",))
                put("contents", ("sha256", "sha1", "width", "height", "format"), contents, key=("sha256",))
                put("prints", ("spec", "sha256", "value", "quality"), prints, key=("spec", "sha256"))
                put("failures", ("recipe", "sha256", "stage", "reason"), failures, key=("recipe", "sha256"))

        self._database.repeated(write)


def _chunks(items: list[bytes]) -> Iterable[list[bytes]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _marks(chunk: list[bytes]) -> str:
    return ",".join("?" * len(chunk))
