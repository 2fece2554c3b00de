"""Findings of the integrity checks, written for the person who reads the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A reason not to trust the metrics before a person has looked at it.

    Attributes:
        code: A short name, for programs.
        message: The problem and its remedy, for people.
    """

    code: str
    message: str
