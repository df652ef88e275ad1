"""What the API takes and gives about folders: scans as jobs, plans, runs. Files are known by id, never by a path."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from imkin.server.schemas import GroupingName, Similarity


class RootOf(BaseModel):
    """A folder that may be scanned. Nothing else on the disk can be."""

    id: int
    name: str


class ScanAsked(BaseModel):
    """A scan to be made, and the plan to come of it. Nothing is changed before the plan is applied."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"roots": [0], "action": "trash"}]})
    roots: list[int] = Field([], max_length=64, description="Ids of `GET /api/v1/roots`; none: all.")
    by: str | None = Field(None, max_length=64, description="A method of `GET /api/v1/methods`.")
    turns: bool = Field(default=False, description="Also find turned and mirrored copies.")
    threshold: Similarity | None = Field(None, description="Least similarity of a pair; default: the method's own.")
    grouping: GroupingName = "transitive"
    action: Literal["trash", "delete", "hardlink", "reflink", "symlink"] = Field(
        "trash", description="What the plan does with the files that go."
    )
    keep: str = Field("resolution,quality,bytes,oldest,first", max_length=500, description="Keep rules.")
    keep_per_folder: int = Field(0, ge=0, le=1_000_000, description="Keep the best N of each folder of a group.")
    bundle: bool = Field(default=True, description="Sidecars, labels, RAW and video go with their image.")


class Progress(BaseModel):
    """How far a job is, as the command's bar shows it. total: 0 where it is not known."""

    stage: str
    done: int
    total: int


class JobOf(BaseModel):
    """A job. plan: of a scan that is done. run: of files that were changed, or taken back; error: why it failed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "b2a41f0c9d3e5a67",
                    "kind": "scan",
                    "state": "done",
                    "progress": {"stage": "reading", "done": 500, "total": 500},
                    "plan": "0f6c2d8841aa9b3e",
                    "run": None,
                    "error": "",
                }
            ]
        }
    )
    id: str
    kind: Literal["scan", "apply", "undo"]
    state: Literal["waiting", "running", "done", "stopped", "failed"]
    progress: Progress
    plan: str | None
    run: RunOf | None
    error: str


class RowOf(BaseModel):
    """What became of one file. reason: why, if it was not simply done."""

    name: str
    state: str
    reason: str
    bytes: int


class RunOf(BaseModel):
    """A run that changed files, or was taken back."""

    run: int
    verb: str
    state: str
    bytes_won: int
    rows: list[RowOf]


class NearOf(BaseModel):
    """A file of the group that another is a near pair of. similarity: null if a person marked the two as the same."""

    id: int
    similarity: float | None


class PlanMember(BaseModel):
    """A file of a group. do: keep, leave, or the plan's verb. fixed: why it is never acted on, or empty."""

    id: int
    name: str
    do: str
    why: str
    fixed: str
    bytes: int
    sha256: str
    near: list[NearOf]
    bundle: list[str]


class PlanOf(BaseModel):
    """What would be done with each file. run: the number of the run that did it, or null."""

    id: str
    verb: str
    method: str
    threshold: float
    run: int | None
    actions: int
    bytes_won: int
    groups: list[list[PlanMember]]


class PlanAbout(BaseModel):
    """A plan in short."""

    id: str
    verb: str
    run: int | None
    actions: int
    bytes_won: int


class PlanEdit(BaseModel):
    """The words to change: the id of a file → keep, leave, or the plan's verb."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"do": {"3": "keep"}}]})
    do: dict[int, Literal["keep", "leave", "trash", "delete", "hardlink", "reflink", "symlink"]] = Field(
        max_length=1_000_000
    )


JobOf.model_rebuild()
