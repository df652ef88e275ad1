"""Near-duplicate videos: frames sampled by time, fingerprinted by PDQ, kin and movement, and matched as sequences.

video ─15 frames a second─► small gray pictures, inside borders ─► fingerprints ─join─► votes ─► shared stretches
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.errors import StoppedError, UsageError
from imkin.join import sequences
from imkin.join.frames import METHODS, FrameMethod, Prints
from imkin.join.sequences import SLOT_S, Indices
from imkin.result import Stretch, VideoGroup, VideoMember, VideoPair, VideoResult
from imkin.sources import Filter, video
from imkin.sources.video_samples import chunks
from imkin.types import Failure

SCHEMA = 1
# Copies of real videos that are found at all have 0.75 and more (benchmarks/videos.py).
THRESHOLD = 0.6
# Videos that share less than half of the shorter one have something in common, and are two videos.
LEAST_SHARE = 0.5
# Frames of a vote that are too few to try a line.
LEAST_VOTES = 4
READ_BYTES = 1 << 20

Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]


@dataclass(slots=True)
class _Video:
    """What is remembered of a video: 64 bytes a sample for PDQ, 256 for kin, 144 for movement.

    times: of each method's samples.
    """

    facts: video.Facts
    width: int = 0
    height: int = 0
    length_s: float = 0.0
    times: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    prints: dict[str, Prints] = field(default_factory=dict)

    def member(self) -> VideoMember:
        facts = self.facts
        return VideoMember(
            facts.path, facts.size, self.width, self.height, round(self.length_s, 3), round(facts.rate, 3)
        )

    def comparable(self) -> bool:
        """Whether enough of its moments can be told to be evidence of anything."""
        return any(
            len(np.unique(np.floor(self.times[name][usable] / SLOT_S))) >= sequences.LEAST_EVIDENCE
            for name, (_, usable) in self.prints.items()
        )


def group_videos(
    paths: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    wanted: Filter = Filter(),
    max_pixels: int = image.Limits().max_pixels,
    jobs: int | None = None,
    methods: Sequence[FrameMethod] = METHODS,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> VideoResult:
    """Find groups of near-duplicate videos among files and in folders, and the stretches that they share.

    threshold: the least similarity of a shared stretch, 0..1. jobs: threads of the decoder.
    Raises UsageError for what cannot be, MissingPathError for a path that is not there.
    """
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"a threshold is a similarity in 0..1, not {threshold}")
    found = list(video.walk(paths, wanted))
    if not found:
        raise UsageError(f"no videos in {', '.join(paths) or 'no paths'}")
    videos: list[_Video] = []
    failures: list[Failure] = []
    for done, path in enumerate(found):
        if progress:
            progress("watching", done, len(found))
        if stop and stop():
            raise StoppedError("stopped; nothing was written")
        read = _read(path, methods, max_pixels, jobs, failures)
        if read is not None:
            videos.append(read)
    pairs = _equal_files(videos)
    for one in _alike(videos, methods, threshold, set(pairs), progress):
        pairs[one[0]] = one[1]
    return VideoResult(
        SCHEMA,
        "+".join(method.name for method in methods),
        threshold,
        len(videos),
        tuple(failures),
        tuple(each.facts.path for each in videos if not each.comparable()),
        tuple(_groups(videos, pairs)),
    )


def _read(
    path: str, methods: Sequence[FrameMethod], max_pixels: int, jobs: int | None, failures: list[Failure]
) -> _Video | None:
    facts = video.facts(path, max_pixels=max_pixels)
    if isinstance(facts, Failure):
        failures.append(facts)
        return None
    made = _Video(facts)
    times: dict[str, list[NDArray[np.float64]]] = {method.name: [] for method in methods}
    rows: dict[str, list[Prints]] = {method.name: [] for method in methods}
    for chunk in chunks(path, max_pixels=max_pixels, threads=jobs):
        if isinstance(chunk, Failure):
            failures.append(chunk)
            continue
        made.width, made.height = chunk.width, chunk.height
        made.length_s = float(chunk.times[-1])
        for method in methods:
            times[method.name].append(chunk.times[:: method.every])
            rows[method.name].append(method.prints(chunk.pictures[:: method.every], chunk.box))
    if not made.width:
        return None
    made.times = {name: np.concatenate(parts) for name, parts in times.items()}
    made.prints = {
        name: (np.concatenate([codes for codes, _ in parts]), np.concatenate([usable for _, usable in parts]))
        for name, parts in rows.items()
    }
    return made


Key = tuple[int, int]


def _equal_files(videos: Sequence[_Video]) -> dict[Key, VideoPair]:
    """Pairs of equal files, which need no frames that can be told."""
    same: dict[tuple[int, str], list[int]] = {}
    sizes = [each.facts.size for each in videos]
    for at, each in enumerate(videos):
        if sizes.count(each.facts.size) > 1:
            same.setdefault((each.facts.size, _sha256(each.facts.path)), []).append(at)
    pairs = {}
    for group in same.values():
        for a, b in combinations(group, 2):
            end = round(videos[a].length_s, 3)
            whole = Stretch(0.0, end, 0.0, end, 1.0, 1.0)
            pairs[a, b] = VideoPair(videos[a].facts.path, videos[b].facts.path, 1.0, 1.0, (whole,))
    return pairs


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    except OSError:
        return f"unreadable {path}"
    return digest.hexdigest()


def _alike(
    videos: Sequence[_Video],
    methods: Sequence[FrameMethod],
    threshold: float,
    known: set[Key],
    progress: Progress | None,
) -> Iterator[tuple[Key, VideoPair]]:
    """The pairs that a method finds at one of its levels, the loosest that does; each once."""
    rounds = [(method, level) for method in methods for level in range(method.levels)]
    for done, (method, level) in enumerate(rounds):
        if progress:
            progress("matching", done, len(rounds))
        for a, b, i, j in method.votes([each.prints[method.name] for each in videos], level):
            if (a, b) in known or len(i) < LEAST_VOTES:
                continue
            pair = _pair(videos[a], videos[b], (i, j), method, level, threshold)
            if pair is not None:
                known.add((a, b))
                yield (a, b), pair


def _pair(
    a: _Video, b: _Video, votes: tuple[Indices, Indices], method: FrameMethod, level: int, threshold: float
) -> VideoPair | None:
    (codes_a, usable_a), (codes_b, usable_b) = a.prints[method.name], b.prints[method.name]
    shared = sequences.shared(
        sequences.Sequence(a.times[method.name], usable_a),
        sequences.Sequence(b.times[method.name], usable_b),
        votes,
        lambda i, j: method.alike(codes_a[i], codes_b[j], level),
        least=threshold,
    )
    if not shared:
        return None
    lengths = np.array([[each.a_end_s - each.a_start_s, each.b_end_s - each.b_start_s] for each in shared])
    side = 0 if a.length_s <= b.length_s else 1
    share = float(lengths[:, side].sum() / max(min(a.length_s, b.length_s), SLOT_S))
    if share < LEAST_SHARE:
        return None
    similarity = float(np.average([each.similarity for each in shared], weights=lengths[:, side]))
    stretches = tuple(
        Stretch(
            round(each.a_start_s, 2),
            round(each.a_end_s, 2),
            round(each.b_start_s, 2),
            round(each.b_end_s, 2),
            round(each.speed, 4),
            round(each.similarity, 4),
        )
        for each in shared
    )
    return VideoPair(a.facts.path, b.facts.path, round(similarity, 4), round(min(1.0, share), 4), stretches)


def _groups(videos: Sequence[_Video], pairs: dict[Key, VideoPair]) -> Iterator[VideoGroup]:
    """Videos linked by pairs, in the order of their first members."""
    root = list(range(len(videos)))
    for a, b in sorted(pairs):
        low, high = sorted((root[a], root[b]))
        root = [low if each == high else each for each in root]
    for first in range(len(videos)):
        members = [at for at in range(len(videos)) if root[at] == first]
        if len(members) < 2:
            continue
        keeper = min(members, key=lambda at: (*_rank(videos[at]), at))
        longest = max(round(videos[at].length_s) for at in members if at != keeper)
        reason = "longest" if round(videos[keeper].length_s) > longest else "of the longest the most pixels, then bytes"
        yield VideoGroup(
            videos[keeper].facts.path,
            reason,
            tuple(videos[at].member() for at in sorted(members, key=lambda at: (at != keeper, at))),
            tuple(pairs[key] for key in sorted(pairs) if key[0] in members),
        )


def _rank(each: _Video) -> tuple[int, int, int]:
    return -round(each.length_s), -each.width * each.height, -each.facts.size
