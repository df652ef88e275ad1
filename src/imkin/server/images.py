"""Routes that take images and tell which are alike: the API, and the contract of an earlier tool."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from imkin import prints
from imkin.library import DEFAULT_METHOD, threshold_of
from imkin.server.member_groups import member_groups
from imkin.server.problems import Problem, refusing, responses
from imkin.server.schemas import Asked, Compared, Graded, Groups, Lists, MemberGroups, MembersAsked, MethodAbout
from imkin.server.service import OfService
from imkin.server.uploads import Received

M = TypeVar("M", bound=BaseModel)

UPLOAD_ERRORS = responses(400, 408, 413, 415, 422, 429)

ADDRESS = "http://127.0.0.1:9082"

router = APIRouter()


def upload_body(
    call: str,
    *,
    least: int = 1,
    most: int | None = None,
    other: dict[str, Any] | None = None,
    example: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """What the schema says about a body of images under any names, beside fields of the form. other: kinds of body.

    call: where the example of it is sent to, with its query. example: values of its fields.
    """
    names = ["one.jpg", "two.jpg"][: most or 2]
    sent = "".join(f" -F images=@{name}" for name in names)
    sent += "".join(f" -F {name}={value}" for name, value in (example or {}).items())
    many = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": least}
    if most is not None:
        many["maxItems"] = most
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["images"],
                        "properties": {"images": many, **fields},
                        "additionalProperties": {"type": "string", "format": "binary"},
                    },
                    "encoding": {"images": {"contentType": "image/*"}},
                    "examples": {
                        "curl": {
                            "summary": f"curl{sent} '{ADDRESS}{call}'",
                            "value": {"images": [f"(the bytes of {name})" for name in names], **(example or {})},
                        }
                    },
                },
                **(other or {}),
            },
        }
    }


def settled(model: type[M], request: Request, fields: dict[str, str]) -> M:
    """The values of a request, of its form and, counting more, of its query. Raises RequestValidationError."""
    try:
        return model.model_validate({**fields, **request.query_params})
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None


def named(rows: list[dict[str, Any]], uploads: Received) -> list[dict[str, Any]]:
    """Rows about uploads, by id, with the names that their sender gave them."""
    return [{**row, "name": uploads.files[row["id"]].name} for row in rows]


def method_of(by: str | None) -> str:
    """A method that clients may name: those in the program; a path or a download is none of theirs."""
    name = by or DEFAULT_METHOD
    if name not in prints.names():
        raise Problem(422, "unknown-method", f"unknown method; known: {', '.join(prints.names())}")
    return name


@router.post(
    "/api/imageSimilarityByHash",
    tags=["legacy"],
    summary="Images grouped by SSIM, as lists of sha1",
    responses=UPLOAD_ERRORS,
    openapi_extra=upload_body(
        "/api/imageSimilarityByHash",
        example={"similarity_grade": 0.75},
        similarity_grade={"type": "number", "minimum": 0, "maximum": 1, "default": 0.95},
    ),
)
async def image_similarity_by_hash(request: Request, service: OfService, _: Annotated[Graded, Query()]) -> Lists:
    """Any number of images, under any names of the form: those alike in one list, each by the sha1 of its bytes.

    An image is alike another if their SSIM is at least `similarity_grade`; what a chain of alike images links is one
    list. Lists and their images stand in the order of upload; equal uploads are listed each; what is alike no other
    is a list of its own. What is no image is in no list.
    """
    async with service.uploads(request) as uploads:
        asked = settled(Graded, request, uploads.fields)
        answer = await service.work("lists", uploads, by="ssim", threshold=asked.similarity_grade)
    return Lists(lists=answer["lists"])


@router.post(
    "/api/v1/groups",
    tags=["images"],
    summary="Groups of alike images",
    responses={**UPLOAD_ERRORS, **responses(404)},
    openapi_extra=upload_body(
        "/api/v1/groups?by=phash&threshold=0.9",
        other={"application/json": {"schema": MembersAsked.model_json_schema()}},
    ),
)
async def groups(request: Request, service: OfService, _: Annotated[Asked, Query()]) -> Groups | MemberGroups:
    """Groups of alike images among those sent, with a suggested keeper each. Images that fail are in `failures`.

    Or, where the body is JSON, among images of a library, by their sha256.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        return await member_groups(request, service)
    async with service.uploads(request) as uploads:
        asked = settled(Asked, request, uploads.fields)
        by = method_of(asked.by)
        with refusing():
            threshold = threshold_of(by, turns=asked.turns, threshold=asked.threshold)
        answer = await service.work(
            "group", uploads, by=by, turns=asked.turns, threshold=threshold, grouping=asked.grouping
        )
    found = [{**group, "members": named(group["members"], uploads)} for group in answer["groups"]]
    failures = named(answer["failures"], uploads)
    return Groups.model_validate({**answer, "groups": found, "failures": failures})


@router.post(
    "/api/v1/compare",
    tags=["images"],
    summary="Two images by every method",
    responses=UPLOAD_ERRORS,
    openapi_extra=upload_body("/api/v1/compare", least=2, most=2),
)
async def compare(request: Request, service: OfService) -> Compared:
    """How similar two images are by every method, and what they are."""
    async with service.uploads(request) as uploads:
        if len(uploads.files) != 2:
            raise Problem(422, "wrong-number", f"compare takes two images, not {len(uploads.files)}")
        answer = await service.work("compare", uploads, by="ahash")
    if answer["failures"]:
        first = named(answer["failures"], uploads)[0]
        raise Problem(422, "unreadable-image", f"image {first['id']} ({first['name']}): {first['reason']}")
    a, b = named([answer["a"], answer["b"]], uploads)
    return Compared.model_validate({**answer, "a": a, "b": b})


@router.get("/api/v1/methods", tags=["images"], summary="The methods to compare by")
def methods() -> list[MethodAbout]:
    """The methods that `by` may name."""
    return [
        MethodAbout(name=name, threshold=round(prints.spec(name).default_threshold, 4), about=prints.about(name))
        for name in prints.names()
    ]
