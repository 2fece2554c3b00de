"""The grade model: from plain numbers of lesions to probabilities of the five grades, and to the risk of oedema.

The model is a few rows of weights, so a person can read from it how much each number counts.
"""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from retinagrade.lesion_maps.calibration import MapCalibration

_FLOOR: Final = 1e-12
"""Lower limit of probabilities."""


class OrdinalModel(BaseModel):
    """Logistic models of *level 1 or more*, *level 2 or more* …, on the same standardised numbers.

    Source: E. Frank and M. Hall, "A Simple Approach to Ordinal Classification", ECML 2001. Where a higher level would
    be more probable than a lower one, the lower probability holds for both.

    Attributes:
        names: Names of the numbers (F,).
        means: Means of the numbers (F,) in the photographs that the model was fitted on.
        deviations: Their standard deviations (F,).
        weights: Weight of each standardised number (L, F) for each level.
        biases: Constant (L,) of each level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        lengths = {len(self.names), len(self.means), len(self.deviations), *map(len, self.weights)}
        if len(lengths) != 1 or len(self.weights) != len(self.biases) or not self.weights:
            raise ValueError("names, means, deviations, weights and biases don't belong together")
        return self

    def standardised(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns numbers (N, F) less their means, in standard deviations."""
        return np.asarray((numbers - np.array(self.means)) / np.array(self.deviations))

    def logits(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the logits (N, L) of *level 1 or more*, *level 2 or more* …, each by its own weights."""
        return np.asarray(self.standardised(numbers) @ np.array(self.weights).T + np.array(self.biases))

    def probabilities(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Computes the probability of each level.

        Args:
            numbers: Numbers (N, F), in the order of ``names``.

        Returns:
            Probabilities (N, L + 1) of the levels from 0 on; each row sums to 1.

        Example:
            >>> model = OrdinalModel(names=["x"], means=[0], deviations=[1], weights=[[1], [1]], biases=[0, -1])
            >>> model.probabilities(np.array([[0.0]])).round(3).tolist()
            [[0.5, 0.231, 0.269]]
        """
        logits = np.clip(self.logits(numbers), -50, 50)
        reached = np.minimum.accumulate(1 / (1 + np.exp(-logits)), axis=1)
        ones = np.ones((len(reached), 1))
        return np.asarray(np.hstack([ones, reached]) - np.hstack([reached, 0 * ones]))


class GradeModel(BaseModel):
    """The models that read lesion numbers.

    Attributes:
        maps: Calibration of the lesion maps, whose kinds are those of the numbers.
        counted_from: Highest probability, by kind, that a lesion must reach to be counted and outlined for people. From
            it on, healthy photographs that the networks had not seen show few such lesions.
        grade: Probabilities of the five grades.
        oedema: Probabilities of the risks 0 to 2 of macular oedema; ``None`` where no labels were known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    maps: MapCalibration
    counted_from: dict[str, float] = {}
    grade: OrdinalModel
    oedema: OrdinalModel | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesions, in the order of the maps."""
        return self.maps.kinds


def temper(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Makes probabilities (N, L) less certain, for temperatures above 1, or more certain.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Example:
        >>> temper(np.array([[0.64, 0.36]]), 2.0).round(3).tolist()
        [[0.571, 0.429]]
    """
    powers = np.maximum(probabilities, _FLOOR) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
