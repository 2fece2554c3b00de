"""The seal of a grader file: the digest of all bytes before it, as the last entry of the ONNX file's metadata.

A file with a single changed bit may still be readable, and would grade otherwise under the same name. The seal shows
damage, not intent: whoever changes a file on purpose can seal it again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from retinagrade.errors import GraderFileError
from retinagrade.storage.onnx_properties import METADATA_PROPS, field

KEY: Final = b"retinagrade.sha256"


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


def _seal(model: bytes) -> bytes:
    digest = hashlib.sha256(model).hexdigest().encode()
    return field(METADATA_PROPS, field(1, KEY) + field(2, digest))
