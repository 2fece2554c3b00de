"""Errors that a user can act on: each message names the file, the problem and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


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
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: "
        f"{'unknown key' if problem['type'] == 'extra_forbidden' else problem['msg']}"
        for problem in error.errors()
    )
