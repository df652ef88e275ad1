"""Keep rules: which of several files stays, and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase

from imkin.errors import UsageError
from imkin.types import File

DEFAULT_RULES = "resolution,quality,bytes,oldest,first"

# Two pictures whose numbers of pixels differ by less are of one size: a rescaled copy and its original differ by
# far more, a crop of a scanner's edge or a rounding of an export by less.
NEAR_TIE_PERCENT = 2

# Blur is on a scale of 0..1 (see `facts`). Re-saving photos as JPEG of quality 30 to 95 moves it by less than 0.05
# in 19 of 20, a Gaussian blur of 1 pixel by 0.10 and more (benchmarks/keep_quality.py).
BLUR_TIE = 0.05

# Of the 0..1 scale of compression: JPEG quality 92 and 95 are told apart by no eye.
COMPRESSION_TIE = 0.05

# Times are compared to the second: archives and many copies keep no more.
SECOND_NS = 10**9

RAW_SUFFIXES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw",
        ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    }
)  # fmt: skip

_FORMATS = {
    "avif": "avif", "bmp": "bmp", "gif": "gif", "heic": "heic", "heif": "heic", "ico": "ico", "jp2": "jp2",
    "jpeg": "jpg", "jpeg2000": "jp2", "jpg": "jpg", "mpo": "jpg", "pbm": "ppm", "pgm": "ppm", "png": "png",
    "ppm": "ppm", "psd": "psd", "raw": "raw", "tga": "tga", "tif": "tiff", "tiff": "tiff", "webp": "webp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the file itself tells. compression: 0..1, 1 is lossless, None unknown. blur: 0..1, None unknown.

    camera: the file says which camera made it.
    """

    compression: float | None = None
    blur: float | None = None
    camera: bool = False


Measure = Callable[[File], Facts]
_Verdict = tuple[list[int], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One keep rule: its name and, after the `=`, its values."""

    name: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}={'+'.join(self.values)}" if self.values else self.name


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Rules from a comma-separated list; the words after `format=` that are formats belong to it.

    A comma always separates, so a GLOB holds none (`?` stands for one). Raises UsageError.
    """
    rules: list[Rule] = []
    for word in (part.strip() for part in text.split(",")):
        name, equals, value = word.partition("=")
        if not equals and rules and rules[-1].name == "format" and name.lower() in _FORMATS:
            rules[-1] = Rule("format", (*rules[-1].values, _FORMATS[name.lower()]))
        else:
            rules.append(_rule(word, name, value))
    return tuple(rules)


def _rule(word: str, name: str, value: str) -> Rule:
    if name not in _RULES:
        near = get_close_matches(name, _RULES, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise UsageError(f"unknown keep rule `{word}`; known: {', '.join(map(_usage, _RULES))}{hint}")
    if bool(value) != (name in _VALUES) or ("=" in word and not value):
        raise UsageError(f"the keep rule `{word}` is written `{_usage(name)}`")
    if name != "format":
        return Rule(name, (value,) if value else ())
    words = value.lower().split("+")
    unknown = [each for each in words if each not in _FORMATS]
    if unknown:
        known = ", ".join(sorted(set(_FORMATS.values())))
        raise UsageError(f"unknown format `{unknown[0]}` in the keep rule `{word}`; known: {known}")
    return Rule(name, tuple(_FORMATS[each] for each in words))


def _usage(name: str) -> str:
    return name + _VALUES.get(name, "")


def choose(files: Sequence[File], rules: Sequence[Rule], *, facts: Measure | None = None) -> tuple[int, str]:
    """Index of the file to keep, and the reason in words. What all rules leave tied is decided by the input order.

    facts: measures a file for the rules `quality` and `exif`, called only for files still tied by then;
    without it these two rules decide nothing. Raises ValueError for no files.
    """
    if not files:
        raise ValueError("no files to choose from")
    left, reasons = list(range(len(files))), []
    for rule in rules:
        if len(left) == 1:
            break
        best, reason = _RULES[rule.name](rule, [files[index] for index in left], facts)
        if len(best) < len(left):
            reasons.append(reason)
            left = [left[index] for index in best]
    return left[0], "; ".join(reasons) or ("the first of equals" if len(files) > 1 else "the only one")


def family(file: File) -> str:
    """Format word of a file: `jpg`, `heic`, `raw`, …; camera RAW is known by its name, whatever its container."""
    if os.path.splitext(file.path)[1].lower() in RAW_SUFFIXES:
        return "raw"
    return _FORMATS.get(file.format.lower(), file.format.lower())


def matches(path: str, glob: str) -> bool:
    """Whether the whole path, its end from any folder on, or a folder above it matches; `*` also crosses `/`."""
    path, glob = path.replace(os.sep, "/"), glob.replace(os.sep, "/").rstrip("/")
    return any(fnmatchcase(path, form) for form in (glob, f"*/{glob}", f"{glob}/*", f"*/{glob}/*"))


def _best(scores: Sequence[float]) -> list[int]:
    highest = max(scores)
    return [index for index, score in enumerate(scores) if score == highest]


def _near_best(scores: Sequence[float], tie: float) -> list[int]:
    enough = max(scores) - tie
    return [index for index, score in enumerate(scores) if score >= enough]


def _others(scores: Sequence[float], best: Iterable[int]) -> int:
    """The highest of those not in best; the first of equals. best is not all."""
    out = set(best)
    return max((index for index in range(len(scores)) if index not in out), key=lambda i: (scores[i], -i), default=0)


def _resolution(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    pixels = [file.width * file.height for file in files]
    enough = max(pixels) * (100 - NEAR_TIE_PERCENT)
    best = [at for at, count in enumerate(pixels) if count * 100 >= enough]
    top, next_ = files[_best(pixels)[0]], files[_others(pixels, best)]
    return best, f"largest: {top.width}x{top.height} (others at most {next_.width}x{next_.height})"


def _bytes(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    sizes = [file.size for file in files]
    best = _best(sizes)
    return best, f"largest file: {max(sizes):,} bytes (others at most {sizes[_others(sizes, best)]:,})"


def _format(rule: Rule, files: Sequence[File], _: Measure | None) -> _Verdict:
    order = {name: -rank for rank, name in reversed(list(enumerate(rule.values)))}
    scores = [order.get(family(file), -len(rule.values)) for file in files]
    best = _best(scores)
    other = family(files[_others(scores, best)])
    return best, f"preferred format: {family(files[best[0]])} (others {other})"


def _quality(_: Rule, files: Sequence[File], facts: Measure | None) -> _Verdict:
    everyone, reasons = list(range(len(files))), []
    if facts is None:
        return everyone, ""
    known = [facts(file) for file in files]
    best = everyone
    blurs = [fact.blur for fact in known]
    if None not in blurs:
        sharpness = [1.0 - (blur or 0.0) for blur in blurs]
        best = _near_best(sharpness, BLUR_TIE)
        if len(best) < len(files):
            least, next_ = 1.0 - max(sharpness), 1.0 - sharpness[_others(sharpness, best)]
            reasons.append(f"sharpest: blur {least:.2f} (others at least {next_:.2f})")
    kept = [known[at].compression for at in best]
    if None not in kept:
        scores = [each or 0.0 for each in kept]
        among = _near_best(scores, COMPRESSION_TIE)
        if len(among) < len(best):
            next_ = scores[_others(scores, among)]
            reasons.append(f"least compressed: {max(scores):.0%} (others at most {next_:.0%})")
        best = [best[at] for at in among]
    return best, "; ".join(reasons)


def _exif(_: Rule, files: Sequence[File], facts: Measure | None) -> _Verdict:
    if facts is None:
        return list(range(len(files))), ""
    return _best([facts(file).camera for file in files]), "has camera data (others have none)"


def _oldest(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    ages = [-(file.mtime_ns // SECOND_NS) for file in files]
    best = _best(ages)
    return best, f"oldest: {_date(files[best[0]])} (others from {_date(files[_others(ages, best)])})"


def _newest(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    ages = [file.mtime_ns // SECOND_NS for file in files]
    best = _best(ages)
    return best, f"newest: {_date(files[best[0]])} (others until {_date(files[_others(ages, best)])})"


def _date(file: File) -> str:
    """UTC, so that a plan reads the same on every machine; a time out of the calendar's range in seconds."""
    try:
        return datetime.fromtimestamp(file.mtime_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{file.mtime_ns // SECOND_NS} s"


def _path(rule: Rule, files: Sequence[File], _: Measure | None) -> _Verdict:
    return _best([matches(file.path, rule.values[0]) for file in files]), f"its path matches {rule.values[0]}"


def _not_path(rule: Rule, files: Sequence[File], _: Measure | None) -> _Verdict:
    hits = [not matches(file.path, rule.values[0]) for file in files]
    return _best(hits), f"its path does not match {rule.values[0]}"


def _shortest_name(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    lengths = [-len(os.path.basename(file.path)) for file in files]
    best = _best(lengths)
    other = -lengths[_others(lengths, best)]
    return best, f"shortest name: {-max(lengths)} characters (others at least {other})"


def _first(_: Rule, files: Sequence[File], __: Measure | None) -> _Verdict:
    return [0], f"the first of {len(files)}"


_RULES: dict[str, Callable[[Rule, Sequence[File], Measure | None], _Verdict]] = {
    "resolution": _resolution,
    "bytes": _bytes,
    "format": _format,
    "quality": _quality,
    "oldest": _oldest,
    "newest": _newest,
    "exif": _exif,
    "path": _path,
    "not-path": _not_path,
    "shortest-name": _shortest_name,
    "first": _first,
}
_VALUES = {"format": "=raw,tiff,png,heic,jpg", "path": "=GLOB", "not-path": "=GLOB"}
