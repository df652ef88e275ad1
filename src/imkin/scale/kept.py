"""The pairs of a join, kept in files by the tasks that found them: nobody holds all of them.

pairs/<join>/0000.json          a round of the join that is finished: its files, and what is told of it
pairs/<join>/<digest>.parquet   the pairs that one task found

A large join goes in rounds (some tables, some tiles at a time), so that its rows need not be on disk all at once, and a
job that is killed goes on with the rounds that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from imkin.engine import Always, Blocks, Engine, found, read
from imkin.scale.pairing import PAIR, TOLD, Near, PairRows, forest, merged, unique
from imkin.sources import shards
from imkin.sources.place import Folder

# Rows of a partition that lie on disk at once. A round costs one more look at all images.
ROUND_BYTES = 100 << 30

Round = Callable[[], Blocks[Near]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one task found: a file's name ("" where there is none), its pairs, and sizes of hot buckets."""

    name: str
    pairs: int
    hot: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """Writes what a task found, and tells of it. A task that is run again writes the same file."""

    folder: Folder
    prefix: str

    def __call__(self, near: Near) -> Part:
        """See the class."""
        pairs = unique(near.pairs)
        if not len(pairs):
            return Part("", 0, near.hot)
        name = f"{self.prefix}/{hashlib.sha256(pairs.tobytes()).hexdigest()[:24]}.parquet"
        self.folder.write(name, shards.rows_bytes(pairs))
        return Part(name, len(pairs), near.hot)


@dataclass(frozen=True, slots=True)
class Joined:
    """A finished join. kind: of its rows. files: of its tasks; a pair may be in several. pairs: rows in all files."""

    folder: Folder
    kind: np.dtype[np.void]
    files: tuple[str, ...] = ()
    pairs: int = 0
    hot: tuple[int, ...] = ()

    def chunks(self) -> Iterator[PairRows]:
        """The pairs, a file at a time."""
        for name in self.files:
            yield shards.rows_of(self.folder.read(name), self.kind)

    def forest(self, engine: Engine) -> PairRows:
        """What connects all that the pairs connect: a forest a file, merged in a tree."""
        return engine.reduce(read(_Forest(self.folder), self.files), merged)


@dataclass(frozen=True, slots=True)
class _Forest:
    folder: Folder

    def __call__(self, name: str) -> PairRows:
        return forest(shards.rows_of(self.folder.read(name), PAIR))


def keep(engine: Engine, folder: Folder, join: str, rounds: Sequence[Round], *, told: bool) -> Joined:
    """The rounds that are missing, and what all of them found. join: names it; told: its rows tell of relations."""
    prefix = f"pairs/{join}"
    parts: list[Part] = []
    for number, make in enumerate(rounds):
        name = f"{prefix}/{number:04}.json"
        if not folder.has(name):
            done = list(found(engine.run(make().map(Always(Keep(folder, prefix))))))
            told_of = [[part.name, part.pairs, part.hot] for part in done if part.pairs or part.hot]
            folder.write(name, json.dumps(told_of).encode())
        parts += [Part(each[0], each[1], tuple(each[2])) for each in json.loads(folder.read(name))]
    hot = sorted((size for part in parts for size in part.hot), reverse=True)
    files = dict.fromkeys(part.name for part in parts if part.name)
    return Joined(folder, TOLD if told else PAIR, tuple(files), sum(part.pairs for part in parts), tuple(hot))
