"""Metrics of a decision for or against a disease, from its two-by-two table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import UsageError
from retinagrade.evaluation.metrics.confusion import matrix_metric


@matrix_metric("no photograph has the disease")
def sensitivity(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of the photographs with the disease that are positive.

    Args:
        table: Counts (2, 2) from :func:`~retinagrade.evaluation.metrics.two_by_two_table`.

    Raises:
        Undefined: No photograph has the disease.

    Example:
        >>> from retinagrade.evaluation.metrics.confusion import two_by_two_table
        >>> sensitivity(two_by_two_table(np.array([True, True, False]), np.array([True, False, False])))
        0.5
    """
    return np.asarray(table[..., 1, 1] / table[..., 1, :].sum(axis=-1))


@matrix_metric("all photographs have the disease")
def specificity(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of the photographs without the disease that are negative.

    Arguments: as :func:`sensitivity`.

    Raises:
        Undefined: All photographs have the disease.
    """
    return np.asarray(table[..., 0, 0] / table[..., 0, :].sum(axis=-1))


@matrix_metric("no photograph is positive")
def ppv(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the positive predictive value: the share of the positive photographs that have the disease.

    It holds for the prevalence in these photographs only; see :func:`ppv_at_prevalence`. Arguments: as
    :func:`sensitivity`.

    Raises:
        Undefined: No photograph is positive.
    """
    return np.asarray(table[..., 1, 1] / table[..., :, 1].sum(axis=-1))


@matrix_metric("all photographs are positive")
def npv(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the negative predictive value: the share of the negative photographs that don't have the disease.

    It holds for the prevalence in these photographs only; see :func:`npv_at_prevalence`. Arguments: as
    :func:`sensitivity`.

    Raises:
        Undefined: All photographs are positive.
    """
    return np.asarray(table[..., 0, 0] / table[..., :, 0].sum(axis=-1))


@matrix_metric("no photograph has the disease, all have it, or none would be positive")
def ppv_at_prevalence(table: NDArray[Any], prevalence: float) -> NDArray[np.float64]:
    """Computes the positive predictive value at a stated prevalence, by Bayes' theorem.

    Args:
        table: Counts (2, 2), for the sensitivity and the specificity.
        prevalence: Share of photographs with the disease, 0 to 1.

    Raises:
        UsageError: The prevalence is not a share.
        Undefined: The sensitivity or the specificity is undefined, or no photograph would be positive.

    Example:
        >>> round(ppv_at_prevalence(np.array([[90, 10], [10, 90]]), 0.1), 6)
        0.5
    """
    true_positives = sensitivity.stacked(table) * _share(prevalence)
    return true_positives / (true_positives + (1 - specificity.stacked(table)) * (1 - prevalence))


@matrix_metric("no photograph has the disease, all have it, or all would be positive")
def npv_at_prevalence(table: NDArray[Any], prevalence: float) -> NDArray[np.float64]:
    """Computes the negative predictive value at a stated prevalence, by Bayes' theorem.

    Arguments and errors: as :func:`ppv_at_prevalence`, except that all photographs would be positive.
    """
    true_negatives = specificity.stacked(table) * (1 - _share(prevalence))
    return true_negatives / (true_negatives + (1 - sensitivity.stacked(table)) * prevalence)


@matrix_metric()
def referral_rate(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of the photographs that are positive.

    Arguments: as :func:`sensitivity`.

    Raises:
        Undefined: There are no photographs.
    """
    return np.asarray(table[..., :, 1].sum(axis=-1) / table.sum(axis=(-2, -1)))


@matrix_metric()
def miss_rate(table: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the share of all photographs that have the disease and are negative.

    Arguments and errors: as :func:`referral_rate`.
    """
    return np.asarray(table[..., 1, 0] / table.sum(axis=(-2, -1)))


@matrix_metric("no photograph has the disease, or all have it")
def referral_rate_at_prevalence(table: NDArray[Any], prevalence: float) -> NDArray[np.float64]:
    """Computes the share of the photographs that would be positive at a stated prevalence.

    Arguments: as :func:`ppv_at_prevalence`.

    Raises:
        UsageError: The prevalence is not a share.
        Undefined: The sensitivity or the specificity is undefined.

    Example:
        >>> round(referral_rate_at_prevalence(np.array([[90, 10], [10, 90]]), 0.1), 6)
        0.18
    """
    true_positives = sensitivity.stacked(table) * _share(prevalence)
    return true_positives + (1 - specificity.stacked(table)) * (1 - prevalence)


@matrix_metric("no photograph has the disease")
def miss_rate_at_prevalence(table: NDArray[Any], prevalence: float) -> NDArray[np.float64]:
    """Computes the share of all photographs that would have the disease and be negative at a stated prevalence.

    Arguments: as :func:`ppv_at_prevalence`.

    Raises:
        UsageError: The prevalence is not a share.
        Undefined: The sensitivity is undefined.
    """
    return (1 - sensitivity.stacked(table)) * _share(prevalence)


def _share(prevalence: float) -> float:
    if not 0 <= prevalence <= 1:
        raise UsageError(f"a prevalence is a share from 0 to 1, not {prevalence}")
    return prevalence
