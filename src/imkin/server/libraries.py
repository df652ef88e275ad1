"""Routes over libraries: named sets of images whose fingerprints are kept, to be searched."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from imkin.collection import Collection
from imkin.errors import UsageError
from imkin.result import rounded
from imkin.server.images import UPLOAD_ERRORS, method_of, named, settled, upload_body
from imkin.server.problems import Problem, responses
from imkin.server.related import relations_of
from imkin.server.schemas import (
    AddedOf,
    LibraryAsked,
    LibraryImage,
    LibraryOf,
    Matches,
    MatchOf,
    SearchAsked,
    SearchQuery,
)
from imkin.server.service import OfService
from imkin.server.shelf import member_name, served, unpacked
from imkin.types import QUALITY_FLOOR

router = APIRouter(prefix="/api/v1", tags=["libraries"])

Named = Annotated[str, Path(max_length=100, description="A library's name.")]
Content = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The sha256 of an image's bytes.")]


@router.get("/libraries", summary="All libraries")
def libraries(service: OfService) -> list[LibraryOf]:
    """The libraries of the catalogue, by name."""
    return [_shown(one) for one in service.shelf.all()]


@router.post("/libraries", status_code=201, summary="Make a library", responses=responses(409, 422))
def make(asked: LibraryAsked, service: OfService) -> LibraryOf:
    """An empty library, for fingerprints of one method."""
    return _shown(service.shelf.make(asked.name, method_of(asked.by), turns=asked.turns))


@router.get("/libraries/{library}", summary="One library", responses=responses(404))
def library(library: Named, service: OfService) -> LibraryOf:
    """A library's method, and how many images it holds."""
    return _shown(service.shelf.find(library))


@router.delete("/libraries/{library}", status_code=204, summary="Forget a library", responses=responses(404))
def forget(library: Named, service: OfService) -> Response:
    """Forget a library and its fingerprints."""
    service.shelf.find(library).delete()
    return Response(status_code=204)


@router.get("/libraries/{library}/images", summary="The images of a library", responses=responses(404))
def images(
    library: Named,
    service: OfService,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[LibraryImage]:
    """Images by the order of adding, a page at a time."""
    roots = service.settings.roots
    return [
        LibraryImage(number=one.number, sha256=one.sha256, name=member_name(one.name, roots))
        for one in service.shelf.find(library).members(after=after, limit=limit)
    ]


@router.post(
    "/libraries/{library}/images",
    summary="Add images to a library",
    responses={**UPLOAD_ERRORS, **responses(404, 409)},
    openapi_extra=upload_body("/api/v1/libraries/photos/images"),
)
async def add(library: Named, request: Request, service: OfService) -> AddedOf:
    """Keep the fingerprints of images; the images themselves are not kept. What was answered is not lost."""
    async with service.uploads(request) as uploads:
        collection = await asyncio.to_thread(service.shelf.find, library)
        by, turns = served(collection)
        answer = await service.work("prints", uploads, by=by, turns=turns)
        sha256s = [row["sha256"] for row in answer["rows"]]
        names = [uploads.files[row["id"]].name for row in answer["rows"]]
        made = unpacked(answer["rows"], collection.spec)
        done = await asyncio.to_thread(collection.add_prints, made, sha256s, names)
        failures = named(answer["failures"], uploads)
    return AddedOf.model_validate({"added": done.added, "known": done.known, "sha256s": sha256s, "failures": failures})


@router.delete(
    "/libraries/{library}/images/{sha256}",
    status_code=204,
    summary="Remove an image from a library",
    responses=responses(404, 422),
)
def remove(library: Named, sha256: Content, service: OfService) -> Response:
    """Forget the fingerprint of an image. The next search does not find it."""
    try:
        service.shelf.find(library).remove([sha256])
    except UsageError:
        raise Problem(404, "unknown-image", "the library holds no such image") from None
    return Response(status_code=204)


@router.post(
    "/search",
    summary="The images of a library that are most similar to one",
    responses={**UPLOAD_ERRORS, **responses(404, 409)},
    response_model_exclude_none=True,
    openapi_extra=upload_body("/api/v1/search?library=photos&top=5", most=1, library={"type": "string"}),
)
async def search(request: Request, service: OfService, _: Annotated[SearchQuery, Query()]) -> Matches:
    """The `top` most similar, or all of at least a `threshold`, or both; an image of the same bytes is 1."""
    async with service.uploads(request) as uploads:
        asked = settled(SearchAsked, request, uploads.fields)
        if len(uploads.files) != 1:
            raise Problem(422, "wrong-number", f"search takes one image, not {len(uploads.files)}")
        collection = await asyncio.to_thread(service.shelf.find, asked.library)
        by, turns = served(collection)
        answer = await service.work("prints", uploads, by=by, turns=turns)
        if not answer["rows"]:
            raise Problem(422, "unreadable-image", f"the image cannot be read: {answer['failures'][0]['reason']}")
        made = unpacked(answer["rows"], collection.spec)
        ((*found,),) = await asyncio.to_thread(
            collection.search_prints, made, [answer["rows"][0]["sha256"]], top=asked.top, threshold=asked.threshold
        )
        sha256 = answer["rows"][0]["sha256"]
        related = await asyncio.to_thread(relations_of, collection, made, sha256, found)
    roots = service.settings.roots
    return Matches(
        library=collection.name,
        method=collection.method,
        low_quality=bool(made.quality[0] < QUALITY_FLOOR),
        matches=[
            MatchOf(
                sha256=each.sha256,
                name=member_name(each.name, roots),
                similarity=rounded(each.similarity),
                **(relation or {}),
            )
            for each, relation in zip(found, related, strict=True)
        ],
    )


def _shown(collection: Collection) -> LibraryOf:
    return LibraryOf(name=collection.name, method=collection.method, images=len(collection))
