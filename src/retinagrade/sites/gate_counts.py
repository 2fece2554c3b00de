"""How the gate judges a site's photographs: good, usable or refused, with the most frequent reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retinagrade.gate.folder import doubt_of_gate
from retinagrade.gate.names import reason_of
from retinagrade.gradings.grading import Grading


@dataclass(frozen=True)
class GateCounts:
    """How the gate judges photographs.

    Attributes:
        photographs: Number of photographs.
        good: Those without a warning.
        usable: Those that were graded with a warning.
        refused: Those that got no grade, as ungradable.
        errors: Those that could not be used, by an error.
        refusals: Number of refused photographs by reason, the most frequent first. One may have several.
        warnings: Number of usable photographs by reason, likewise.
        doubt: Warning where so many are refused for one reason that the gate may be wrong; ``None`` otherwise.
    """

    photographs: int
    good: int
    usable: int
    refused: int
    errors: int
    refusals: dict[str, int]
    warnings: dict[str, int]
    doubt: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the counts for ``validation.json``."""
        return asdict(self)


def count_gate(gradings: Sequence[Grading]) -> GateCounts:
    """Counts the judgements of the gate."""
    judged = [each for each in gradings if each.gradable is not None]
    refused = [each for each in judged if not each.gradable and each.error is None]
    usable = [each for each in gradings if each.quality_level == "usable" and each.predicted_grade is not None]
    return GateCounts(
        len(gradings),
        sum(each.quality_level == "good" and each.predicted_grade is not None for each in gradings),
        len(usable),
        len(refused),
        sum(each.error is not None for each in gradings),
        _by_reason(refused),
        _by_reason(usable),
        doubt_of_gate(() if each.gradable else each.quality_reasons for each in judged),
    )


def _by_reason(gradings: Iterable[Grading]) -> dict[str, int]:
    counts = Counter(reason for each in gradings for reason in dict.fromkeys(map(reason_of, each.quality_reasons)))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
