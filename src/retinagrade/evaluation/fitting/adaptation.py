"""Adaptation of an ordinal model to photographs of one site, from little change to much.

The original photographs aren't needed: the old weights stand for them. A change of the scale gives the levels other
limits, and stretches the scores. A new fit changes each weight as well; the change is penalised, so that few
photographs change little. Cross-validation over patients chooses between them, and prefers the smaller change.

Source of the preference: T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", 2009,
section 7.10 (the rule of one standard error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.lesion_maps.grade_model import OrdinalModel

AdaptationMethod = Literal["unchanged", "grade-scale", "new-fit"]
ADAPTATION_STRENGTHS: Final = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Variances that the change of a weight may have, before the photographs are seen; larger ones allow more change."""
_STRETCH: Final = 0.3
_SHIFT: Final = 2.0
_LIMIT: Final = 0.5
"""Standard deviations, in logits, of the logarithm of the stretch, of a shift of all levels, and of one level alone."""
_BIAS: Final = 1.0
"""Variance of the change of a constant in a new fit."""
_SHARPNESS: Final = 4.0
"""Factor of the logits with which the most probable grade is nearly the median one."""
_ITERATIONS: Final = 30
_HALVINGS: Final = 6
_FLOOR: Final = 1e-3
"""Lower limit of a probability in the comparison, so that one photograph doesn't outweigh all others."""


@dataclass(frozen=True)
class AdaptedModel:
    """A model after the choice.

    Attributes:
        method: The chosen kind of change.
        model: The model; for ``unchanged`` the old one.
        strength: One of :data:`ADAPTATION_STRENGTHS`, for a new fit.
    """

    method: AdaptationMethod
    model: OrdinalModel
    strength: float | None = None


def adapt_model(
    model: OrdinalModel,
    numbers: NDArray[np.float64],
    levels: NDArray[np.int64],
    patients: NDArray[np.int64],
    seed: int = 0,
) -> AdaptedModel:
    """Chooses and fits the change of a model.

    The choice is by the cross-validated log loss. Of changes that photographs of other patients don't tell apart by
    more than one standard error, the smallest one is chosen; no change, where it has the lowest loss.

    Args:
        model: The old model.
        numbers: Numbers (N, F), in the order of the model's names.
        levels: The right level (N,). Levels may be absent.
        patients: The patient of each photograph (N,).
        seed: Seed of the division into folds.

    Returns:
        The model. With fewer than two patients, it is unchanged.
    """
    if len(np.unique(patients)) < 2:
        return AdaptedModel("unchanged", model)
    losses = np.zeros((len(levels), 2 + len(ADAPTATION_STRENGTHS)))
    for others, own in patient_folds(patients, seed):
        candidates = _fit_candidates(model, numbers[others], levels[others])
        losses[own] = np.stack([_losses(each, numbers[own], levels[own]) for each in candidates], axis=1)
    chosen = _simplest_of_the_best(losses, patients)
    if chosen == 0:
        return AdaptedModel("unchanged", model)
    if chosen == 1:
        return AdaptedModel("grade-scale", change_scale(model, numbers, levels))
    strength = ADAPTATION_STRENGTHS[chosen - 2]
    return AdaptedModel("new-fit", change_weights(model, numbers, levels, (strength,))[0], strength)


def change_scale(model: OrdinalModel, numbers: NDArray[np.float64], levels: NDArray[np.int64]) -> OrdinalModel:
    """Fits a monotone map of the scores: one stretch for all levels, and a new limit for each.

    Args:
        model: The old model.
        numbers: Numbers (N, F).
        levels: The right level (N,).

    Returns:
        The model that is most probable after the photographs, if small changes were more probable before.
    """
    logits, count = model.logits(numbers), len(model.biases)
    reached = _reached(levels, count)

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        stretch = np.exp(_STRETCH * values[0])
        changed = stretch * logits + _SHIFT * values[1] + _LIMIT * values[2:]
        errors = expit(changed) - reached
        loss = (np.logaddexp(0, changed) - reached * changed).sum() + values @ values / 2
        slope = np.array([_STRETCH * stretch * (errors * logits).sum(), _SHIFT * errors.sum()])
        return float(loss), values + np.concatenate([slope, _LIMIT * errors.sum(axis=0)])

    values = minimize(objective, np.zeros(count + 2), jac=True, method="L-BFGS-B").x
    stretch, limits = np.exp(_STRETCH * values[0]), _SHIFT * values[1] + _LIMIT * values[2:]
    return _with_weights(model, stretch * np.array(model.weights), stretch * np.array(model.biases) + limits)


def sharpen(model: OrdinalModel) -> OrdinalModel:
    """Makes the median level the most probable one, in nearly all photographs; a temperature must follow.

    The most probable level passes over levels that few photographs have, such as mild retinopathy, even between two
    others that are equally probable. Kappa punishes a mistake by the square of its size, and so prefers the middle.

    Args:
        model: A model whose probabilities are calibrated.

    Returns:
        A model with larger logits, whose probabilities are too certain.
    """
    return _with_weights(model, _SHARPNESS * np.array(model.weights), _SHARPNESS * np.array(model.biases))


def change_weights(
    model: OrdinalModel, numbers: NDArray[np.float64], levels: NDArray[np.int64], strengths: tuple[float, ...]
) -> list[OrdinalModel]:
    """Fits all weights again, with a penalty on their distance from those of the model with the changed scale.

    Args:
        model: The old model.
        numbers: Numbers (N, F).
        levels: The right level (N,).
        strengths: Variances of the change of a weight; a small one allows little change.

    Returns:
        One model for each strength.
    """
    scaled = change_scale(model, numbers, levels)
    standard = scaled.standardised(numbers)
    # The change lies in the span of the photographs, so few photographs need few unknowns.
    left, singular, right = np.linalg.svd(standard, full_matrices=False)
    columns = np.hstack([left * singular, np.ones((len(standard), 1))])
    count = len(scaled.biases)
    start = np.tile(scaled.logits(numbers).T, (len(strengths), 1))
    reached = np.tile(_reached(levels, count).T, (len(strengths), 1))
    precisions = np.ones((len(strengths) * count, columns.shape[1])) / _BIAS
    precisions[:, :-1] = np.repeat(1 / np.array(strengths), count)[:, None]
    changes = _penalised_logistic(columns, start, reached, precisions).reshape(len(strengths), count, -1)
    weights, biases = np.array(scaled.weights), np.array(scaled.biases)
    return [_with_weights(scaled, weights + each[:, :-1] @ right, biases + each[:, -1]) for each in changes]


def _penalised_logistic(
    columns: NDArray[np.float64],
    offsets: NDArray[np.float64],
    reached: NDArray[np.float64],
    precisions: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fits B logistic models at once, by Newton's method with halved steps.

    Args:
        columns: Unknowns' columns (N, K).
        offsets: Logits (B, N) before the change.
        reached: 1 or 0 (B, N).
        precisions: Penalty (B, K) of each squared change.

    Returns:
        The changes (B, K).
    """

    def objective(values: NDArray[np.float64]) -> NDArray[np.float64]:
        logits = offsets + values @ columns.T
        loss = (np.logaddexp(0, logits) - reached * logits).sum(axis=1)
        return np.asarray(loss + (precisions * values**2).sum(axis=1) / 2)

    values = np.zeros_like(precisions)
    current = objective(values)
    diagonal = np.arange(columns.shape[1])
    for _ in range(_ITERATIONS):
        shares = expit(offsets + values @ columns.T)
        slopes = (shares - reached) @ columns + precisions * values
        curvature = np.matmul(columns.T, (shares * (1 - shares))[:, :, None] * columns)
        curvature[:, diagonal, diagonal] += precisions
        steps = np.linalg.solve(curvature, slopes[..., None])[..., 0]
        length = np.ones((len(values), 1))
        for _ in range(_HALVINGS):
            worse = objective(values - length * steps) > current + 1e-12
            if not worse.any():
                break
            length[worse] /= 2
        values = values - length * steps
        improved, current = current, objective(values)
        if (improved - current < 1e-6).all():
            break
    return values


def _fit_candidates(model: OrdinalModel, numbers: NDArray[np.float64], levels: NDArray[np.int64]) -> list[OrdinalModel]:
    """Returns the old model, the one with the changed scale, and one for each strength: from simple to rich."""
    return [model, change_scale(model, numbers, levels), *change_weights(model, numbers, levels, ADAPTATION_STRENGTHS)]


def _losses(model: OrdinalModel, numbers: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    right = model.probabilities(numbers)[np.arange(len(levels)), levels]
    return np.asarray(-np.log(np.maximum(right, _FLOOR)))


def _simplest_of_the_best(losses: NDArray[np.float64], patients: NDArray[np.int64]) -> int:
    """Returns the first change whose loss (N, K) isn't above the lowest by more than its standard error.

    No change is chosen only where no change has a lower loss: whoever measures the gain guards against chance.
    """
    best = int(losses.mean(axis=0).argmin())
    numbers = np.unique(patients, return_inverse=True)[1]
    for candidate in range(1, best):
        above = losses[:, candidate] - losses[:, best]
        by_patient = np.bincount(numbers, weights=above - above.mean())
        if above.sum() <= np.sqrt((by_patient**2).sum()):
            return candidate
    return best


def _reached(levels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Returns 1 (N, L) where a photograph's level is *1 or more*, *2 or more* …, else 0."""
    return (levels[:, None] >= np.arange(1, count + 1)).astype(np.float64)


def _with_weights(model: OrdinalModel, weights: NDArray[np.float64], biases: NDArray[np.float64]) -> OrdinalModel:
    rows = tuple(tuple(row) for row in weights.tolist())
    return model.model_copy(update={"weights": rows, "biases": tuple(biases.tolist())})
