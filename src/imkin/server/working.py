"""What a worker process does. It sees spooled files and nothing of the service; each task answers with plain data."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from imkin import image
from imkin.comparison import compare as compare_images
from imkin.errors import ImkinError
from imkin.grouping import group as group_kin
from imkin.grouping import grouping_of
from imkin.library import Library
from imkin.policy import parse_rules
from imkin.result import rounded
from imkin.scan import Scan
from imkin.server.limit import limit_memory

READY = b"ready"
# Of uploads there is no age to go by.
RULES = "resolution,bytes,first"


def main(pipe: Connection, memory: int) -> None:
    """Answer one task after the other until the pipe is closed. memory: bytes of address space it may take."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(memory)
    pipe.send_bytes(READY)
    while True:
        try:
            asked = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            pictures = Pictures(**asked["pictures"])
            answer: dict[str, Any] = {"answer": TASKS[asked["task"]](pictures, **asked["values"])}
        except ImkinError as error:
            answer = {"refused": str(error)}
        except MemoryError:
            # Whatever it holds on to now, a fresh process does not.
            return
        pipe.send_bytes(json.dumps(answer).encode())


@dataclass(frozen=True, slots=True)
class Pictures:
    """The files of a request and how they are compared. skip: places of those to be left out. pixels: of each."""

    paths: list[str]
    by: str
    turns: bool
    pixels: int
    skip: list[int]

    def library(self) -> Library:
        """A library that remembers nothing, for one task."""
        return Library(None, jobs=1, limits=image.Limits(self.pixels))

    def scan(self, library: Library) -> Scan:
        """The fingerprints of those that are not skipped."""
        left_out = set(self.skip)
        chosen = [path for at, path in enumerate(self.paths) if at not in left_out]
        return library.fingerprint(chosen, self.by, turns=self.turns)

    def failures(self, scanned: Scan) -> list[dict[str, Any]]:
        """Those that cannot be read, by their place."""
        place = {path: at for at, path in enumerate(self.paths)}
        return [{"id": place[each.path], "stage": each.stage, "reason": each.reason} for each in scanned.failures]


def probe(pictures: Pictures) -> dict[str, Any]:
    """Whether files can be fingerprinted at all: a worker may die of one."""
    with pictures.library() as library:
        return {"failures": pictures.failures(pictures.scan(library))}


def lists(pictures: Pictures, threshold: float) -> dict[str, Any]:
    """Sha1 of pictures, grouped transitively by a least similarity, in their order; single ones by themselves."""
    with pictures.library() as library:
        scanned = pictures.scan(library)
        found = group_kin(library.kin(scanned, threshold, connect_only=True), "transitive")
    inside = {int(at): number for number, members in enumerate(found) for at in members}
    told: dict[int, list[str]] = {}
    for at, file in enumerate(scanned.files):
        told.setdefault(inside.get(at, len(found) + at), []).append(file.sha1)
    return {"lists": list(told.values()), "failures": pictures.failures(scanned)}


def group(pictures: Pictures, threshold: float, grouping: str) -> dict[str, Any]:
    """Groups of pictures, as `imkin.group` finds them, by their places from 0."""
    how = grouping_of(grouping)
    with pictures.library() as library:
        scanned = pictures.scan(library)
        kin = library.kin(scanned, threshold, connect_only=how == "transitive")
        found = library.group(scanned, kin, threshold=threshold, grouping=how, rules=parse_rules(RULES))
    place = {path: at for at, path in enumerate(pictures.paths)}
    whole: dict[str, Any] = found.to_dict()
    for each in whole["groups"]:
        each["keeper"] = place[each["keeper"]]
        for member in each["members"]:
            member["id"] = place[member.pop("path")]
        for pair in each["pairs"]:
            pair["a"], pair["b"] = place[pair["a"]], place[pair["b"]]
    whole["low_quality"] = [place[path] for path in found.low_quality]
    return whole | {"failures": pictures.failures(scanned)}


def prints(pictures: Pictures) -> dict[str, Any]:
    """Fingerprints of pictures, each with its place, the sha256 of its bytes, quality, and value in base64."""
    with pictures.library() as library:
        scanned = pictures.scan(library)
    place = {path: at for at, path in enumerate(pictures.paths)}
    rows = [
        {
            "id": place[file.path],
            "sha256": file.sha256,
            "quality": float(quality),
            "value": base64.b64encode(value.tobytes()).decode(),
        }
        for file, quality, value in zip(scanned.files, scanned.prints.quality, scanned.prints.values, strict=True)
    ]
    return {"rows": rows, "failures": pictures.failures(scanned)}


def compare(pictures: Pictures) -> dict[str, Any]:
    """Two pictures by every method; or which of them cannot be read."""
    with pictures.library() as library:
        failures = pictures.failures(pictures.scan(library))
        if failures or pictures.skip:
            return {"failures": failures}
        found = asdict(compare_images(library, *pictures.paths))
    for at, side in enumerate((found["a"], found["b"])):
        side.pop("path")
        side["id"] = at
    for method in found["methods"]:
        method["similarity"] = rounded(method["similarity"])
    found["ms_ssim"] = None if found["ms_ssim"] is None else rounded(found["ms_ssim"])
    return found | {"failures": []}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "probe": probe,
    "lists": lists,
    "group": group,
    "prints": prints,
    "compare": compare,
}
