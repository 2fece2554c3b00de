"""What a check found, in words for the person who reads the figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that a person must look at before believing the figures.

    Attributes:
        code: A short name for programs.
        message: What is wrong and what to do, in plain words.
    """

    code: str
    message: str
