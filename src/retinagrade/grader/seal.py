"""The metadata of a grader file as bytes, and its seal: the digest of all bytes before it, as the last entry.

A file with a single changed bit may still be readable, and would grade otherwise under the same name. The seal shows
damage, not intent: whoever changes a file on purpose can seal it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from retinagrade.errors import GraderFileError

KEY: Final = b"retinagrade.sha256"
_METADATA_PROPS: Final = 14
"""Number of the field in ONNX's ModelProto. Protocol Buffers allow its entries anywhere, so also at the end."""
_BYTES: Final = 2
"""Protocol Buffers' wire type of a field that states its length."""


def sealed(model: bytes) -> bytes:
    """Returns an ONNX file with its seal at the end.

    Args:
        model: The ONNX file, without a seal.
    """
    return model + _seal(model)


def read_sealed(file: Path) -> bytes:
    """Reads a grader file and checks its seal.

    Raises:
        GraderFileError: The file is unreadable or damaged, or has no seal.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise GraderFileError(f"{file}: can't be read ({error.strerror or error}): check its permissions") from error
    if content != sealed(without_seal(content)):
        problem = "is damaged: its content doesn't have its digest" if KEY in content else "has no digest"
        raise GraderFileError(
            f"{file} {problem}, or it is no grader file: copy it again, or make one with `retinagrade export`"
        )
    return content


def without_seal(content: bytes) -> bytes:
    """Returns the ONNX file that was sealed."""
    return content[: -len(_seal(b""))]


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
    name = _field(1, key.encode())
    kept = [model[start:end] for start, end, body in _top_fields(model) if not body.startswith(name)]
    return b"".join([*kept, _field(_METADATA_PROPS, name + _field(2, value.encode()))])


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
            yield start, end, model[position:end] if tag >> 3 == _METADATA_PROPS else b""
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


def _seal(model: bytes) -> bytes:
    digest = hashlib.sha256(model).hexdigest().encode()
    return _field(_METADATA_PROPS, _field(1, KEY) + _field(2, digest))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _write_number(len(content)) + content
