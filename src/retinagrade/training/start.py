"""The weights that a training starts from: those of an earlier run, pretrained weights, or random initial values."""

from __future__ import annotations

import os
from pathlib import Path

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import sha256
from retinagrade.models.network import Network, build_network
from retinagrade.models.weights import complete_settings, describe_weights
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network


def find_start_run(
    experiment: Experiment, out: Path, start: str | os.PathLike[str] | Run | None, manifest_sha256: str
) -> Run | None:
    """Finds the run whose trained network an experiment starts from.

    Args:
        experiment: The experiment to train.
        out: Folder of the new run.
        start: The run to start from; by default the run named ``experiment.starts_from`` beside ``out``.
        manifest_sha256: Digest of the manifest that the experiment is trained on.

    Returns:
        The run; ``None`` where the experiment doesn't start from a run.

    Raises:
        ExperimentError: The run is missing, unfinished, of another experiment, or was trained on another split, so that
            it may have seen the new validation photographs.
    """
    if experiment.starts_from is None:
        if start is not None:
            raise ExperimentError(f"{experiment.name} starts from no run: leave {start} out")
        return None
    run = start if isinstance(start, Run) else Run(Path(start) if start else out.parent / experiment.starts_from)
    if not run.record_file.is_file():
        raise ExperimentError(
            f"{experiment.name} starts from a run of {experiment.starts_from}, but {run.folder} holds none: "
            "train it first, or name its folder with --start"
        )
    record = run.record()
    if record.experiment != experiment.starts_from:
        raise ExperimentError(
            f"{run.folder} is a run of {record.experiment}, but {experiment.name} starts from one of "
            f"{experiment.starts_from}: name its folder with --start"
        )
    if record.status != "finished":
        raise ExperimentError(f"{run.folder} is not finished: train it to the end first")
    if record.data.manifest_sha256 != manifest_sha256:
        raise ExperimentError(
            f"{run.folder} was trained on other data or another split, and may have seen the validation photographs of "
            f"{experiment.name}: train {experiment.starts_from} on this set first"
        )
    return run


def complete_experiment(experiment: Experiment, run: Run, start: Run | None) -> Experiment:
    """Returns the experiment with the architecture's arguments and the input scaling that belong to its weights.

    They come from the experiment's own run where it exists, else from the run that it starts from, else from the
    weights.

    Raises:
        ExperimentError: The weights can't be read, or contradict the experiment.
    """
    if (source := run if run.experiment_file.is_file() else start) is not None:
        network = source.experiment().network
        filled = {
            name: getattr(network, name)
            for name in ("arguments", "scaling")
            if getattr(experiment.network, name) is None and network.backbone == experiment.network.backbone
        }
        return experiment.model_copy(update={"network": experiment.network.model_copy(update=filled)})
    return experiment.model_copy(update={"network": complete_settings(experiment.network)})


def initial_network(experiment: Experiment, start: Run | None) -> Network:
    """Builds an experiment's network with the weights that its training starts from.

    Raises:
        ExperimentError: The weights can't be read or downloaded, or don't fit the network.
    """
    network = build_network(experiment.network)
    if start is not None:
        try:
            network.load_state_dict(load_network(start).state_dict())
        except RuntimeError as error:
            raise ExperimentError(
                f"the network of {experiment.name} differs from the one of {start.folder}: {error}"
            ) from error
    return network


def describe_start(experiment: Experiment, start: Run | None) -> dict[str, str]:
    """Returns the section ``start`` of a run's record: the origin of the weights, with licence or digest."""
    if start is None:
        return describe_weights(experiment.network)
    return {"run": str(start.folder.resolve()), "sha256": sha256(start.best_checkpoint)}
