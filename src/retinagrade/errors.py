"""Errors that a user can act on: each message names the file, the problem and a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
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


def describe_validation_error(error: ValidationError, model: type[BaseModel], further: Iterable[str] = ()) -> str:
    """Returns the problems that pydantic found in a file: one line for each key, indented except for the first.

    Args:
        error: The error.
        model: The model of the file, whose keys an unknown key may mean.
        further: Keys that the file may have beside those of the model, at its top.
    """
    keys = {*_keys(model), *((name,) for name in further)}
    return "\n  ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {_describe_problem(problem, keys)}"
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


def _describe_problem(problem: ErrorDetails, keys: set[tuple[str, ...]]) -> str:
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        unknown = [str(part) for part in problem["loc"] if not isinstance(part, int)]
        meant = [] if tuple(unknown) in keys else _meant_keys(unknown, keys)
        return f"{_PROBLEMS[kind]}: did you mean {' or '.join(map(repr, meant))}?" if meant else _PROBLEMS[kind]
    if kind.endswith(("_type", "_parsing", "_from_float", "_number")) or kind in _PROBLEMS:
        known = _PROBLEMS.get(kind) or _PROBLEMS.get(kind.partition("_")[0])
        if known is not None:
            return known
    return message.removeprefix("Value error, ").removeprefix("Input ").replace("should be", "must be", 1)


def _meant_keys(unknown: list[str], keys: set[tuple[str, ...]]) -> list[str]:
    """Returns the keys that an unknown one may mean: of its own section, or otherwise the paths of others."""
    *section, wrong = unknown
    own = {key[-1] for key in keys if key[:-1] == tuple(section)}
    names = _alike(wrong, own)
    others = _alike(wrong, {key[-1] for key in keys}) if not names else []
    return names or sorted(".".join(key) for key in keys if key[-1] in others)


def _alike(wrong: str, names: set[str]) -> list[str]:
    """Returns names with the same words, or the same initials (``lr``), or a similar spelling."""
    plain = wrong.lower().replace("-", "_")
    initials = {name for name in names if "_" in name and "".join(word[0] for word in name.split("_")) == plain}
    return [plain] if plain in names else sorted(initials) or get_close_matches(plain, sorted(names), n=2, cutoff=0.75)


def _keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the path of each key of a model and of the models in it."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        for part in _models(field.annotation):
            yield from _keys(part, (*above, name))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
