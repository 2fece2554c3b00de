"""Errors that a user can act on: each message names the file, the problem and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class RetinagradeError(Exception):
    """Base class of the errors that retinagrade raises on purpose; the command line exits with 2."""


class UsageError(RetinagradeError):
    """The request is invalid: it has an unknown name, or options that contradict each other."""


class ManifestError(RetinagradeError):
    """A table of photographs or predictions is malformed; the message names file, line and column."""


class LayoutError(RetinagradeError):
    """A source folder has no known layout, or doesn't match the layout that was named."""


class ImageError(RetinagradeError):
    """A photograph can't be used: corrupt, empty, or without a field of view."""


class JoinError(RetinagradeError):
    """Two tables don't describe the same photographs: ids are missing, superfluous or repeated."""


class ExperimentError(RetinagradeError):
    """An experiment or run can't be used: it has an unknown key, a value out of range, or a folder of another run."""


class CalibrationError(RetinagradeError):
    """A calibration file is unreadable, or has an unknown version."""


class GraderFileError(RetinagradeError):
    """A grader file is unreadable, has an unknown version, or failed its verification."""


def describe_validation_error(error: ValidationError) -> str:
    """Returns the problems that pydantic found in a file: one line for each key, indented except for the first."""
    return "\n  ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {_describe_problem(problem)}"
        for problem in error.errors()
    )


_PROBLEMS: Final = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "bool": "write true or false",
    "int": "write a whole number, as in 3",
    "float": "write a valid number, as in 0.5",
    "string": "write text",
    "dict": "write keys with values",
    "model": "write keys with values",
    "mapping": "write keys with values",
    "list": "write a list",
    "tuple": "write a list",
    "finite": "write a finite number",
    "none": "leave it empty",
}
"""Problems in words, by the beginning of pydantic's type."""


def _describe_problem(problem: ErrorDetails) -> str:
    kind, message = problem["type"], problem["msg"]
    if kind.endswith(("_type", "_parsing", "_from_float", "_number")) or kind in _PROBLEMS:
        known = _PROBLEMS.get(kind) or _PROBLEMS.get(kind.partition("_")[0])
        if known is not None:
            return known
    return message.removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be", 1)
