"""What a run found: the object that `imkin.group` returns, `--json` prints and `report.json` holds.

Every class turns into JSON by its own fields, so that the attribute and the key are one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from imkin.types import Failure

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a group. width, height: pixels of the upright picture.

    similarity: to the group's keeper, 0..1; None if the two are linked only through others, or were not compared.
    removable: a direct pair of the keeper, not the keeper itself and not in a reference folder,
    and a file of its own: what lies in an archive, a table or a video is never changed.
    """

    path: str
    sha256: str
    sha1: str
    width: int
    height: int
    bytes: int
    similarity: float | None = None
    removable: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """What was found between images a and b of a pair.

    name: one of identical bytes, identical pixels, look-alike; or what was done, in this order and joined by commas:
    mirrored, turned, cropped, bordered, overlaid, recoloured; and where none of these, resized or re-encoded.
    part: which of the two, "a" or "b", shows a part of the other (or stands in the other's border); None: neither.
    box: where that part lies in the other, shares of width and height: left, top, right, bottom.
    turn: which turn (see `prints.turn`) of b fits a. bits: of 256, of PDQ's terms, at that turn; None over 31.
    fit: correlation of the two laid onto each other; None where the bits alone say it.
    """

    name: str
    part: str | None = None
    box: tuple[float, float, float, float] | None = None
    turn: int = 0
    bits: int | None = None
    fit: float | None = None

    def to_dict(self) -> dict[str, object]:
        """`relation`, its name, and `evidence`, all that was found beside it."""
        found = {"part": self.part, "box": self.box, "turn": self.turn, "bits": self.bits, "fit": self.fit}
        return {"relation": self.name, "evidence": {key: value for key, value in found.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images that are alike. similarity: 0..1, 1 is the same. relation: how, where the method tells (`auto`)."""

    a: str
    b: str
    similarity: float
    relation: Relation | None = None

    def to_dict(self) -> dict[str, object]:
        """The JSON object, the similarity rounded to four decimals."""
        plain: dict[str, object] = {"a": self.a, "b": self.b, "similarity": rounded(self.similarity)}
        return plain | (self.relation.to_dict() if self.relation else {})


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are kin: the keeper (a path) is the first of members, `reason` says why it is suggested.

    pairs: the direct pairs inside the group; of a set of over `COMPACT_ABOVE` images with one and the same
    fingerprint, only those with the first of them (see docs/concepts/pairs.md).
    """

    keeper: str
    reason: str
    members: tuple[Member, ...]
    pairs: Sequence[Pair]

    def to_dict(self) -> dict[str, object]:
        """The JSON object, similarities rounded to four decimals."""
        return {
            "keeper": self.keeper,
            "reason": self.reason,
            "members": [_rounded(member) for member in self.members],
            "pairs": [pair.to_dict() for pair in self.pairs],
        }

    @property
    def relations(self) -> dict[str, str]:
        """Path of a member → its relation to the keeper, in words; of those whose pair tells it."""
        named = [(pair, pair.relation.name) for pair in self.pairs if pair.relation and self.keeper in (pair.a, pair.b)]
        return {pair.b if pair.a == self.keeper else pair.a: name for pair, name in named}


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts. pairs: those listed. unique_images: images less the copies, each group counting as one."""

    pairs: int
    groups: int
    unique_images: int
    removable: int
    removable_bytes: int


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run. images: files that were read; low_quality: those too blank or small to be compared."""

    schema: int
    method: str
    threshold: float
    grouping: str
    images: int
    failures: tuple[Failure, ...]
    low_quality: tuple[str, ...]
    groups: tuple[Group, ...]
    summary: Summary

    @property
    def removable(self) -> list[Member]:
        """The members that may go, in the order of the groups."""
        return [member for group in self.groups for member in group.members if member.removable]

    def to_dict(self) -> dict[str, object]:
        """The JSON object, similarities rounded to four decimals."""
        groups = [group.to_dict() for group in self.groups]
        failures, low = [asdict(failure) for failure in self.failures], list(self.low_quality)
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {
            "failures": failures,
            "low_quality": low,
            "groups": groups,
            "summary": asdict(self.summary),
        }


def _rounded(part: Member) -> dict[str, object]:
    # `asdict` copies every value: 20,000 members took 0.4 s.
    plain = {name: getattr(part, name) for name in _MEMBER}
    plain["similarity"] = None if part.similarity is None else rounded(part.similarity)
    return plain


_MEMBER = tuple(field.name for field in fields(Member))


def rounded(similarity: float) -> float:
    """A similarity with four decimals; only what is the same is 1."""
    return 1.0 if similarity >= 1 else min(0.9999, round(similarity, 4))


@dataclass(frozen=True, slots=True)
class Ranking:
    """One file's kin by falling similarity: (position of a file, similarity in 0..1), itself first with 1."""

    at: int
    kin: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class VideoMember:
    """One video of a group. width, height: as shown. length_s: from its first frame to its last."""

    path: str
    bytes: int
    width: int
    height: int
    length_s: float
    rate: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """What two videos share: from a_start_s to a_end_s in one, b_start_s to b_end_s in the other. speed: b by a."""

    a_start_s: float
    a_end_s: float
    b_start_s: float
    b_end_s: float
    speed: float
    similarity: float


@dataclass(frozen=True, slots=True)
class VideoPair:
    """Two videos with shared stretches. similarity: 0..1, of these. share: what they are of the shorter video."""

    a: str
    b: str
    similarity: float
    share: float
    shared: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class VideoGroup:
    """Videos that are kin, directly or through others; the keeper first, then by path."""

    keeper: str
    reason: str
    members: tuple[VideoMember, ...]
    pairs: tuple[VideoPair, ...]


@dataclass(frozen=True, slots=True)
class VideoResult:
    """A finished run. videos: those read. low_quality: those too short or too blank to be compared by their frames."""

    schema: int
    method: str
    threshold: float
    videos: int
    failures: tuple[Failure, ...]
    low_quality: tuple[str, ...]
    groups: tuple[VideoGroup, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON object."""
        return asdict(self)
