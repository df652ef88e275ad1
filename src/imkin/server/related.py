"""How what a search found is related to what was sent, where the library's method tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imkin.collection import Collection, Match
from imkin.errors import UsageError
from imkin.types import Prints

# Below it nothing is the same picture, and to look for how it would be takes 3 ms each.
LEAST = 0.1
# Of what a library holds the fingerprint is kept and not the size, so that these two are one.
SAME_PICTURE = "resized or re-encoded"


def relations_of(
    collection: Collection, made: Prints, sha256: str, found: Sequence[Match]
) -> list[dict[str, Any] | None]:
    """Of each match, relation and evidence (a: what was sent, b: the match); None where nothing is told."""
    near = [match.sha256 for match in found if match.similarity >= LEAST]
    if collection.spec.kind != "record" or not near:
        return [None] * len(found)
    from imkin.join.relation import relations
    from imkin.prints.auto import unpack

    try:
        kept, _ = collection.prints(near)
    except UsageError:  # one was removed just now
        return [None] * len(found)
    records = unpack(np.concatenate([made.values[:1], kept.values]))
    sent, others = np.zeros(len(near), np.int64), np.arange(1, len(near) + 1)
    told = relations(records, np.zeros((len(records), 2), np.int64), sent, others, [sha256, *near])
    shown: dict[str, dict[str, Any]] = {content: one.to_dict() for content, one in zip(near, told, strict=True)}
    for one in shown.values():
        one["relation"] = SAME_PICTURE if one["relation"] in ("resized", "re-encoded") else one["relation"]
    return [shown.get(match.sha256) for match in found]
