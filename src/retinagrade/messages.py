"""Wording that messages share: counts with their nouns, and the first few of many names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_SHOWN: Final = 5
_ALIKE: Final = 0.75
"""Likeness, 0 to 1, from which a name may be meant by another one."""
_OBEYED: Final = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
"""Control characters except line breaks and tabs, signs that turn the direction of writing, and bytes of no text."""


def printable(text: str) -> str:
    """Returns a text whose control characters are escaped: a terminal obeys them, or can't print them."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the singular or the plural.

    Example:
        >>> counted(1, "photograph"), counted(2, "photograph")
        ('1 photograph', '2 photographs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def first_few(names: Iterable[object]) -> str:
    """Returns the first five names in alphabetical order, and an ellipsis where there are more.

    Example:
        >>> first_few(["b", "a"]), first_few("gfedcba")
        ('a, b', 'a, b, c, d, e, …')
    """
    listed = sorted(map(str, names))
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")


def name_choices(wrong: str, choices: Iterable[str]) -> str:
    """Returns the names to choose from: the ones most like a wrong name, or all where none is.

    Example:
        >>> name_choices("efficientnet", ["vgg16", "efficientnet-lite0"])
        "'efficientnet-lite0'"
        >>> name_choices("x", ["vgg16", "resnet50"])
        'one of vgg16, resnet50'
    """
    by_spelling = {name.casefold(): name for name in choices}
    near = get_close_matches(wrong.casefold(), by_spelling, n=3, cutoff=_ALIKE)
    if near:
        return " or ".join(repr(by_spelling[name]) for name in near)
    return f"one of {', '.join(by_spelling.values())}"


def describe_alike(names: Iterable[str]) -> str:
    """Returns a note on names that differ only in a way that is hard to see; an empty text where none do.

    Example:
        >>> describe_alike(["M\u00fcller", "Mu\u0308ller"]), describe_alike(["a", "A"]), describe_alike(["a", "b"])
        (' (the same letters in another Unicode form)', ' (the same letters, upper and lower case)', '')
    """
    every = set(names)
    composed = {unicodedata.normalize("NFC", name) for name in every}
    if len(composed) < len(every):
        return " (the same letters in another Unicode form)"
    if len({name.casefold() for name in composed}) < len(composed):
        return " (the same letters, upper and lower case)"
    return ""


def count_and_first_few(names: Iterable[object]) -> str:
    """Returns the number of names and the first five of them.

    Example:
        >>> count_and_first_few("gfedcba")
        '7: a, b, c, d, e, …'
    """
    listed = list(names)
    return f"{len(listed)}: {first_few(listed)}"
