"""Cut points of the gate from photographs whose quality a person has judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, get_args

from retinagrade.gate.settings import GateSettings
from retinagrade.messages import counted

JudgedQuality = Literal["good", "usable", "reject"]
"""Quality of a photograph, as a person judges it."""
JUDGED: Final[tuple[JudgedQuality, ...]] = get_args(JudgedQuality)
MOST_GOOD_REFUSED: Final = 0.02
"""Largest share of the good photographs that the cut points may refuse."""
_FEWEST: Final = 10
"""Photographs of a quality below which its share is a guess."""


def choose_cuts(
    scores: Sequence[float], judged: Sequence[JudgedQuality], settings: GateSettings
) -> tuple[GateSettings, list[str]]:
    """Chooses the cut points that agree best with a person.

    The first cut point maximises the share of rejected photographs below it minus the share of all other photographs
    (Youden's index), and refuses at most :data:`MOST_GOOD_REFUSED` of the good ones. The second does the same for good
    photographs against all others.

    Args:
        scores: Quality of each photograph, 0 to 1, from the gate.
        judged: Quality of each photograph, from a person.
        settings: The settings before; a cut point that can't be chosen stays.

    Returns:
        The settings, and warnings about parts that can't be relied on.

    Example:
        >>> settings, _ = choose_cuts([0.1, 0.2, 0.5, 0.9], ["reject", "reject", "usable", "good"], GateSettings())
        >>> settings.reject_below, settings.usable_below
        (0.35, 0.7)
    """
    by_quality = {each: sorted(s for s, j in zip(scores, judged, strict=True) if j == each) for each in JUDGED}
    good, usable, reject = by_quality.values()
    counts = Counter(judged)
    warnings = [
        f"only {counted(counts[each], 'photograph')} judged {each}: judge at least {_FEWEST}"
        for each in JUDGED
        if counts[each] < _FEWEST
    ]
    if reject and (good or usable):
        reject_below = _best_cut(reject, [*good, *usable], good)
    else:
        reject_below = _lowered_cut(settings.reject_below, good)
    usable_below = _best_cut([*reject, *usable], good, ()) if good and (reject or usable) else settings.usable_below
    if good and reject and _share_below(reject, reject_below) < 0.5:
        warnings.append(
            f"below the cut point lie only {_share_below(reject, reject_below):.0%} of the photographs that a person "
            f"rejects: a higher one would refuse more than {MOST_GOOD_REFUSED:.0%} of the good ones"
        )
    changed = {"reject_below": reject_below, "usable_below": max(reject_below, usable_below)}
    return settings.model_copy(update=changed), warnings


def _lowered_cut(cut: float, good: Sequence[float]) -> float:
    """Returns the cut, or a lower one where it would refuse too many good photographs."""
    lower = (max(0.0, round(score - 1e-6, 6)) for score in sorted(good, reverse=True) if score < cut)
    return next(each for each in (cut, *lower, 0.0) if _share_below(good, each) <= MOST_GOOD_REFUSED)


def _best_cut(low: Sequence[float], high: Sequence[float], spared: Sequence[float]) -> float:
    """Returns the cut with most of ``low`` and least of ``high`` below it, and hardly any of ``spared``."""
    edges = sorted({0.0, *low, *high, 1.0})
    cuts = [round((a + b) / 2, 6) for a, b in pairwise(edges)]
    allowed = [cut for cut in cuts if _share_below(spared, cut) <= MOST_GOOD_REFUSED]
    return max(allowed, key=lambda cut: _share_below(low, cut) - _share_below(high, cut), default=0.0)


def _share_below(scores: Sequence[float], cut: float) -> float:
    return sum(score < cut for score in scores) / len(scores) if scores else 0.0
