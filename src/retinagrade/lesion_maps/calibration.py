"""Calibration of lesion maps: of the pixels with a probability of 0.8, eight in ten should belong to a lesion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator


class MapCalibration(BaseModel):
    """A line for the logits of each kind of lesion. Rare kinds weigh more in training, so raw maps are too high.

    Source: J. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers, 1999.

    Attributes:
        kinds: The kinds of lesions.
        scales: Factor (K,) of each kind's logits.
        biases: Number (K,) that is added to them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kinds: tuple[str, ...] = Field(min_length=1)
    scales: tuple[PositiveFloat, ...]
    biases: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not len(self.kinds) == len(self.scales) == len(self.biases):
            raise ValueError("kinds, scales and biases don't belong together")
        return self

    @classmethod
    def identity(cls, kinds: Sequence[str]) -> Self:
        """Returns the calibration that changes nothing."""
        return cls(kinds=tuple(kinds), scales=(1.0,) * len(kinds), biases=(0.0,) * len(kinds))

    def maps(self, logits: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Computes calibrated maps.

        Args:
            logits: Logits (K, H, W).

        Returns:
            Probabilities (K, H, W), as whole numbers from 0 to 255.

        Example:
            >>> MapCalibration(kinds=["haemorrhages"], scales=[2], biases=[0]).maps(np.zeros((1, 1, 1))).tolist()
            [[[128]]]
        """
        shape = (len(self.kinds), 1, 1)
        calibrated = logits * np.reshape(self.scales, shape) + np.reshape(self.biases, shape)
        return np.asarray(np.round(255 / (1 + np.exp(-calibrated.clip(-50, 50)))), np.uint8)
