"""Errors as problem details (RFC 9457): what a client did wrong and what to do, never how the service is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from imkin.errors import UsageError

MEDIA_TYPE = "application/problem+json"


# One problem of each status, for the schema: (kind, detail).
EXAMPLES = {
    400: ("no-multipart", "the body is no multipart form"),
    404: ("unknown-job", "there is no such job"),
    408: ("too-slow", "the rest of the request did not come in time"),
    409: ("applied", "the plan was applied, or is; scan again for another"),
    413: ("too-large", "the request is over 268,435,456 bytes; send fewer or smaller images"),
    415: ("no-multipart", "send the images as multipart/form-data"),
    422: ("unknown-method", "unknown method; known: exact, ahash, dhash, phash, pdq, vote, ssim, kin, auto"),
    429: ("busy", "too many requests wait; come again later"),
}


class ProblemDetails(BaseModel):
    """An error as RFC 9457 tells it."""

    type: str = Field(description="What kind of problem; `about:blank` where the status says it all.")
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, str]] = Field(default=[], description="What is wrong where in the request.")


class Problem(Exception):  # noqa: N818 - the word of the standard
    """An answer that is an error. kind: a word for programs. detail: one line for a person, without paths."""

    def __init__(self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        return _body(self.status, self.kind, self.detail)


def _body(status: int, kind: str, detail: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"type": f"urn:imkin:{kind}" if kind else "about:blank", "title": title, "status": status, "detail": detail}


@contextmanager
def refusing(kind: str = "wrong-value") -> Iterator[None]:
    """Answer 422 to a value that the core refuses. Only around checks of what the client sent: no path is in them."""
    try:
        yield
    except UsageError as error:
        raise Problem(422, kind, str(error)) from None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says in the schema about its errors."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": ProblemDetails,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                    "example": _body(status, *EXAMPLES[status]),
                }
            },
        }
        for status in statuses
    }


def tell(app: FastAPI) -> None:
    """Let the schema say that every error is a problem, of no other type: FastAPI adds its own."""
    schema = app.openapi()
    for methods in schema["paths"].values():
        for route in methods.values():
            errors = [int(code) for code in route["responses"] if code >= "400"]
            said = {
                str(code): {k: v for k, v in one.items() if k != "model"} for code, one in responses(*errors).items()
            }
            route["responses"].update(said)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def answer(status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A response that is a problem."""
    return JSONResponse(_body(status, kind, detail), status, dict(headers or {}), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class
    return JSONResponse(error.body, error.status, error.headers, MEDIA_TYPE)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    return answer(error.status_code, "", "", headers=error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [{"where": ".".join(map(str, one["loc"])), "what": str(one["msg"])} for one in error.errors()]
    detail = f"{errors[0]['where']}: {errors[0]['what']}" if errors else ""
    return JSONResponse(_body(422, "wrong-value", detail) | {"errors": errors}, 422, None, MEDIA_TYPE)


async def _broken(_: Request, __: Exception) -> JSONResponse:
    # What went wrong is for the log, where the server writes it after this answer.
    return answer(500, "", "the service met an error of its own; its log says which")
