"""Networks from the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment
from retinagrade.models.cut_points import CutPoints
from retinagrade.models.lesion_network import LesionNetwork, build_lesion_network
from retinagrade.models.network import Network, build_network
from retinagrade.models.outputs import Output, RegressionOutput
from retinagrade.runs.records import FinishedTraining
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.system_errors import reason

_DAMAGED: Final = "{} is damaged, or no checkpoint of a run: copy it again, or train the run anew in another folder"


def load_network(run: Run) -> Network:
    """Loads the trained network of a run.

    A regression has the cut points that were fitted on its validation photographs, or the standard ones until its
    training is finished.

    Returns:
        The network with the weights of the epoch that was kept, in evaluation mode on the CPU.

    Raises:
        ExperimentError: The checkpoint is missing, is another one than the training kept, or doesn't fit the
            experiment; or cut points are missing or unreadable.
    """
    if run.experiment().outlines_lesions:
        raise ExperimentError(f"{run.folder} outlines lesions and grades nothing: name a run that grades")
    _require_checkpoint(run)
    network = restore_network(run.experiment(), run.best_checkpoint)
    network.output = _with_fitted_cut_points(run, network.output)
    return network.eval()


def load_lesion_network(run: Run) -> LesionNetwork:
    """Loads the trained network of a run that outlines lesions.

    Returns:
        The network with the weights of the epoch that was kept, in evaluation mode on the CPU.

    Raises:
        ExperimentError: The run grades, or its checkpoint is missing, is another one than the training kept, or doesn't
            fit the experiment.
    """
    if not run.experiment().outlines_lesions:
        raise ExperimentError(f"{run.folder} grades and outlines no lesions: name a run that outlines them")
    _require_checkpoint(run)
    return restore_lesion_network(run.experiment(), run.best_checkpoint).eval()


def _require_checkpoint(run: Run) -> None:
    if not run.best_checkpoint.is_file():
        raise ExperimentError(f"{run.folder} holds no {run.best_checkpoint.name}: train it first")
    record = run.training_record() if run.is_finished else None
    kept = record.checkpoint_sha256 if isinstance(record, FinishedTraining) else None
    if kept is not None and sha256(run.best_checkpoint) != kept:
        raise ExperimentError(
            f"{run.best_checkpoint} is not the checkpoint that this training kept: copy the whole run again, or train "
            "it anew in another folder"
        )


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Reads a checkpoint: weights in ``state_dict``, and the states of callbacks and optimisers.

    Raises:
        ExperimentError: The file is damaged, or no checkpoint of a run.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if isinstance(content["state_dict"], dict):
            return dict(content)
    except Exception as error:  # torch.load raises errors of pickle, zipfile and its own
        raise ExperimentError(_DAMAGED.format(checkpoint)) from error
    raise ExperimentError(_DAMAGED.format(checkpoint))


def restore_network(experiment: Experiment, checkpoint: Path) -> Network:
    """Builds an experiment's network with the weights of a checkpoint of its run.

    Returns:
        The network in training mode on the CPU.

    Raises:
        ExperimentError: The checkpoint doesn't fit the experiment.
    """
    network = build_network(experiment.network.model_copy(update={"weights": "none"}))
    _load_state(network, checkpoint)
    return network


def restore_lesion_network(experiment: Experiment, checkpoint: Path) -> LesionNetwork:
    """Builds a network that outlines lesions, as :func:`restore_network` builds one that grades."""
    network = build_lesion_network(experiment.network.model_copy(update={"weights": "none"}))
    _load_state(network, checkpoint)
    return network


def _load_state(network: nn.Module, checkpoint: Path) -> None:
    tensors = read_checkpoint(checkpoint)["state_dict"]
    state = {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ExperimentError(
            f"{checkpoint} does not fit its experiment.yaml: was one of them replaced? Copy the run again: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def _with_fitted_cut_points(run: Run, output: Output) -> Output:
    if not isinstance(output, RegressionOutput):
        return output
    if not run.output_file.is_file():
        if run.is_finished:
            raise ExperimentError(f"{run.folder} has lost the cut points of its regression, {run.output_file.name}")
        return output
    try:
        return RegressionOutput(CutPoints.model_validate_json(run.output_file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{run.output_file}: not readable cut points: {reason(error)}") from error
