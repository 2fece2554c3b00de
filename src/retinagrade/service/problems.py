"""Errors in the format of RFC 9457, ``application/problem+json``, with the fields that caused them."""

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
    """An error in one part of a request.

    Attributes:
        field: The part, such as ``photographs[0]``, counted from 0.
        detail: The error, and how to correct it.
    """

    field: str
    detail: str


class Problem(BaseModel):
    """The body of every error.

    Attributes:
        type: Always ``about:blank``: the status identifies the problem.
        title: Name of the status.
        status: HTTP status.
        detail: The problem, and how to solve it.
        request_id: Id of the request in the log of the service.
        errors: Errors by field, if fields caused the problem.
        photographs: Entries of photographs that are all unusable, as in a response; they say whose eyes they show.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] = []
    photographs: list[dict[str, Any]] = []


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        photographs: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Describes the problem.

        Args:
            status: HTTP status.
            detail: The problem, and how to solve it.
            errors: Errors by field.
            headers: Further headers of the response.
            photographs: Entries of unusable photographs.
        """
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers
        self.photographs = list(photographs)


def problem_response(
    status: int,
    detail: str,
    request_id: str,
    errors: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
    photographs: Sequence[dict[str, Any]] = (),
) -> JSONResponse:
    """Makes the response for a problem."""
    title = HTTPStatus(status).phrase
    body = Problem(
        title=title,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=list(errors),
        photographs=list(photographs),
    )
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Makes an application report every error as a problem."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return problem_response(
            error.status, error.detail, request.state.request_id, error.errors, error.headers, error.photographs
        )

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem_response(
            error.status_code, str(error.detail), request.state.request_id, headers=dict(error.headers or {})
        )

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [FieldError(field=".".join(map(str, each["loc"][1:])), detail=each["msg"]) for each in error.errors()]
        return problem_response(422, "the request is invalid", request.state.request_id, errors)

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI description of the errors of a route."""
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": schema} for status in statuses
    }
