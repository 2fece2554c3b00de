"""Stacking: a second model that has learnt, on validation photographs, what to make of the members' scores.

Source: D. H. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
"""

from __future__ import annotations

import warnings
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.evaluation.metrics import Undefined, log_loss
from retinagrade.grades import N_GRADES

LEAST: Final = 1e-3
"""What a smaller probability counts as where logarithms are learnt from: one certain mistake must not outweigh all."""
PENALTY: Final = 0.1
"""scikit-learn's ``C`` of the logistic regression. Of 0.01, 0.1, 1 and 10 it had the lowest cross-validated log loss on
three sets of networks of IDRiD (80 photographs); with more photographs it matters less."""
HIDDEN: Final = (512, 128)
"""Units of the network's hidden layers: the report's."""
BATCH: Final = 32
EPOCHS: Final = 200
PATIENCE: Final = 10
"""Epochs without a lower loss after which the network's training stops."""


class DenseLayer(BaseModel):
    """A dense layer.

    Attributes:
        coefficients: A row for every input, in it a number for every output.
        intercepts: A number for every output.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]


class SecondStage(BaseModel):
    """Dense layers from the scores of all members, one after the other, to probabilities.

    Attributes:
        method: What was fitted: a logistic regression (one layer), or a network.
        inputs: Whether the layers are given probabilities, or their logarithms.
        layers: The layers, with ReLU between them and softmax at the end.
        grades: Which grades the last layer's outputs are of; one that was never seen has the probability 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["logistic", "stacking", "eyes"]
    inputs: Literal["probabilities", "logarithms"]
    layers: tuple[DenseLayer, ...] = Field(min_length=1)
    grades: tuple[int, ...]


def fit_logistic(scores: MemberScores, method: Literal["logistic", "eyes"] = "logistic") -> SecondStage:
    """Fits a multinomial logistic regression on the logarithms of all members' probabilities.

    Args:
        scores: Validation photographs.
        method: What it is to be called.

    Raises:
        Undefined: All photographs have one grade.
    """
    present = np.unique(scores.grades)
    if len(present) < 2:
        raise Undefined("fewer than two grades are present, so that there is nothing to learn")
    fitted = LogisticRegression(C=PENALTY, max_iter=5000).fit(
        _inputs(scores.probabilities, "logarithms"), scores.grades
    )
    coefficients, intercepts = fitted.coef_.T, fitted.intercept_
    if len(present) == 2:  # scikit-learn keeps only the second one's
        coefficients, intercepts = (np.concatenate([0 * part, part], axis=-1) for part in (coefficients, intercepts))
    return _second_stage(method, "logarithms", [coefficients], [intercepts], present)


def fit_network(scores: MemberScores) -> SecondStage:
    """Fits the report's network: all members' probabilities to dense 512, dense 128 and 5 outputs, with early stopping.

    A fifth of the photographs, with all of their patients, is not learnt from: training stops when their loss has not
    been lower for :data:`PATIENCE` epochs, and the weights of the lowest are kept. Adam, batches of 32, seed 0.

    Args:
        scores: Validation photographs.

    Raises:
        Undefined: All photographs are of one patient.
    """
    learnt, watched = patient_folds(scores.patients)[0]
    inputs = _inputs(scores.probabilities, "probabilities")
    network = MLPClassifier(HIDDEN, batch_size=min(BATCH, len(learnt)), random_state=0)
    lowest, since = np.inf, 0
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _ in range(EPOCHS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.partial_fit(inputs[learnt], scores.grades[learnt], classes=np.arange(N_GRADES))
        loss = log_loss(scores.grades[watched], network.predict_proba(inputs[watched]))
        if loss < lowest:
            lowest, since = loss, 0
            kept = [part.copy() for part in network.coefs_], [part.copy() for part in network.intercepts_]
        else:
            since += 1
        if since == PATIENCE:
            break
    return _second_stage("stacking", "probabilities", *kept, np.arange(N_GRADES))


def apply_second_stage(fitted: SecondStage, probabilities: np.ndarray) -> np.ndarray:
    """What was fitted, applied.

    Args:
        fitted: Of as many members.
        probabilities: Scores (N, M, 5), or (N, 2, 6) where it was fitted on such.

    Returns:
        Probabilities (N, 5), float64, of sum 1.
    """
    values = _inputs(probabilities, fitted.inputs)
    for number, layer in enumerate(fitted.layers):
        values = np.maximum(values, 0) if number else values
        values = values @ np.array(layer.coefficients) + np.array(layer.intercepts)
    combined = np.zeros((len(probabilities), N_GRADES))
    combined[:, list(fitted.grades)] = softmax(values, axis=1)
    return combined


def _inputs(probabilities: np.ndarray, kind: Literal["probabilities", "logarithms"]) -> np.ndarray:
    """All scores of a photograph in a row; a sixth one (quality) is no probability, and left as it is."""
    if kind == "logarithms":
        logs = np.log(np.maximum(probabilities[..., :N_GRADES], LEAST))
        probabilities = np.concatenate([logs, probabilities[..., N_GRADES:]], axis=-1)
    return probabilities.reshape(len(probabilities), -1)


def _second_stage(
    method: Literal["logistic", "stacking", "eyes"],
    inputs: Literal["probabilities", "logarithms"],
    coefficients: list[np.ndarray],
    intercepts: list[np.ndarray],
    grades: np.ndarray,
) -> SecondStage:
    layers = [
        {"coefficients": weights.tolist(), "intercepts": biases.tolist()}
        for weights, biases in zip(coefficients, intercepts, strict=True)
    ]
    return SecondStage.model_validate({"method": method, "inputs": inputs, "layers": layers, "grades": grades.tolist()})
