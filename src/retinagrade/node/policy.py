"""Rules of time: when a study is graded, and when something that failed is tried again."""

from __future__ import annotations

from typing import Final

from retinagrade.node.rows import WaitingStudy

LONGEST: Final = 3600.0
"""Longest time between two tries, in seconds."""
_FIRST_STUDY_WAIT: Final = 15.0
"""Seconds until a study that failed is tried again for the first time."""
LONGEST_AWAY: Final = 60.0
"""Longest time between two calls of an archive that doesn't answer, in seconds."""
MOST_TRIES: Final = 5
"""Tries to grade a study. A study that ends the node each time must not stop all others."""


def is_due(study: WaitingStudy, now: float, wait: float) -> bool:
    """Whether a study is graded now: it has been quiet for ``wait`` seconds.

    Args:
        study: A study with photographs that were not graded.
        now: The time, in seconds.
        wait: Seconds of quiet.

    Example:
        >>> study = WaitingStudy(1, "1.2.3", photographs=2, graded=0, last_arrival=100.0, tries=0, rounds=0)
        >>> is_due(study, 159.0, 60.0), is_due(study, 160.0, 60.0)
        (False, True)
        >>> is_due(study, 20.0, 60.0)  # the clock was set back, so nothing is known about the quiet
        True
    """
    return not 0 <= now - study.last_arrival < wait


def next_wait(tries: int, longest: float = LONGEST) -> float:
    """Returns the seconds until the next try, after so many failed ones: each time is twice the one before.

    Example:
        >>> [next_wait(tries) for tries in (1, 2, 3, 20)]
        [1.0, 2.0, 4.0, 3600.0]
    """
    return min(longest, 2.0 ** min(tries - 1, 30))


def next_study_wait(tries: int) -> float:
    """Returns the seconds until a study is graded again, after so many gradings that failed.

    Example:
        >>> [next_study_wait(tries) for tries in (1, 2, 3, 4)]
        [15.0, 30.0, 60.0, 120.0]
    """
    return min(LONGEST, _FIRST_STUDY_WAIT * next_wait(tries))
