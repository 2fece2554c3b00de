"""Uploads: limited before they are read, and kept in memory only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from retinagrade.images.decoding import InMemory
from retinagrade.service.problems import FieldError, ProblemError
from retinagrade.service.settings import PHOTOGRAPHS, SECONDS, ServiceSettings

FIELD = "photographs"
"""The only field of the form; it may be repeated."""


class _InMemoryParser(MultiPartParser):
    spool_max_size = 0  # for tempfile, this means "never on disk"


def declared_size(request: Request, settings: ServiceSettings) -> int:
    """Returns the size that a request declares; without a declaration, the largest size that it may have.

    Raises:
        ProblemError: The request is too large (413).
    """
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdigit() else settings.max_bytes
    if size > settings.max_bytes:
        raise _too_large(settings)
    return size


async def read_photographs(request: Request, settings: ServiceSettings) -> list[InMemory]:
    """Reads a multipart form of photographs.

    Raises:
        ProblemError: The form is invalid (400, 415, 422), too large (413) or too slow (408).
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ProblemError(415, f"send multipart/form-data with photographs in the field '{FIELD}'")
    try:
        async with asyncio.timeout(SECONDS), aclosing(_bounded(request, settings)) as stream:
            # The parser's limits are one above ours, so that our own errors come first.
            form = await _InMemoryParser(request.headers, stream, max_files=PHOTOGRAPHS + 1, max_fields=1).parse()
    except MultiPartException as error:
        raise ProblemError(400, f"the form can't be read: {error.message}") from None
    except TimeoutError:
        raise ProblemError(408, f"the upload was incomplete after {SECONDS:g} s") from None
    photographs, errors = [], []
    for index, (field, value) in enumerate(form.multi_items()):
        if field != FIELD:
            errors.append(FieldError(field=field, detail=f"unknown field: send photographs in '{FIELD}'"))
        elif not isinstance(value, UploadFile):
            errors.append(FieldError(field=f"{FIELD}[{index}]", detail="is not a file: add a file name"))
        else:
            photographs.append(InMemory(value.filename or f"photograph {index}", await value.read()))
            await value.close()
    if not errors and not photographs:
        errors.append(FieldError(field=FIELD, detail="is missing: send at least one photograph"))
    if len(photographs) > PHOTOGRAPHS:
        errors.append(FieldError(field=FIELD, detail=f"more than {PHOTOGRAPHS} photographs: send several requests"))
    if errors:
        raise ProblemError(422, "the form is invalid", errors)
    return photographs


async def _bounded(request: Request, settings: ServiceSettings) -> AsyncGenerator[bytes, None]:
    left = settings.max_bytes
    async for chunk in request.stream():
        left -= len(chunk)
        if left < 0:
            raise _too_large(settings)
        yield chunk


def _too_large(settings: ServiceSettings) -> ProblemError:
    limit = f"{settings.max_megabytes:g} MB"
    return ProblemError(413, f"the request is larger than {limit}: send fewer or smaller photographs")
