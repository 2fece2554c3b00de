"""Metadata properties of an ONNX file as bytes: reading and replacing them needs neither the graph nor its packages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from retinagrade.errors import GraderFileError

METADATA_PROPS: Final = 14
"""Number of the field in ONNX's ModelProto. Protocol Buffers allow its entries anywhere, so also at the end."""
_BYTES: Final = 2
"""Protocol Buffers' wire type of a field that states its length."""


def read_property(model: bytes, key: str) -> str | None:
    """Returns the value of a metadata property, without opening the graph; ``None`` where there is none.

    Args:
        model: The ONNX file.
        key: Key of the property.

    Raises:
        GraderFileError: The bytes are no ONNX file.
    """
    name = field(1, key.encode())
    for _, _, body in _top_fields(model):
        if body.startswith(name):
            _, start = _read_number(body, len(name) + 1)
            return body[start:].decode()
    return None


def with_property(model: bytes, key: str, value: str) -> bytes:
    """Returns an ONNX file, without its seal, with another value of one metadata property.

    All other bytes stay as they are.

    Args:
        model: The ONNX file, without a seal.
        key: Key of the property; others with this key are removed.
        value: Its value.

    Raises:
        GraderFileError: The bytes are no ONNX file.
    """
    name = field(1, key.encode())
    kept = [model[start:end] for start, end, body in _top_fields(model) if not body.startswith(name)]
    return b"".join([*kept, field(METADATA_PROPS, name + field(2, value.encode()))])


def _top_fields(model: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, end and, for an entry of the metadata, the content of each field of a Protocol Buffers message."""
    start = 0
    try:
        while start < len(model):
            tag, position = _read_number(model, start)
            if tag & 7 == _BYTES:
                length, position = _read_number(model, position)
                end = position + length
            elif tag & 7 == 0:
                _, end = _read_number(model, position)
            else:
                raise IndexError
            if end > len(model):
                raise IndexError
            yield start, end, model[position:end] if tag >> 3 == METADATA_PROPS else b""
            start = end
    except IndexError:
        raise GraderFileError("the grader file is no ONNX file that can be read: copy it again") from None


def _read_number(model: bytes, position: int) -> tuple[int, int]:
    """Returns a number of variable length, and the position after it."""
    number = shift = 0
    while True:
        byte = model[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position


def _write_number(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def field(number: int, content: bytes) -> bytes:
    """Encodes a field of Protocol Buffers that states its length.

    Args:
        number: Number of the field, below 16.
        content: Its content.
    """
    return bytes([number << 3 | _BYTES]) + _write_number(len(content)) + content
