"""The routes of the service, and the state that they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from retinagrade.errors import ImageError
from retinagrade.grader.make_grading import model_name
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import Grader
from retinagrade.gradings.fhir import MEDIA_TYPE as FHIR
from retinagrade.gradings.fhir import Subject, make_bundle, subject_of
from retinagrade.images.decoding import InMemory
from retinagrade.service.disconnecting import while_connected
from retinagrade.service.limits import CapacityError, RequestLimits
from retinagrade.service.logs import LOGGER
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.pipeline import Pipeline, RefusedPhotograph, TooLargeError
from retinagrade.service.problems import FieldError, ProblemError, problem_responses
from retinagrade.service.reports import READER, READER_SCHEMA, ReaderField, make_report, parse_reader
from retinagrade.service.schemas import GradeResponse, PhotographResult, make_response
from retinagrade.service.settings import PHOTOGRAPHS, ServiceSettings
from retinagrade.service.uploads import FIELD, read_form, read_photographs, require_declared_size

PAGE: Final = files("retinagrade.service") / "page"
"""Folder of the web page."""


def _form(most: int, texts: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the OpenAPI description of a form with so many photographs, and further fields of text."""
    example = ["the bytes of right.jpg", "the bytes of left.dcm"]
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": most,
                            "items": {"type": "string", "format": "binary"},
                            "description": "JPEG, PNG, TIFF, WebP, BMP or DICOM files, straight from the camera",
                        },
                        **(texts or {}),
                    },
                },
                "example": {FIELD: example[:most]},
            }
        },
    }


open_routes = APIRouter()
"""Routes that need no token."""
protected_routes = APIRouter()
"""Routes that need the token, if the service has one."""


@dataclass
class ServiceState:
    """State that the routes of one service share.

    Attributes:
        grader: The grader.
        settings: Limits and token.
        limits: Requests in progress.
        metrics: Metrics of the service.
        pipeline: Pipeline that grades; it exists while the application runs.
        metrics_text: Makes the text of the metrics of all workers.
    """

    grader: Grader
    settings: ServiceSettings
    limits: RequestLimits = field(init=False)
    metrics: ServiceMetrics = field(init=False)
    pipeline: Pipeline = field(init=False)
    metrics_text: Callable[[], bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Creates limits and metrics."""
        settings = self.settings
        self.limits = limits = RequestLimits(settings.max_requests, settings.max_held_bytes)
        self.metrics = ServiceMetrics(model_name(self.grader.metadata), lambda: limits.requests, lambda: limits.bytes)
        self.metrics_text = partial(generate_latest, self.metrics.registry)


def _get_state(request: Request) -> ServiceState:
    state: ServiceState = request.app.state.service
    return state


State = Annotated[ServiceState, Depends(_get_state)]


@protected_routes.post(
    "/v1/grade",
    response_model=GradeResponse,
    responses={
        200: {"content": {FHIR: {"schema": {"type": "object"}}}},
        **problem_responses(400, 408, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": _form(PHOTOGRAPHS)},
)
async def grade_uploads(
    request: Request,
    state: State,
    pictures: Annotated[
        bool,
        Query(
            description="Add the photograph as the network saw it, and outlines of its lesions or a saliency overlay."
        ),
    ] = False,
) -> GradeResponse | Response:
    """Grade one or more photographs.

    The response has one entry per photograph. An unusable photograph has an `error` in its entry; if no photograph is
    usable, the status is 422, or 413 if all are too large. An ungradable photograph has no grade and needs review by a
    person. With the header `Accept: application/fhir+json`, the response is a transaction of FHIR R4: a
    DiagnosticReport for each study, and an Observation for each photograph.
    """
    require_declared_size(request, state.settings)
    try:
        with state.limits.admit(_address(request)) as admitted:
            photographs = await read_photographs(request, state.settings, admitted)
            results = await while_connected(request, state.pipeline.grade(photographs, pictures))
    except CapacityError:
        raise _full() from None
    request.state.fields = {"photographs": len(photographs)}
    response = make_response(_entries(results, request.state.request_id))
    if FHIR in request.headers.get("accept", ""):
        subjects = {each.grading.study: _subject(each) for each in response.photographs if each.grading.study}
        bundle = make_bundle([each.grading for each in response.photographs], subjects)
        return Response(json.dumps(bundle, ensure_ascii=False), media_type=FHIR)
    return response


@protected_routes.post(
    "/v1/picture",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        **problem_responses(400, 408, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": _form(1)},
)
async def convert_upload(request: Request, state: State) -> Response:
    """Convert one photograph to JPEG, upright and at its own resolution, for programs that don't read its format."""
    require_declared_size(request, state.settings)
    try:
        with state.limits.admit(_address(request)) as admitted:
            photographs = await read_photographs(request, state.settings, admitted)
            if len(photographs) > 1:
                raise ProblemError(422, "the form is invalid", [FieldError(field=FIELD, detail="send one photograph")])
            picture = await while_connected(request, state.pipeline.convert(photographs[0]))
    except CapacityError:
        raise _full() from None
    except ImageError as error:
        status = 413 if isinstance(error, TooLargeError) else 422
        raise ProblemError(
            status, "no photograph is usable", [FieldError(field=f"{FIELD}[0]", detail=str(error))]
        ) from None
    return Response(picture, media_type="image/jpeg")


@protected_routes.post(
    "/v1/report",
    response_class=Response,
    responses={
        200: {"content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}}},
        **problem_responses(400, 408, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": _form(PHOTOGRAPHS, READER_SCHEMA)},
)
async def report_uploads(request: Request, state: State) -> Response:
    """Make the DICOM Structured Report of the photographs of one study, with a reader's decisions.

    The service grades the photographs again, so the report can hold no other results than its own.
    """
    require_declared_size(request, state.settings)
    try:
        with state.limits.admit(_address(request)) as admitted:
            form = await read_form(request, state.settings, admitted, texts=[READER])
            reader = parse_reader(form)
            report = await while_connected(request, _report(state, form.photographs, reader))
    except CapacityError:
        raise _full() from None
    return Response(report, media_type="application/dicom")


@protected_routes.get("/v1/model")
async def describe_model(state: State) -> Metadata:
    """Describe the grader file: thresholds, training data, metrics and limitations."""
    return state.grader.metadata


@protected_routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(state: State) -> Response:
    """Return metrics for Prometheus, those of all workers together."""
    return Response(await run_in_threadpool(state.metrics_text), media_type=CONTENT_TYPE_LATEST)


@open_routes.get("/healthz")
async def get_liveness() -> dict[str, str]:
    """Report that the process is alive."""
    return {"status": "alive"}


@open_routes.get("/readyz", responses=problem_responses(503))
async def get_readiness(request: Request, state: State) -> dict[str, str]:
    """Report whether the service accepts requests of this client now."""
    if not state.limits.has_room(_address(request), state.settings.max_bytes):
        raise _full()
    return {"status": "ready"}


@open_routes.get("/", include_in_schema=False)
async def get_page() -> FileResponse:
    """Return the web page."""
    return FileResponse(str(PAGE / "index.html"))


def _subject(entry: PhotographResult) -> Subject:
    """Returns the patient and the study of a photograph, for reports in FHIR."""
    known = subject_of(entry.grading.study or "")
    return replace(known, patient=entry.patient_id or known.patient, date=entry.examined_on)


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


def _entries(results: list[PhotographResult | RefusedPhotograph], request_id: str) -> list[PhotographResult]:
    """Returns one entry per photograph.

    Raises:
        ProblemError: No photograph is usable.
        Exception: No photograph has a result, and the service is to blame.
    """
    refused = [result for result in results if isinstance(result, RefusedPhotograph)]
    failures = [each.failure for each in refused if each.failure is not None]
    if len(refused) == len(results):
        if failures:
            raise failures[0]
        too_large = all(each.is_too_large for each in refused)
        errors = [
            FieldError(field=f"{FIELD}[{index}]", detail=each.entry.grading.error or "")
            for index, each in enumerate(refused)
        ]
        entries = [each.entry.model_dump(mode="json") for each in refused]
        raise ProblemError(413 if too_large else 422, "no photograph is usable", errors, photographs=entries)
    for failure in failures:
        LOGGER.error("failed", exc_info=failure, extra={"fields": {"request_id": request_id}})
    return [result.entry if isinstance(result, RefusedPhotograph) else result for result in results]


def _full() -> ProblemError:
    return ProblemError(503, "too many requests in progress: try again", headers={"Retry-After": "1"})


async def _report(state: ServiceState, files: list[InMemory], reader: ReaderField | None) -> bytes:
    graded = await state.pipeline.grade(files, wants_pictures=False, counted=False)
    gradings = [each.entry.grading if isinstance(each, RefusedPhotograph) else each.grading for each in graded]
    return await state.pipeline.run(lambda: make_report(files, gradings, state.grader.metadata, reader))
