"""Errors that a user can act on: each message names the file, what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class RetinagradeError(Exception):
    """Base of every error that retinagrade raises on purpose; the command line exits with 2."""


class UsageError(RetinagradeError):
    """The request itself makes no sense: an unknown name, options that contradict each other."""


class ManifestError(RetinagradeError):
    """A table of photographs or predictions is malformed; the message names file, line and column."""


class LayoutError(RetinagradeError):
    """A source folder is not in any known layout, or not wholly in the one that was named."""


class ImageError(RetinagradeError):
    """A photograph can't be used: corrupt, empty, or without a field of view."""


class JoinError(RetinagradeError):
    """Two tables don't describe the same photographs: ids are missing, left over or repeated."""


class ExperimentError(RetinagradeError):
    """An experiment or run can't be used: an unknown key, a value out of range, another run's folder."""


class CalibrationError(RetinagradeError):
    """A file of what was fitted on validation predictions is unreadable, or of a version that is not known."""


class GraderFileError(RetinagradeError):
    """A grader file is unreadable, of a version that is not known, or could not be shown to be right."""


def describe_validation_error(error: ValidationError) -> str:
    """What pydantic found wrong in a file, a line a key, indented but for the first."""
    return "\n  ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}" for problem in error.errors()
    )
