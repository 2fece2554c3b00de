"""Test of ranking: do the probabilities rank photographs with a disease above those without, more than by chance?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm

from retinagrade.evaluation.integrity.findings import CHANCE_ALPHA
from retinagrade.evaluation.metrics import Undefined, disease_scores
from retinagrade.grades import REFERABLE, VISION_THREATENING

USEFUL_AUC: Final = 0.75
"""AUC of a weak but useful network, the effect size of the numbers of photographs that could tell."""
LEAST_AUC: Final = 0.55
"""AUC below which a ranking is negligible, even if many photographs make it significant."""
TESTS: Final = 3
"""Tests by which predictions are told from chance: independence of the grades, and two rankings."""
_DISEASES: Final = {"referable": REFERABLE, "vision-threatening": VISION_THREATENING}


@dataclass(frozen=True)
class RankingTest:
    """Result of the test of the hypothesis that an AUC is 0.5.

    Attributes:
        disease: ``referable`` or ``vision-threatening``.
        auc: Area under the ROC curve.
        p_value: Two-sided p-value of Mann and Whitney's test.
        photographs: Number of photographs that would tell an AUC of :data:`USEFUL_AUC` from chance in 99 of 100 tables.
    """

    disease: str
    auc: float
    p_value: float
    photographs: int

    @property
    def tells(self) -> bool:
        """Whether the probabilities rank photographs better than by chance, over all :data:`TESTS`."""
        return self.auc >= LEAST_AUC and self.p_value * TESTS < CHANCE_ALPHA


def ranking_tests(
    grades: NDArray[np.int64], probabilities: NDArray[np.float64], inflation: float = 1.0
) -> list[RankingTest]:
    """Tests whether probabilities rank photographs, for referable and for vision-threatening retinopathy.

    Source: H. B. Mann, D. R. Whitney, Annals of Mathematical Statistics 18(1), 1947.

    Args:
        grades: Grades (N,).
        probabilities: Probabilities (N, 5) of the same photographs.
        inflation: Variance of a correlation, as a multiple of that of independent photographs.

    Returns:
        The tests of the diseases that some photographs have and some don't, the clearest first.
    """
    tests = []
    for name, grade in _DISEASES.items():
        try:
            truths, scores = disease_scores(grades, probabilities, grade)
        except Undefined:
            continue
        statistic, p_value = mannwhitneyu(scores[truths], scores[~truths], alternative="two-sided")
        deviations = norm.isf(p_value / 2) / np.sqrt(inflation)
        share = truths.mean()
        auc = float(statistic / truths.sum() / (~truths).sum())
        tests.append(RankingTest(name, auc, float(2 * norm.sf(deviations)), _photographs(float(share), inflation)))
    return sorted(tests, key=lambda test: test.p_value)


def _photographs(share: float, inflation: float) -> int:
    """Returns the number of photographs for a power of 99 %, from the normal distribution of the statistic."""
    deviations = norm.isf(CHANCE_ALPHA / TESTS / 2) + norm.isf(CHANCE_ALPHA)
    return int(np.ceil(inflation * deviations**2 / (12 * share * (1 - share) * (USEFUL_AUC - 0.5) ** 2)))
