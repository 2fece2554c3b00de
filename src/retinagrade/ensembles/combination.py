"""How members are combined: fitted on validation photographs, kept in plain numbers, applied unchanged to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from retinagrade.errors import ExperimentError, describe_validation_error
from retinagrade.evaluation.metrics import Undefined
from retinagrade.files import write_json

Method = Literal["majority", "accuracy", "recall", "stacking", "logistic", "mean", "geometric", "qwk", "eyes"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
_Settings = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MajorityVote(BaseModel):
    """One vote a member; of those that are tied, the one that the most accurate member gave.

    Attributes:
        method: Its name.
        accuracies: Of the members, on validation photographs.
    """

    model_config = _Settings

    method: Literal["majority"] = "majority"
    accuracies: tuple[float, ...]


class WeightedMean(BaseModel):
    """The weighted mean of the members' probabilities.

    Attributes:
        method: How the weights were found.
        weights: Of the members; their sum is 1.
        class_weights: What the recalls of grades 0 to 4 counted for, where weights are made of recalls.
    """

    model_config = _Settings

    method: Literal["mean", "accuracy", "recall", "qwk"]
    weights: tuple[float, ...]
    class_weights: tuple[float, ...] | None = None


class GeometricMean(BaseModel):
    """The geometric mean of the members' probabilities, divided by its sum.

    Attributes:
        method: Its name.
    """

    model_config = _Settings

    method: Literal["geometric"] = "geometric"


Combination = Annotated[MajorityVote | WeightedMean | GeometricMean | SecondStage, Field(discriminator="method")]


class FittedMember(BaseModel):
    """A member, and the validation predictions of it that a combination was fitted on.

    Attributes:
        name: What the member is called.
        folder: Where it was.
        sha256: The digest of its validation predictions.
    """

    model_config = _Settings

    name: str
    folder: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FittedCombination(BaseModel):
    """A combination of named members.

    Attributes:
        schema_version: Of this file.
        members: The members, in the order that the numbers of the combination have.
        combination: How they are combined.
        quality: Whether the quality of both eyes' photographs counts, too.
        image_ids: The photographs that it was fitted on, which it must not be judged on.
    """

    model_config = _Settings

    schema_version: Literal[1] = 1
    members: tuple[FittedMember, ...] = Field(min_length=1)
    combination: Combination
    quality: bool = False
    image_ids: tuple[str, ...]


def fit_combination(method: Method, scores: MemberScores, class_weights: np.ndarray | None = None) -> Combination:
    """Fits a combination.

    Args:
        method: Which.
        scores: Validation photographs; for ``eyes`` as :func:`~retinagrade.ensembles.eyes.both_eyes_scores` gives them.
        class_weights: For ``recall`` what the recall of each grade counts for (5,).

    Raises:
        Undefined: The photographs don't allow it: too few patients, or one grade alone.
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
            known = has_both_eyes(scores.probabilities)
            if not known.any():
                raise Undefined("no patient is known to have photographs of both eyes")
            return fit_logistic(scores.rows(known), method)


def combine_members(combination: Combination, probabilities: np.ndarray) -> np.ndarray:
    """Applies a combination.

    Args:
        combination: Fitted on as many members.
        probabilities: Scores (N, M, 5); for ``eyes`` as :func:`~retinagrade.ensembles.eyes.both_eyes_scores` gives them: where
            the other eye isn't known, this eye's probabilities stay what they are.

    Returns:
        Probabilities (N, 5), float64, of sum 1.
    """
    if isinstance(combination, MajorityVote):
        return majority_vote(probabilities, np.array(combination.accuracies))
    if isinstance(combination, WeightedMean):
        return weighted_mean(probabilities, np.array(combination.weights))
    if isinstance(combination, GeometricMean):
        return geometric_mean(probabilities)
    if combination.method != "eyes":
        return apply_second_stage(combination, probabilities)
    combined, known = this_eye(probabilities).copy(), has_both_eyes(probabilities)
    combined[known] = apply_second_stage(combination, probabilities[known])
    return combined


def save_combination(fitted: FittedCombination, path: Path) -> None:
    """Writes the file, atomically, as JSON with all digits."""
    write_json(path, fitted.model_dump(mode="json"))


def load_combination(path: Path) -> FittedCombination:
    """Reads a file that :func:`save_combination` wrote.

    Raises:
        ExperimentError: Unreadable, or a key is missing, unknown or wrong; the message names file and key.
    """
    try:
        return FittedCombination.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ExperimentError(f"{path}: not a readable ensemble: {error}") from error
    except ValidationError as error:
        raise ExperimentError(
            f"{path} is not an ensemble that this version reads:\n  {describe_validation_error(error)}"
        ) from None
