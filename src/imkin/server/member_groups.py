"""Groups of images that a library holds already: nothing is decoded, their fingerprints are compared."""

from __future__ import annotations

import asyncio

import numpy as np
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from imkin import grouping as grouping_
from imkin import join
from imkin.collection import Collection
from imkin.errors import UsageError
from imkin.result import rounded
from imkin.server.problems import Problem
from imkin.server.schemas import LibraryImage, MemberGroup, MemberGroups, MemberPair, MembersAsked
from imkin.server.service import Service
from imkin.server.shelf import member_name
from imkin.types import QUALITY_FLOOR, Prints


async def member_groups(request: Request, service: Service) -> MemberGroups:
    """Group the images of a library that a JSON body names. Raises Problem, RequestValidationError."""
    try:
        asked = MembersAsked.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None
    with service.pool.place():
        collection = await asyncio.to_thread(service.shelf.find, asked.library)
        return await asyncio.to_thread(_grouped, collection, asked, service.settings.roots)


def _grouped(collection: Collection, asked: MembersAsked, roots: tuple[str, ...]) -> MemberGroups:
    try:
        made, members = collection.prints(list(dict.fromkeys(asked.ids)))
    except UsageError as error:
        raise Problem(404, "unknown-image", str(error)) from None
    threshold = collection.spec.default_threshold if asked.threshold is None else asked.threshold
    # Those too blank to be told from others are kin of their own bytes alone, and a library holds those once.
    good = np.flatnonzero(made.quality >= QUALITY_FLOOR)
    same, near = join.near(Prints(made.spec, made.values[good], made.quality[good]), threshold)
    kin = grouping_.find_kin(same, near, None)
    pairs = grouping_.expand(kin)
    shown = [LibraryImage(number=one.number, sha256=one.sha256, name=member_name(one.name, roots)) for one in members]
    groups = []
    for positions in grouping_.group(kin, asked.grouping):
        inside = set(positions.tolist())
        groups.append(
            MemberGroup(
                members=[shown[good[at]] for at in positions.tolist()],
                pairs=[
                    MemberPair(a=shown[good[a]].sha256, b=shown[good[b]].sha256, similarity=rounded(float(s)))
                    for a, b, s in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.similarity, strict=True)
                    if a in inside and b in inside
                ],
            )
        )
    return MemberGroups(
        library=collection.name,
        method=collection.method,
        threshold=threshold,
        grouping=asked.grouping,
        groups=groups,
    )
