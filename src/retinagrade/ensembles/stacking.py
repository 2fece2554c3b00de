"""Stacking: a second model, trained on validation photographs, that grades by the members' scores.

Source: D. H. Wolpert, "Stacked generalization", Neural Networks 5(2), 1992.
"""

from __future__ import annotations

import warnings
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.fitting.out_of_fold import patient_folds
from retinagrade.evaluation.metrics import Undefined, log_loss
from retinagrade.grades import N_GRADES

SCORE_FLOOR: Final = 1e-3
"""Smallest probability before its logarithm is taken: one confident mistake must not outweigh everything else."""
_REGULARISATION: Final = 0.1
"""scikit-learn's ``C`` of the logistic regression. Among 0.01, 0.1, 1 and 10, it had the lowest cross-validated log
loss on three sets of networks of IDRiD (80 photographs); with more photographs it matters less."""
_HIDDEN_UNITS: Final = (512, 128)
"""Units of the network's hidden layers, as in the report."""
_BATCH_SIZE: Final = 32
_MAX_EPOCHS: Final = 200
_STOPPING_PATIENCE: Final = 10
"""Epochs without a lower loss after which the network's training stops."""


class DenseLayer(BaseModel):
    """A dense layer.

    Attributes:
        coefficients: One row for each input, with a number for each output.
        intercepts: One number for each output.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]


class SecondStage(BaseModel):
    """A sequence of dense layers from the scores of all members to probabilities.

    Attributes:
        method: The fitted model: a logistic regression (one layer), or a network.
        inputs: Inputs of the first layer: probabilities, or their logarithms.
        layers: The layers, with ReLU between them and softmax at the end.
        grades: Grades of the last layer's outputs; a grade that was missing from the fit has the probability 0.
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
        method: Name to store.

    Raises:
        Undefined: All photographs have one grade.
    """
    present = np.unique(scores.grades)
    if len(present) < 2:
        raise Undefined("fewer than two grades are present, so there is nothing to learn")
    fitted = LogisticRegression(C=_REGULARISATION, max_iter=5000).fit(
        _inputs(scores.probabilities, "logarithms"), scores.grades
    )
    coefficients, intercepts = fitted.coef_.T, fitted.intercept_
    if len(present) == 2:  # scikit-learn keeps only the second grade's
        coefficients, intercepts = (np.concatenate([0 * part, part], axis=-1) for part in (coefficients, intercepts))
    return _second_stage(method, "logarithms", [coefficients], [intercepts], present)


def fit_network(scores: MemberScores) -> SecondStage:
    """Fits the report's network: all members' probabilities to dense 512, dense 128 and 5 outputs, with early stopping.

    A fifth of the photographs, with all photographs of their patients, is held out: training stops after ten epochs
    without a lower loss on them, and keeps the weights with the lowest loss. Adam, batches of 32, seed 0.

    Args:
        scores: Validation photographs.

    Raises:
        Undefined: All photographs are of one patient.
    """
    training, held_out = patient_folds(scores.patients)[0]
    inputs = _inputs(scores.probabilities, "probabilities")
    network = MLPClassifier(_HIDDEN_UNITS, batch_size=min(_BATCH_SIZE, len(training)), random_state=0)
    lowest, epochs_since = np.inf, 0
    kept: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    for _ in range(_MAX_EPOCHS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.partial_fit(inputs[training], scores.grades[training], classes=np.arange(N_GRADES))
        loss = log_loss(scores.grades[held_out], network.predict_proba(inputs[held_out]))
        if loss < lowest:
            lowest, epochs_since = loss, 0
            kept = [part.copy() for part in network.coefs_], [part.copy() for part in network.intercepts_]
        else:
            epochs_since += 1
        if epochs_since == _STOPPING_PATIENCE:
            break
    return _second_stage("stacking", "probabilities", *kept, np.arange(N_GRADES))


def apply_second_stage(fitted: SecondStage, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies a second stage to the members' scores.

    Args:
        fitted: A second stage for M members.
        probabilities: Scores (N, M, 5); or (N, 2, 6) if the second stage was fitted on these.

    Returns:
        Probabilities (N, 5) of sum 1.
    """
    values = _inputs(probabilities, fitted.inputs)
    for number, layer in enumerate(fitted.layers):
        values = np.maximum(values, 0) if number else values
        values = values @ np.array(layer.coefficients) + np.array(layer.intercepts)
    combined = np.zeros((len(probabilities), N_GRADES))
    combined[:, list(fitted.grades)] = softmax(values, axis=1)
    return combined


def _inputs(probabilities: NDArray[np.float64], kind: Literal["probabilities", "logarithms"]) -> NDArray[np.float64]:
    """Returns all scores of a photograph in one row; a sixth score (quality) is no probability and stays unchanged."""
    if kind == "logarithms":
        logs = np.log(np.maximum(probabilities[..., :N_GRADES], SCORE_FLOOR))
        probabilities = np.concatenate([logs, probabilities[..., N_GRADES:]], axis=-1)
    return probabilities.reshape(len(probabilities), -1)


def _second_stage(
    method: Literal["logistic", "stacking", "eyes"],
    inputs: Literal["probabilities", "logarithms"],
    coefficients: list[NDArray[np.float64]],
    intercepts: list[NDArray[np.float64]],
    grades: NDArray[np.int64],
) -> SecondStage:
    layers = [
        {"coefficients": weights.tolist(), "intercepts": biases.tolist()}
        for weights, biases in zip(coefficients, intercepts, strict=True)
    ]
    return SecondStage.model_validate({"method": method, "inputs": inputs, "layers": layers, "grades": grades.tolist()})
