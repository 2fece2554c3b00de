"""The application: routes, and who may call them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from retinagrade import __version__
from retinagrade.errors import ImageError
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.results import model_name
from retinagrade.grader.runtime import Grader
from retinagrade.service import problems
from retinagrade.service.draining import DrainMiddleware
from retinagrade.service.limits import CapacityError, RequestLimits
from retinagrade.service.logs import log_event
from retinagrade.service.metrics import ServiceMetrics
from retinagrade.service.middleware import RequestMiddleware
from retinagrade.service.pipeline import Pipeline, TooManyPixelsError
from retinagrade.service.problems import FieldError, ProblemError, problem_responses
from retinagrade.service.schemas import NOTICE, GradeResponse, PhotographResult, example_response, make_response
from retinagrade.service.settings import PHOTOGRAPHS, ServiceSettings
from retinagrade.service.uploads import FIELD, declared_size, read_photographs

_PAGE = files("retinagrade.service") / "page"
_BEARER = HTTPBearer(auto_error=False)
_FORM = {
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
                        "maxItems": PHOTOGRAPHS,
                        "items": {"type": "string", "format": "binary"},
                        "description": "JPEG, PNG, TIFF, WebP, BMP or DICOM, just as the camera gave them",
                    }
                },
            },
            "example": {FIELD: ["the bytes of right.jpg", "the bytes of left.dcm"]},
        }
    },
}


def create_app(grader: Grader, settings: ServiceSettings) -> FastAPI:
    """The service of one grader file.

    Args:
        grader: The file, opened.
        settings: What it may take.
    """
    admission = RequestLimits(settings.queue, settings.max_held_bytes)
    metrics = ServiceMetrics(model_name(grader.metadata), lambda: admission.requests, lambda: admission.bytes)
    pipeline: Pipeline

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal pipeline
        pipeline = Pipeline(grader, settings.max_megapixels, metrics)
        pipeline.start()
        yield
        await pipeline.stop()
        log_event("stopped")

    app = FastAPI(
        title="retinagrade",
        version=__version__,
        description=f"Grades of diabetic retinopathy from photographs of the fundus. {NOTICE}",
        lifespan=lifespan,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    guarded: dict[str, Any] = {} if settings.token is None else {"dependencies": [Depends(_guard(settings.token))]}
    refusals = () if settings.token is None else (401,)
    problems.add_problem_handlers(app)
    app.add_middleware(DrainMiddleware, max_bytes=settings.max_bytes)
    app.add_middleware(RequestMiddleware, metrics=metrics)

    @app.post(
        "/v1/grade",
        response_model=GradeResponse,
        responses=problem_responses(400, *refusals, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": _FORM},
        **guarded,
    )
    async def grade(
        request: Request,
        pictures: Annotated[
            bool, Query(description="Add the photograph as the network saw it, and its heatmap.")
        ] = False,
    ) -> GradeResponse:
        """Grade one or many photographs.

        A photograph that can't be used costs an entry with an `error`; where none can be used, the answer is 422, or
        413 where all are too large. One that is not good enough to be graded has no grade, but "a person should look".
        """
        try:
            with admission.admit(declared_size(request, settings)):
                photographs = await read_photographs(request, settings)
                results = await pipeline.grade(photographs, pictures)
        except CapacityError:
            raise _full() from None
        request.state.fields = {"photographs": len(photographs)}
        errors = [result for result in results if isinstance(result, ImageError)]
        if len(errors) == len(results):
            too_large = all(isinstance(error, TooManyPixelsError) for error in errors)
            named = [FieldError(field=f"{FIELD}[{place}]", detail=str(error)) for place, error in enumerate(errors)]
            raise ProblemError(413 if too_large else 422, "no photograph can be used", named)
        return make_response(
            [
                result if isinstance(result, PhotographResult) else pipeline.refused(file, result)
                for file, result in zip(photographs, results, strict=True)
            ]
        )

    @app.get(
        "/v1/model",
        responses=problem_responses(*refusals),
        **guarded,
    )
    async def model() -> Metadata:
        """All that the grader file says of itself: operating points, data, figures, limits."""
        return grader.metadata

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses=problem_responses(503))
    async def readyz() -> dict[str, str]:
        """Whether photographs would be taken now."""
        if admission.is_full:
            raise _full()
        return {"status": "ready"}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses(*refusals)},
        **guarded,
    )
    async def prometheus() -> Response:
        """Metrics for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(str(_PAGE / "index.html"))

    app.mount("/page", StaticFiles(directory=str(_PAGE)))
    document = app.openapi()  # kept by the application; examples come here, because FastAPI leaves nulls out of them
    for path, method, shown in (
        ("/v1/grade", "post", example_response(grader.metadata)),
        ("/v1/model", "get", grader.metadata.model_dump(mode="json")),
    ):
        document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"] = shown
    return app


def _full() -> ProblemError:
    return ProblemError(503, "too many requests at once: try again", headers={"Retry-After": "1"})


def _guard(token: str) -> Any:
    async def guard(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise ProblemError(401, "present the service's token", headers={"WWW-Authenticate": "Bearer"})

    return guard
