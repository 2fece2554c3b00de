"""Errors as the client sees them: RFC 9457's ``application/problem+json``, which names the field."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with a part of a request.

    Attributes:
        field: Such as ``photographs[0]``, counted from 0.
        detail: What is wrong, and what to do.
    """

    field: str
    detail: str


class Problem(BaseModel):
    """The body of every error.

    Attributes:
        type: Always ``about:blank``: the status says which problem it is.
        title: The status in words.
        status: The status.
        detail: What is wrong, and what to do.
        request_id: By which the service's log knows the request.
        errors: By field, where fields are to blame.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] = []


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
    ) -> None:
        """Args: the ``status``, what is wrong, which fields are to blame, and further ``headers``."""
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers


def problem_response(
    status: int,
    detail: str,
    request_id: str,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as the answer to a request."""
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, request_id=request_id, errors=list(errors))
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Makes every error of an application a problem."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return problem_response(error.status, error.detail, request.state.request_id, error.errors, error.headers)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem_response(
            error.status_code, str(error.detail), request.state.request_id, headers=dict(error.headers or {})
        )

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [FieldError(field=".".join(map(str, one["loc"][1:])), detail=one["msg"]) for one in error.errors()]
        return problem_response(422, "the request can't be understood", request.state.request_id, errors)

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's errors."""
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": schema} for status in statuses
    }
