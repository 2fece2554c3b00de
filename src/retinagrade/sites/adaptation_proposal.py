"""What adapting the grade model of a grader file to a site's photographs would give, from the same pass of grading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retinagrade.errors import UsageError
from retinagrade.evaluation.adaptation import Adaptation, adaptation_gain
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.execution.progress import Progress
from retinagrade.grader.metadata import LesionMetadata
from retinagrade.lesion_maps.numbers import number_row


@dataclass(frozen=True)
class AdaptationProposal:
    """Whether an adaptation is worth proposing.

    Attributes:
        gain: What it would give; ``None`` where that can't be measured.
        sentences: The outcome for people: what it would give, and whether more photographs would help.
    """

    gain: Adaptation | None
    sentences: tuple[str, ...]

    @property
    def better(self) -> bool:
        """True where the adapted grader would be better by more than chance."""
        return self.gain is not None and self.gain.better

    def to_json(self) -> dict[str, Any]:
        """Returns the proposal for ``validation.json``."""
        gain = self.gain
        if gain is None:
            return {"better": False, "sentences": list(self.sentences), "gain": None}
        return {
            "better": gain.better,
            "sentences": list(self.sentences),
            "gain": {
                "method": gain.method,
                "photographs": gain.photographs,
                "patients": gain.patients,
                "quadratic_weighted_kappa": gain.kappa.to_json(),
                "referable_auc": gain.referable_auc.to_json(),
                "second_half": gain.more.to_json(),
                "curve": [{"photographs": point.photographs, "gain": point.gain} for point in gain.curve],
                "needed": gain.needed,
            },
        }


def propose_adaptation(
    lesions: LesionMetadata | None,
    table: pd.DataFrame,
    numbers: Mapping[str, Mapping[str, float]],
    *,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> AdaptationProposal:
    """Measures what an adaptation would give.

    Args:
        lesions: The part of the grader file that reads lesion maps; ``None`` for a file without.
        table: The photographs with a grade by the grader: ``image_id``, ``grade`` (nullable), ``digest`` and, where
            known, ``patient_id``.
        numbers: Lesion numbers by the digest of the photograph.
        resamples: Number of resamples of patients for the intervals.
        progress: Receives the number of fits.
    """
    if lesions is None:
        return AdaptationProposal(None, ("This grader file outlines no lesions, so it can't be adapted.",))
    usable = table[table["grade"].notna() & table["digest"].isin(list(numbers))]
    model = lesions.model.grade
    if usable.empty:
        return AdaptationProposal(None, ("No photograph has both lesion numbers and a label.",))
    rows = np.array([number_row(numbers[digest], model.names) for digest in usable["digest"]])
    patients = usable["patient_id"].fillna("").astype(str) if "patient_id" in usable else [""] * len(usable)
    grades = usable["grade"].to_numpy(dtype=np.int64)
    try:
        gain = adaptation_gain(model, rows, grades, list(patients), resamples=resamples, progress=progress)
    except UsageError as error:
        return AdaptationProposal(None, (f"Nobody can tell yet what an adaptation would give: {error}.",))
    return AdaptationProposal(gain, gain.sentences)
