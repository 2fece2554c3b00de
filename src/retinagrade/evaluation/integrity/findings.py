"""What a check found, in words for the person who reads the figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """Something that a person must look at before believing the figures.

    Attributes:
        code: A short name for programs.
        message: What is wrong and what to do, in plain words.
    """

    code: str
    message: str


def counted(number: int, what: str) -> str:
    """A number and what it counts.

    Example:
        >>> counted(1, "photograph"), counted(2, "photograph")
        ('1 photograph', '2 photographs')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def first_few(names: Iterable[str]) -> str:
    """The first names in order, for a message.

    Example:
        >>> first_few(["b", "a"]), first_few("gfedcba")
        ('a, b', 'a, b, c, d, e, …')
    """
    listed = sorted(map(str, names))
    return ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
