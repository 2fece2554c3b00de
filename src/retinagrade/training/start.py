"""The start of a run: the weights that its training starts from, and its folder.

A run starts from an earlier run's weights, from pretrained weights, or from random initial values.
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment, experiment_files
from retinagrade.models.lesion_network import LesionNetwork, build_lesion_network
from retinagrade.models.network import Network, build_network
from retinagrade.models.weights import complete_settings, describe_weights
from retinagrade.runs.records import StartedTraining
from retinagrade.runs.run import RATE_FILES, Run
from retinagrade.storage.files import is_free_folder, sha256, write_text
from retinagrade.training.checkpoints import load_lesion_network, load_network
from retinagrade.training.data import TrainingData
from retinagrade.training.distributed import Devices


def training_inputs(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    start: str | os.PathLike[str] | Run | None = None,
) -> list[Path]:
    """Returns the files and folders that a training reads, as far as the user named them."""
    inputs = [Path(prepared), *experiment_files(experiment)]
    if start is not None:
        inputs.append(start.folder if isinstance(start, Run) else Path(start))
    return inputs


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


def begin_run(run: Run, experiment: Experiment, data: TrainingData, start: Run | None, devices: Devices) -> bool:
    """Begins a run, or recognises it as one that the same call began earlier.

    Args:
        run: The run; its folder may be absent, empty, or hold a run of the same experiment on the same data.
        experiment: The experiment, as :func:`complete_experiment` returns it.
        data: The photographs to train on.
        start: The run whose network the training starts from.
        devices: The devices of the training; only their first process writes.

    Returns:
        True where the run is finished, so that nothing is left to do.

    Raises:
        ExperimentError: The folder holds something else.
    """
    if devices.rank:
        return run.is_finished
    # A resumed run needs nothing of the weights that it started from, which may be gone.
    origin = run.training_record().start if run.last_checkpoint.is_file() else _describe_start(experiment, start)
    if not run.experiment_file.exists():
        if not is_free_folder(run.folder, besides=RATE_FILES):
            raise ExperimentError(f"{run.folder} is not empty and not a run: choose another --out")
        write_text(run.experiment_file, experiment.to_yaml())
    if changed := _changed_settings(run.experiment(), experiment):
        raise ExperimentError(
            f"{run.folder} holds a run with another {', '.join(changed)}: choose another --out, or delete that folder"
        )
    if run.record_file.is_file():
        earlier = run.record()
        if earlier.data.manifest_sha256 != data.digest:
            raise ExperimentError(
                f"{run.folder} was trained on other data or another split: choose another --out, or delete that folder"
            )
        if earlier.status == "finished":
            return True
    if data.own_split is not None:
        data.own_split.write(run.manifest_file)
    run.write_record(StartedTraining(experiment=experiment.name, data=data.record(run.folder), start=origin))
    return False


def initial_network(experiment: Experiment, start: Run | None) -> Network:
    """Builds an experiment's network with the weights that its training starts from.

    Raises:
        ExperimentError: The weights can't be read or downloaded, or don't fit the network.
    """
    network = build_network(experiment.network)
    if start is not None:
        _copy_weights(network, load_network(start), experiment, start)
    return network


def initial_lesion_network(experiment: Experiment, start: Run | None) -> LesionNetwork:
    """Builds a network that outlines lesions, as :func:`initial_network` builds one that grades."""
    network = build_lesion_network(experiment.network)
    if start is not None:
        _copy_weights(network, load_lesion_network(start), experiment, start)
    return network


def _copy_weights(network: nn.Module, source: nn.Module, experiment: Experiment, start: Run) -> None:
    try:
        network.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise ExperimentError(
            f"the network of {experiment.name} differs from the one of {start.folder}: {error}"
        ) from error


def _describe_start(experiment: Experiment, start: Run | None) -> dict[str, str]:
    """Returns the section ``start`` of a run's record: the origin of the weights, with licence or digest."""
    if start is None:
        return describe_weights(experiment.network)
    return {"run": str(start.folder.resolve()), "sha256": sha256(start.best_checkpoint)}


def _changed_settings(before: Experiment, now: Experiment) -> list[str]:
    """Returns the names of the settings that differ, such as ``training.epochs``."""
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    changed = []
    for section, values in new.items():
        if isinstance(values, dict):
            changed += [f"{section}.{key}" for key in values if values[key] != old[section][key]]
        elif values != old[section]:
            changed.append(section)
    return changed
