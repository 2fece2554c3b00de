"""The application: it joins routes, access control, middleware and the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles

from retinagrade import __version__
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.runtime import Grader
from retinagrade.service.draining import DrainMiddleware
from retinagrade.service.logs import log_event
from retinagrade.service.middleware import HeadMiddleware, HostMiddleware, RequestMiddleware
from retinagrade.service.pipeline import Pipeline
from retinagrade.service.problems import ProblemError, add_problem_handlers, problem_responses
from retinagrade.service.routes import PAGE, ServiceState, open_routes, protected_routes
from retinagrade.service.schemas import NOTICE, example_response
from retinagrade.service.settings import ServiceSettings
from retinagrade.service.tokens import contains_token

_BEARER = HTTPBearer(auto_error=False)
_API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False)


def create_app(grader: Grader, settings: ServiceSettings) -> FastAPI:
    """Creates the application that serves one grader file.

    Args:
        grader: The grader.
        settings: Limits, names and token.
    """
    state = ServiceState(grader, settings)
    app = FastAPI(
        title="retinagrade",
        version=__version__,
        description=f"Grades diabetic retinopathy in photographs of the fundus. {NOTICE}",
        lifespan=_lifespan(state),
        docs_url=None,  # both pages would load scripts from another server
        redoc_url=None,
    )
    app.state.service = state
    add_problem_handlers(app)
    # The last one is the outermost.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(HostMiddleware, allowed=settings.allowed_hosts)
    app.add_middleware(DrainMiddleware, settings=settings)
    app.add_middleware(RequestMiddleware, metrics=state.metrics)
    app.include_router(open_routes)
    if settings.token is None:
        app.include_router(protected_routes)
    else:
        guard = Depends(_require_token(settings.token))
        app.include_router(protected_routes, dependencies=[guard], responses=problem_responses(401))
    app.mount("/page", StaticFiles(directory=str(PAGE)))
    _add_examples(app, grader.metadata)
    return app


def _lifespan(state: ServiceState) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Returns a context that runs the pipeline while the application runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.pipeline = Pipeline(state.grader, state.settings, state.metrics)
        state.pipeline.start()
        yield
        await state.pipeline.stop()
        log_event("stopped")

    return lifespan


def _require_token(token: str) -> Callable[..., Awaitable[None]]:
    """Returns a dependency that refuses requests without the token.

    The token comes in ``X-API-Key``, where a proxy needs ``Authorization`` for itself, or as a bearer token.
    """

    async def require(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
        key: Annotated[str | None, Depends(_API_KEY)],
    ) -> None:
        sent = [*([] if bearer is None else [bearer.credentials]), *([] if key is None else [key])]
        if not contains_token(sent, token):
            detail = "the token is wrong" if sent else "this service needs its token"
            raise ProblemError(
                401, f"{detail}: send it as X-API-Key, or as a bearer token", headers={"WWW-Authenticate": "Bearer"}
            )

    return require


def _add_examples(app: FastAPI, metadata: Metadata) -> None:
    """Adds examples to the OpenAPI document, which the application keeps; FastAPI would leave nulls out of them."""
    document = app.openapi()
    examples = {
        ("/v1/grade", "post"): example_response(metadata),
        ("/v1/model", "get"): metadata.model_dump(mode="json"),
    }
    for (path, method), example in examples.items():
        document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"] = example
