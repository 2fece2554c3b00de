"""Combinations of members: fitted on validation photographs, stored as plain numbers, applied to other photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from retinagrade.ensembles.averaging import (
    accuracies,
    accuracy_weights,
    geometric_mean,
    kappa_weights,
    recall_weights,
    weighted_mean,
)
from retinagrade.ensembles.eyes import has_both_eyes, this_eye
from retinagrade.ensembles.scores import MemberScores
from retinagrade.ensembles.stacking import SecondStage, apply_second_stage, fit_logistic, fit_network
from retinagrade.ensembles.voting import majority_vote
from retinagrade.errors import ExperimentError
from retinagrade.evaluation.metrics import Undefined
from retinagrade.storage.files import read_json_model, write_json

EnsembleMethodName = Literal[
    "majority", "accuracy", "recall", "stacking", "logistic", "mean", "geometric", "qwk", "eyes"
]
ENSEMBLE_METHODS: Final[tuple[EnsembleMethodName, ...]] = get_args(EnsembleMethodName)
"""Names of the methods."""
_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MajorityVote(BaseModel):
    """One vote for each member; the most accurate member decides a tie.

    Attributes:
        method: Name of the method.
        accuracies: Accuracies of the members on the validation photographs.
    """

    model_config = _STRICT

    method: Literal["majority"] = "majority"
    accuracies: tuple[float, ...]


class WeightedMean(BaseModel):
    """The weighted mean of the members' probabilities.

    Attributes:
        method: Method that computed the weights.
        weights: Weights of the members; their sum is 1.
        class_weights: Weights of the recalls of grades 0 to 4, for the method ``recall``.
    """

    model_config = _STRICT

    method: Literal["mean", "accuracy", "recall", "qwk"]
    weights: tuple[float, ...]
    class_weights: tuple[float, ...] | None = None


class GeometricMean(BaseModel):
    """The geometric mean of the members' probabilities, divided by its sum.

    Attributes:
        method: Name of the method.
    """

    model_config = _STRICT

    method: Literal["geometric"] = "geometric"


Combination = Annotated[MajorityVote | WeightedMean | GeometricMean | SecondStage, Field(discriminator="method")]


class FittedMember(BaseModel):
    """A member, and its validation predictions that a combination was fitted on.

    Attributes:
        name: Name of the member.
        folder: Path of the member from the folder of the ensemble.
        sha256: SHA-256 digest of its validation predictions.
    """

    model_config = _STRICT

    name: str
    folder: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FittedCombination(BaseModel):
    """A combination of named members.

    Attributes:
        schema_version: Version of the file format.
        members: The members, in the order of the combination's numbers.
        combination: The combination.
        quality: Whether the image quality of both eyes' photographs is a further score.
        image_ids: The photographs that it was fitted on; an evaluation on them is too good.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    members: tuple[FittedMember, ...] = Field(min_length=1)
    combination: Combination
    quality: bool = False
    image_ids: tuple[str, ...]


def fit_combination(
    method: EnsembleMethodName, scores: MemberScores, class_weights: NDArray[np.float64] | None = None
) -> Combination:
    """Fits a combination.

    Args:
        method: The method.
        scores: Validation photographs; for ``eyes``, with the scores of
            :func:`~retinagrade.ensembles.eyes.both_eyes_scores`.
        class_weights: Weights of the recalls of each grade (5,), for the method ``recall``.

    Raises:
        Undefined: The photographs are of too few patients, or of one grade.
    """
    members = scores.probabilities.shape[1]
    match method:
        case "majority":
            return MajorityVote(accuracies=tuple(accuracies(scores).tolist()))
        case "mean":
            return WeightedMean(method=method, weights=(1 / members,) * members)
        case "accuracy":
            return WeightedMean(method=method, weights=tuple(accuracy_weights(scores).tolist()))
        case "qwk":
            return WeightedMean(method=method, weights=tuple(kappa_weights(scores).tolist()))
        case "recall":
            assert class_weights is not None
            weights = recall_weights(scores, class_weights)
            return WeightedMean(
                method=method, weights=tuple(weights.tolist()), class_weights=tuple(class_weights.tolist())
            )
        case "geometric":
            return GeometricMean()
        case "logistic":
            return fit_logistic(scores)
        case "stacking":
            return fit_network(scores)
        case "eyes":
            both = has_both_eyes(scores.probabilities)
            if not both.any():
                raise Undefined("no patient is known to have photographs of both eyes")
            return fit_logistic(scores.rows(both), method)


def combine_members(combination: Combination, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies a combination.

    Args:
        combination: A combination of M members.
        probabilities: Scores (N, M, 5); for ``eyes``, those of :func:`~retinagrade.ensembles.eyes.both_eyes_scores`.
            Without the other eye, the probabilities of this eye stay unchanged.

    Returns:
        Probabilities (N, 5) of sum 1.
    """
    if isinstance(combination, MajorityVote):
        return majority_vote(probabilities, np.array(combination.accuracies))
    if isinstance(combination, WeightedMean):
        return weighted_mean(probabilities, np.array(combination.weights))
    if isinstance(combination, GeometricMean):
        return geometric_mean(probabilities)
    if combination.method != "eyes":
        return apply_second_stage(combination, probabilities)
    combined, both = this_eye(probabilities).copy(), has_both_eyes(probabilities)
    combined[both] = apply_second_stage(combination, probabilities[both])
    return combined


def describe_combination(fitted: FittedCombination) -> str:
    """Describes a combination in one line: the method, and the members with their weights or accuracies."""
    combination, names = fitted.combination, [member.name for member in fitted.members]

    def listed(numbers: tuple[float, ...]) -> str:
        return ", ".join(f"{name} {number:.3f}" for name, number in zip(names, numbers, strict=True))

    if isinstance(combination, MajorityVote):
        return f"majority: validation accuracy decides a tie: {listed(combination.accuracies)}"
    if not isinstance(combination, WeightedMean):
        return f"{combination.method}: {', '.join(names)}"
    weights = combination.class_weights
    recalls = "" if weights is None else f" (weights of recalls {' '.join(f'{weight:.5f}' for weight in weights)})"
    return f"{combination.method}: weights {listed(combination.weights)}{recalls}"


def save_combination(fitted: FittedCombination, path: Path) -> None:
    """Writes the file, atomically, as JSON with all digits."""
    write_json(path, fitted.model_dump(mode="json"))


def load_combination(path: Path) -> FittedCombination:
    """Reads a file that :func:`save_combination` wrote.

    Raises:
        ExperimentError: The file is unreadable, or a key is missing, unknown or wrong; the message names file and key.
    """
    return read_json_model(path, FittedCombination, "an ensemble", ExperimentError)
