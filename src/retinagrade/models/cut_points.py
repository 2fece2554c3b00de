"""Cut points: an ordered probit that turns a number on the scale of grades into probabilities of the grades."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, model_validator
from scipy.optimize import minimize
from scipy.special import log_ndtr

from retinagrade.grades import N_GRADES

Cuts = tuple[float, float, float, float]
Counts = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt]


class CutPoints(BaseModel):
    """An ordered probit: a photograph with prediction s has grade k where s plus normal noise falls into interval k.

    ``p_k = Phi((c_{k+1} - s) / sigma) - Phi((c_k - s) / sigma)``, where c_1 … c_4 are the cuts, c_0 is minus and c_5
    plus infinity.

    Source: R. D. McKelvey and W. Zavoina, "A statistical model for the analysis of ordinal level dependent variables",
    Journal of Mathematical Sociology 4(1), 1975.

    Attributes:
        cuts: Borders between neighbouring grades, in grades, increasing.
        sigma: Standard deviation of the noise, in grades.
        photographs: Numbers of photographs of each grade in the fit; 0 for :data:`STANDARD`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cuts: Cuts
    sigma: PositiveFloat
    photographs: Counts = (0, 0, 0, 0, 0)

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(low >= high for low, high in pairwise(self.cuts)):
            raise ValueError(f"cuts must increase, but are {self.cuts}")
        return self


STANDARD: Final = CutPoints(cuts=(0.5, 1.5, 2.5, 3.5), sigma=0.5)
"""Rounding to the nearest grade, which is used until cut points are fitted."""

SIGMA_RANGE: Final = (0.05, 50.0)
"""Limits of sigma. Predictions that separate the grades of a few photographs would drive sigma to 0, and predictions
that are unrelated to the grades would drive it to infinity."""

MISSING: Final = 0.1
"""Number of photographs that a missing grade counts as; with 0, its probability would be 0 for all predictions."""

_LEAST_GAP: Final = 1e-4  # in sigmas; keeps cuts apart in floating point, where the likelihood is defined
_LOG_DENSITY_AT_0: Final = -np.log(2 * np.pi) / 2  # of the normal distribution


def fit_cut_points(predicted: NDArray[np.float64], grades: NDArray[np.int64]) -> CutPoints:
    """Fits cut points and noise by maximum likelihood.

    A missing grade counts as :data:`MISSING` photographs, whose prediction is that grade, clipped to the range of the
    predictions. Where all predictions are equal, they don't determine sigma: it stays that of :data:`STANDARD`, and the
    probabilities are the grades' shares.

    Args:
        predicted: Predictions (N,) on the scale of grades, finite, at least one.
        grades: Grades (N,) of the same photographs, int, 0 to 4.

    Returns:
        Finite cut points for any input, reproducibly.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> predicted = rng.uniform(-0.5, 4.5, 5000)
        >>> fitted = fit_cut_points(predicted, np.digitize(predicted + rng.normal(0, 0.4, 5000), [0.7, 1.2, 2.0, 3.6]))
        >>> [round(cut, 1) for cut in fitted.cuts], round(fitted.sigma, 1)
        ([0.7, 1.2, 2.0, 3.6], 0.4)
    """
    counts = np.bincount(grades, minlength=N_GRADES)
    missing = np.flatnonzero(counts == 0)
    scores = np.concatenate([predicted, np.clip(missing, predicted.min(), predicted.max())]).astype(np.float64)
    all_grades = np.concatenate([grades, missing])
    weights = np.concatenate([np.ones(len(grades)), np.full(len(missing), MISSING)])
    # The likelihood is concave in cuts / sigma and 1 / sigma (J. W. Pratt, "Concavity of the log likelihood", JASA
    # 76(373), 1981), so any start leads to the same maximum; centring makes the search well conditioned, and leaves
    # 1 / sigma at its start where all predictions are equal.
    centre = float(scores.mean())
    scores -= centre
    slope = 1 / STANDARD.sigma
    start = np.array([slope * (STANDARD.cuts[0] - centre), *(slope * np.diff(STANDARD.cuts)), slope])
    solution = minimize(
        _negative_log_likelihood,
        start,
        args=(scores, all_grades, weights / weights.sum()),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None), *[(_LEAST_GAP, None)] * 3, (1 / SIGMA_RANGE[1], 1 / SIGMA_RANGE[0])],
        options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-9},
    ).x
    cuts = centre + np.cumsum(solution[:4]) / solution[4]
    return CutPoints.model_validate(
        {"cuts": cuts.tolist(), "sigma": float(1 / solution[4]), "photographs": counts.tolist()}
    )


def _negative_log_likelihood(
    parameters: NDArray[np.float64],
    scores: NDArray[np.float64],
    grades: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Computes the weighted mean of -log p and its gradient by the first cut, the gaps (in sigmas), and 1 / sigma."""
    cuts, slope = np.cumsum(parameters[:4]), parameters[4]
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    lower, upper = edges[grades] - slope * scores, edges[grades + 1] - slope * scores
    log_p = _log_interval(lower, upper)
    by_lower, by_upper = (weights * np.exp(_LOG_DENSITY_AT_0 - edge**2 / 2 - log_p) for edge in (lower, upper))
    by_edge = np.bincount(grades, by_lower, N_GRADES + 1) - np.bincount(grades + 1, by_upper, N_GRADES + 1)
    by_cut = by_edge[1:N_GRADES]
    gradient = np.append(by_cut[::-1].cumsum()[::-1], ((by_upper - by_lower) * scores).sum())
    return -float(weights @ log_p), gradient


def _log_interval(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes ``log(Phi(upper) - Phi(lower))``, exact in both tails."""
    mirrored = lower + upper > 0  # where both Phi are near 1, the tails beyond have the same difference
    low, high = np.where(mirrored, -upper, lower), np.where(mirrored, -lower, upper)
    log_high: NDArray[np.float64] = log_ndtr(high)
    difference: NDArray[np.float64] = log_high + np.log1p(-np.exp(log_ndtr(low) - log_high))
    return difference
