"""Uploads: limited before they are read, and kept in memory only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from email.message import Message
from typing import Final

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from retinagrade.images.decoding import InMemory
from retinagrade.service.limits import AdmittedRequest
from retinagrade.service.pace import Pace
from retinagrade.service.problems import FieldError, ProblemError
from retinagrade.service.settings import PHOTOGRAPHS, ServiceSettings

FIELD = "photographs"
"""The only field of the form; it may be repeated."""


_PART_HEADERS: Final = 16
"""Largest number of headers of a part."""
_PART_HEADER_BYTES: Final = 8192
"""Largest size of a part's header."""


class _InMemoryParser(MultiPartParser):
    """Starlette's parser, which keeps files in memory, limits headers of parts, and reads ``filename*`` (RFC 5987)."""

    spool_max_size = 0  # for tempfile, this means "never on disk"

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        super().on_header_field(data, start, end)
        self._limit_headers()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        super().on_header_value(data, start, end)
        self._limit_headers()

    def on_headers_finished(self) -> None:
        part = self._current_part
        if part.content_disposition is not None:
            part.content_disposition = _with_plain_filename(part.content_disposition)
        super().on_headers_finished()

    def _limit_headers(self) -> None:
        size = len(self._current_partial_header_name) + len(self._current_partial_header_value)
        if size > _PART_HEADER_BYTES or len(self._current_part.item_headers) > _PART_HEADERS:
            raise MultiPartException("a part has too many headers, or too large ones")


def _with_plain_filename(disposition: bytes) -> bytes:
    """Returns a ``Content-Disposition`` whose ``filename*`` is replaced by the plain ``filename``.

    Browsers and curl send the plain form, as RFC 7578 asks. Some other clients send ``filename*`` alone.
    """
    header = Message()
    header["Content-Disposition"] = disposition.decode("latin-1")
    name, field = header.get_filename(), header.get_param("name", header="Content-Disposition")
    if name is None or field is None or b"filename" in parse_options_header(disposition)[1]:
        return disposition
    quoted = [part.replace("\\", "\\\\").replace('"', '\\"') for part in (str(field), name)]
    return b'form-data; name="%s"; filename="%s"' % (quoted[0].encode("latin-1", "replace"), quoted[1].encode())


def require_declared_size(request: Request, settings: ServiceSettings) -> None:
    """Refuses a request that declares more bytes than the service accepts.

    Raises:
        ProblemError: The request is too large (413).
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.max_bytes:
        raise _too_large(settings)


@dataclass(frozen=True)
class Form:
    """A form.

    Attributes:
        photographs: The photographs, in their order.
        texts: The other fields, by name.
    """

    photographs: list[InMemory]
    texts: dict[str, str]


async def read_photographs(request: Request, settings: ServiceSettings, admitted: AdmittedRequest) -> list[InMemory]:
    """Reads a multipart form of photographs; see :func:`read_form`."""
    return (await read_form(request, settings, admitted)).photographs


async def read_form(
    request: Request, settings: ServiceSettings, admitted: AdmittedRequest, texts: Collection[str] = ()
) -> Form:
    """Reads a multipart form of photographs.

    Args:
        request: The request.
        settings: Limits of the service.
        admitted: The request as it is counted.
        texts: Names of fields of text that the form may have beside its photographs.

    Raises:
        CapacityError: The bytes exceed what all requests may hold.
        ProblemError: The form is invalid (400, 415, 422), too large (413) or too slow (408).
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ProblemError(415, f"send multipart/form-data with photographs in the field '{FIELD}'")
    try:
        async with aclosing(_bounded(request, settings, admitted)) as stream:
            # The parser's limits are one above ours, so that our own errors come first.
            parser = _InMemoryParser(request.headers, stream, max_files=PHOTOGRAPHS + 1, max_fields=1 + len(texts))
            form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, f"the form can't be read: {error.message}") from None
    except FormParserError as error:  # Starlette before 1.0 lets it through
        raise ProblemError(400, f"the form can't be read: {error}") from None
    except TimeoutError:
        raise ProblemError(
            408, "the upload was too slow: try again, with fewer photographs in a request", (), {"Connection": "close"}
        ) from None
    photographs: list[InMemory] = []
    errors, found = [], {}
    for index, (field, value) in enumerate(form.multi_items()):
        if field in texts:
            if isinstance(value, UploadFile) or field in found:
                errors.append(FieldError(field=field, detail="is not one text: send it once, without a file name"))
            else:
                found[field] = value
        elif field != FIELD:
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
    return Form(photographs, found)


async def _bounded(
    request: Request, settings: ServiceSettings, admitted: AdmittedRequest
) -> AsyncGenerator[bytes, None]:
    admitted.upload = pace = Pace(settings)
    more = True
    while more:
        message = await pace.receive(request.receive)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        if admitted.size + len(chunk) > settings.max_bytes:
            raise _too_large(settings)
        admitted.hold(len(chunk))
        yield chunk
        more = bool(message.get("more_body", False))
    admitted.upload = None


def _too_large(settings: ServiceSettings) -> ProblemError:
    limit = f"{settings.max_megabytes:g} MB"
    return ProblemError(413, f"the request is larger than {limit}: send fewer or smaller photographs")
