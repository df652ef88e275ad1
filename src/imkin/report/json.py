"""report.json, and what `--json` prints: one object, written group by group and pair by pair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from imkin.report.files import write_atomic
from imkin.result import Group, Pair, Result, rounded


@dataclass(frozen=True, slots=True)
class Run:
    """How a result came about; every field is a key of report.json.

    timestamp: with its zone. total_images_in_folders: image files found, read or not.
    sample_ratio: the share that was looked at, over 0 and at most 1; 1 if compare_mode is full.
    compare_scope: inter_folder if only images of different roots were compared.
    """

    timestamp: datetime
    folder_list: tuple[str, ...]
    total_images_in_folders: int
    compare_mode: Literal["full", "sample"] = "full"
    sample_ratio: float = 1.0
    compare_scope: Literal["all", "inter_folder"] = "all"

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None:
            raise ValueError("timestamp has no zone")
        if not 0.0 < self.sample_ratio <= 1.0:
            raise ValueError(f"sample_ratio is outside 0..1: {self.sample_ratio}")

    def to_dict(self) -> dict[str, object]:
        """The keys of report.json, the timestamp in ISO 8601 with its offset, to the second."""
        return asdict(self) | {
            "timestamp": self.timestamp.isoformat(timespec="seconds"),
            "folder_list": list(self.folder_list),
        }


def report_object(result: Result, run: Run, *, removable: Sequence[str]) -> dict[str, object]:
    """The object of report.json in memory: the result's keys, the run's, and the flat lists for other programs.

    removable: paths of the files that may go, in the order in which they are listed.
    """
    facts = _counts(result, run, removable=removable)
    return result.to_dict() | facts | {"similar_pairs": list(_similar_pairs(result.groups))}


def write_json(path: str, result: Result, run: Run, *, removable: Sequence[str]) -> None:
    """Write `report_object` to path without building it. Raises OutputError."""
    parts = _counts(result, run, removable=removable) | {"similar_pairs": _similar_pairs(result.groups)}
    write_atomic(path, (chunk.encode("ascii") for chunk in _object(_result_parts(result) | parts)))


def result_json(result: Result) -> Iterator[str]:
    """`Result.to_dict` as JSON text in chunks, ASCII only, a group a line; ends with a line feed."""
    return _object(_result_parts(result))


def json_lines(pairs: Iterable[Pair]) -> Iterator[str]:
    """Each pair as one line of JSON, ASCII only."""
    return (json.dumps(pair.to_dict()) + "\n" for pair in pairs)


def _counts(result: Result, run: Run, *, removable: Sequence[str]) -> dict[str, object]:
    return run.to_dict() | {
        "number_of_similar_pairs": sum(len(group.pairs) for group in result.groups),
        "number_of_unique_groups": len(result.groups),
        "photos_to_remove": list(removable),
    }


def _similar_pairs(groups: Iterable[Group]) -> Iterator[dict[str, object]]:
    pairs = (pair for group in groups for pair in group.pairs)
    for index, pair in enumerate(pairs):
        score = rounded(pair.similarity)
        yield {"index": index, "image1": pair.a, "image2": pair.b, "similarity_score": score}


def _result_parts(result: Result) -> dict[str, object]:
    """The keys of `Result.to_dict` in its order; the long lists are iterators, to be read once."""
    return {
        "schema": result.schema,
        "method": result.method,
        "threshold": result.threshold,
        "grouping": result.grouping,
        "images": result.images,
        "failures": map(asdict, result.failures),
        "low_quality": iter(result.low_quality),
        "groups": map(Group.to_dict, result.groups),
        "summary": asdict(result.summary),
    }


def _object(parts: dict[str, object]) -> Iterator[str]:
    """JSON text of parts; an iterator becomes an array with an element a line."""
    opening = "{"
    for key, value in parts.items():
        yield f"{opening}{json.dumps(key)}: "
        if isinstance(value, Iterator):
            yield from _array(value)
        else:
            yield json.dumps(value)
        opening = ",\n "
    yield "}\n"


def _array(items: Iterator[object]) -> Iterator[str]:
    opening = "[\n  "
    for item in items:
        yield opening + json.dumps(item)
        opening = ",\n  "
    yield "[]" if opening.startswith("[") else "]"
