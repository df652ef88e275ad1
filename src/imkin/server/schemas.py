"""What the API takes and gives, as its schema tells. Images are known by id: their place in the request, from 0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Similarity = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
GroupingName = Literal["transitive", "star", "clique"]

A = "a9993e364706816aba3e25717850c26c9cd0d89d"
B = "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Lists(BaseModel):
    """Sha1 of the images, those that are alike in one list, in the order of upload."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lists": [[A, A], [B]]}]})
    lists: list[list[str]]


class Failed(BaseModel):
    """An image that could not be read, and why."""

    id: int
    name: str
    stage: str
    reason: str


class MemberOf(BaseModel):
    """An image of a group. similarity: to the keeper; null if others link the two. removable: a direct pair of it."""

    id: int
    name: str
    sha256: str
    sha1: str
    width: int
    height: int
    bytes: int
    similarity: float | None
    removable: bool


class PairOf(BaseModel):
    """Two images, by id, that are alike. With `auto` also `relation`, what was done to one, and its `evidence`."""

    model_config = ConfigDict(extra="allow")
    a: int
    b: int
    similarity: float


class GroupOf(BaseModel):
    """Images that are kin; `keeper` is the id of the one suggested to be kept, `reason` says why."""

    keeper: int
    reason: str
    members: list[MemberOf]
    pairs: list[PairOf]


class Counts(BaseModel):
    """What was found, in numbers."""

    pairs: int
    groups: int
    unique_images: int
    removable: int
    removable_bytes: int


def _member(at: int, similarity: float) -> dict[str, Any]:
    return {
        "id": at,
        "name": f"{'ab'[at]}.jpg",
        "sha256": SHA256,
        "sha1": (A, B)[at],
        "width": 640,
        "height": 480,
        "bytes": 51234,
        "similarity": similarity,
        "removable": bool(at),
    }


class Groups(BaseModel):
    """Groups of alike images. low_quality: ids of those too blank or small, compared by their bytes alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "method": "phash",
                    "threshold": 0.9062,
                    "grouping": "transitive",
                    "images": 2,
                    "failures": [],
                    "low_quality": [],
                    "groups": [
                        {
                            "keeper": 0,
                            "reason": "largest file",
                            "members": [_member(0, 1.0), _member(1, 0.9844)],
                            "pairs": [{"a": 0, "b": 1, "similarity": 0.9844}],
                        }
                    ],
                    "summary": {
                        "pairs": 1,
                        "groups": 1,
                        "unique_images": 1,
                        "removable": 1,
                        "removable_bytes": 51234,
                    },
                }
            ]
        }
    )
    method: str
    threshold: float
    grouping: str
    images: int
    failures: list[Failed]
    low_quality: list[int]
    groups: list[GroupOf]
    summary: Counts


class SideOf(BaseModel):
    """One of two images."""

    id: int
    name: str
    format: str
    width: int
    height: int
    bytes: int
    sha256: str


class MethodOf(BaseModel):
    """One method's similarity, and the threshold from which it calls two images alike."""

    name: str
    similarity: float
    threshold: float


class Compared(BaseModel):
    """Two images and what each method says. ms_ssim: null where the sizes do not fit."""

    a: SideOf
    b: SideOf
    methods: list[MethodOf]
    ms_ssim: float | None


class Asked(BaseModel):
    """How images are compared. Each value may be in the query or in the form; the query counts more."""

    model_config = ConfigDict(extra="ignore")
    by: str | None = Field(None, max_length=64, description="A method of `GET /api/v1/methods`.", examples=["phash"])
    turns: bool = Field(default=False, description="Also find turned and mirrored copies.")
    threshold: Similarity | None = Field(None, description="Least similarity of a pair; default: the method's own.")
    grouping: GroupingName = Field(
        "transitive", description="Whoever a chain links, all near one, all near each other."
    )


class Graded(BaseModel):
    """How alike images of a list are, by SSIM."""

    model_config = ConfigDict(extra="ignore")
    similarity_grade: Similarity = Field(0.95, description="Least SSIM of two images that are alike.", examples=[0.75])


class MethodAbout(BaseModel):
    """A method to compare by, and from which similarity on it calls two images alike."""

    name: str
    threshold: float
    about: str


LibraryName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f/\\]+$", examples=["photos"])]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=[SHA256])]


class LibraryAsked(BaseModel):
    """A library to be made. by: a method of `GET /api/v1/methods` that keeps fingerprints (not ssim)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "photos", "by": "phash"}]})
    name: LibraryName
    by: str | None = Field(None, max_length=64)
    turns: bool = Field(default=False)


class LibraryOf(BaseModel):
    """A named set of images whose fingerprints are kept."""

    name: str
    method: str
    images: int


class LibraryImage(BaseModel):
    """An image of a library. number: rises in the order of adding; the next page begins `after` the last one's."""

    number: int
    sha256: str
    name: str


class AddedOf(BaseModel):
    """What was added: new contents, those that were known, and those that cannot be read."""

    added: int
    known: int
    sha256s: list[str]
    failures: list[Failed]


class SearchQuery(BaseModel):
    """What is searched. Each value may be in the query or in the form. Without top and threshold: the ten best."""

    model_config = ConfigDict(extra="ignore")
    library: str | None = Field(None, min_length=1, max_length=100, description="A library's name.")
    top: int | None = Field(None, ge=1, le=10_000, description="So many at most.")
    threshold: Similarity | None = Field(None, description="Only those of at least this similarity.")


class SearchAsked(BaseModel):
    """The values of query and form together."""

    model_config = ConfigDict(extra="ignore")
    library: str = Field(min_length=1, max_length=100)
    top: int | None = Field(None, ge=1, le=10_000)
    threshold: Similarity | None = None


class MatchOf(BaseModel):
    """An image of a library, and how similar it is to the one that was sent.

    relation: what was done to one of the two, where the method (`auto`) tells; evidence: what says so, `a` being the
    image that was sent.
    """

    sha256: str
    name: str
    similarity: float
    relation: str | None = None
    evidence: dict[str, Any] | None = None


class Matches(BaseModel):
    """The most similar images, by falling similarity, then by age. low_quality: too blank to be told from others."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "library": "photos",
                    "method": "phash",
                    "low_quality": False,
                    "matches": [{"sha256": SHA256, "name": "a.jpg", "similarity": 0.9844}],
                }
            ]
        }
    )
    library: str
    method: str
    low_quality: bool
    matches: list[MatchOf]


class MembersAsked(BaseModel):
    """Images of a library to be grouped, by sha256. threshold: default the method's own."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"library": "photos", "ids": [SHA256], "threshold": 0.9}]}
    )
    library: LibraryName
    ids: list[Sha256] = Field(min_length=1, max_length=10_000)
    threshold: Similarity | None = None
    grouping: GroupingName = "transitive"


class MemberPair(BaseModel):
    """Two images of a library, by sha256, that are alike."""

    a: str
    b: str
    similarity: float


class MemberGroup(BaseModel):
    """Images of a library that are kin, in the order asked for."""

    members: list[LibraryImage]
    pairs: list[MemberPair]


class MemberGroups(BaseModel):
    """Groups of images of a library."""

    library: str
    method: str
    threshold: float
    grouping: str
    groups: list[MemberGroup]
