"""One check of the arguments of public functions, by their type hints and ranges, before any work begins."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import reprlib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from retinagrade.errors import UsageError


class NumberRange(NamedTuple):
    """The numbers that an argument may have."""

    at_least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    up_to: float = math.inf

    def __contains__(self, value: object) -> bool:
        """Whether a number is in the range."""
        number = cast(float, value)
        return self.at_least <= number <= self.up_to and self.above < number < self.below

    def __str__(self) -> str:
        """Returns the range in words."""
        limits = {
            "of at least": self.at_least,
            "above": self.above,
            "below": self.below,
            "up to": self.up_to,
        }
        return " and ".join(f"{words} {limit:g}" for words, limit in limits.items() if math.isfinite(limit))


_Allowed = NumberRange | Collection[str]
AT_LEAST_ONE: Final = NumberRange(at_least=1)
NOT_NEGATIVE: Final = NumberRange(at_least=0)
SHARE: Final = NumberRange(above=0, below=1)
"""A share of photographs that is neither none nor all."""

Function = TypeVar("Function", bound=Callable[..., Any])


def check_arguments(*, advice: Mapping[str, str] | None = None, **ranges: _Allowed) -> Callable[[Function], Function]:
    """Makes a function refuse arguments that its type hints or its ranges exclude.

    The function gets its arguments unchanged. Sequences are read, iterators are not; types that this module doesn't
    know are accepted. A call with missing, superfluous or unknown arguments raises Python's own ``TypeError``.

    Args:
        advice: For a parameter, the remedy for a mistake that a user would naturally make.
        **ranges: For a parameter, the range of its numbers, or the texts to choose from.

    Returns:
        The decorator. The decorated function raises a ``UsageError`` that names the function, the argument, its value
        and the values that are allowed.

    Example:
        >>> @check_arguments(size=NumberRange(at_least=32))
        ... def prepare(source: str, *, size: int = 512) -> int:
        ...     return size
        >>> prepare("IDRiD", size=0)
        Traceback (most recent call last):
        retinagrade.errors.UsageError: prepare: size=0: write a whole number (int) of at least 32
    """
    hints_of_mistakes = advice or {}

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        if unknown := (ranges.keys() | hints_of_mistakes.keys()) - signature.parameters.keys():
            raise TypeError(f"{function.__qualname__} has no parameter {', '.join(sorted(unknown))}")
        name = function.__qualname__.removesuffix(".__init__")
        type_hints = functools.cache(lambda: typing.get_type_hints(function, include_extras=True))

        @functools.wraps(function)
        def checked(*positional: object, **named: object) -> object:
            bound = None
            with contextlib.suppress(TypeError):  # Python's own error, from the call below, names the function
                bound = signature.bind(*positional, **named)
            for parameter, value in ({} if bound is None else bound.arguments).items():
                hint, allowed = type_hints().get(parameter, Any), ranges.get(parameter)
                if not (_fits(value, hint) and _is_within(value, allowed)):
                    raise UsageError(
                        f"{name}: {parameter}={_shown(value)}: write {_describe(hint, allowed)}"
                        f"{_example(value, hint)}{'; ' * (parameter in hints_of_mistakes)}"
                        f"{hints_of_mistakes.get(parameter, '')}"
                    )
            return function(*positional, **named)

        return cast(Function, checked)

    return decorate


def _fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of a hint."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if hint is None or hint is NoneType:
        return value is None
    if hint in (int, float):
        number = isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
        return number and math.isfinite(cast(float, value))
    if _is_iterable(origin):
        is_picture = getattr(value, "ndim", 1) != 1  # a column of paths is no picture
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, origin) or is_picture:
            return False
        return not isinstance(value, Sequence) or all(_fits(item, parts[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, parts[0]) and _fits(item, parts[1]) for key, item in value.items()
        )
    kind = hint if origin is None else origin
    if kind is os.PathLike:
        return isinstance(value, os.PathLike) or hasattr(value, "joinpath")  # paths of URLs are no os.PathLike
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return callable(value) if "__call__" in vars(kind) else True
    return isinstance(value, kind)


def _is_iterable(origin: Any) -> bool:
    return origin is Sequence or origin is Iterable


def _is_within(value: object, allowed: _Allowed | None) -> bool:
    """Whether a number is in its range, or a text, or each text of a list, among the choices."""
    if allowed is None or value is None:
        return True
    if isinstance(value, str | Real):
        return value in allowed
    return all(each in allowed for each in cast(Iterable[object], value))


def _describe(hint: Any, allowed: _Allowed | None = None) -> str:
    """Returns the values that are allowed, in words."""
    if allowed is not None and not isinstance(allowed, NumberRange):
        choices = _either([repr(choice) for choice in allowed])
        return f"a list of {choices}" if _is_iterable(get_origin(hint)) else choices
    parts = _alternatives(hint)
    words = _either([_name(part, allowed) for part in parts if part is not NoneType])
    return f"{words}, or None" if NoneType in parts else words


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _alternatives(hint: Any) -> list[Any]:
    """Returns the types of a union, and the values of a choice."""
    if get_origin(hint) not in (Union, UnionType):
        return [hint]
    parts = [part for each in get_args(hint) for part in _alternatives(each)]
    return [part for part in dict.fromkeys(parts) if part is not str or os.PathLike[str] not in parts]


def _name(hint: Any, allowed: _Allowed | None, several: bool = False) -> str:
    """Returns the name of a type: one value of it, or several."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _either([repr(part) for part in parts])
    if _is_iterable(origin):
        return f"a list of {_either([_name(part, None, several=True) for part in _alternatives(parts[0])])}"
    if hint in (int, float):
        noun = "whole number (int)" if hint is int else "number"
        return f"a {noun} {allowed or ''}".rstrip()
    kind = hint if origin is None else origin
    if getattr(kind, "_is_protocol", False) and kind is not os.PathLike:
        noun = "function" if "__call__" in vars(kind) else "array"
    else:
        noun = _NOUNS.get(kind) or str(getattr(kind, "__name__", kind))
    if kind is bool:
        return "True or False"
    if several:
        return f"{noun}s"
    return f"{'an' if noun[0] in 'aAEIOU' else 'a'} {noun}"


_NOUNS: Final[dict[Any, str]] = {str: "text", os.PathLike: "path", Mapping: "dictionary"}


def _example(value: object, hint: Any) -> str:
    """Returns the right form of a text or a dictionary that stands in the place of a list of texts."""
    if not any(_is_iterable(get_origin(part)) and str in (get_args(part)) for part in (hint, *get_args(hint))):
        return ""
    if isinstance(value, str):
        return f", as in {[value]!r}"
    if isinstance(value, Mapping):
        return f", as in {[f'{key}={item}' for key, item in list(value.items())[:2]]!r}"
    return ""


def _shown(value: object) -> str:
    """Returns a value as it would be written, shortened; of an object, only its type."""
    if value is None or isinstance(value, bool | int | float | str | bytes | list | tuple | dict | set | os.PathLike):
        return reprlib.repr(value)
    return f"<{type(value).__name__}>"
