"""How the gate judges a whole folder, and when a person should doubt the gate itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from retinagrade.gate.names import FAULTS, reason_of

_FEWEST: Final = 20
"""Photographs below which a share says nothing."""
_SUSPICIOUS: Final = 0.2
"""Share of photographs refused for one reason from which the gate may be wrong."""


def count_levels(levels: Iterable[str | None]) -> str:
    """Counts photographs by their level; those without a level are left out.

    Example:
        >>> count_levels(["good", "good", "reject", None])
        '2 good, 1 reject'
    """
    counts = Counter(levels)
    return ", ".join(f"{counts[each]} {each}" for each in ("good", "usable", "reject", "unchecked") if counts[each])


def doubt_of_gate(refusals: Iterable[Iterable[str]]) -> str | None:
    """Returns a warning where so many photographs are refused for one reason that the gate may be wrong.

    Args:
        refusals: For each judged photograph, the reasons for which it was refused, with or without advice; none for
            one that wasn't refused.

    Example:
        >>> print(doubt_of_gate([["haze"]] * 6 + [[]] * 14).partition(".")[0])
        6 of 20 photographs are refused for one reason, haze
    """
    judged = [[reason_of(reason) for reason in reasons] for reasons in refusals]
    counts = Counter(reason for reasons in judged for reason in dict.fromkeys(reasons))
    if len(judged) < _FEWEST or not counts:
        return None
    reason, count = counts.most_common(1)[0]
    if count <= _SUSPICIOUS * len(judged):
        return None
    by_score = (
        "`--gate percentile` refuses the worst twentieth, `retinagrade calibrate --quality` finds cut points from "
        "photographs that a person judged, "
    )
    return (
        f"{count} of {len(judged)} photographs are refused for one reason, {reason}. Look at some of them. If they are "
        f"good, the gate is wrong for this camera: `grade --gate '{reason}=0.95'` refuses for this reason only where "
        f"it is nearly certain, {by_score if reason in FAULTS else ''}`--gate off` refuses none"
    )
