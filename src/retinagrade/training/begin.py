"""The beginning of a run: a new folder, or the recognition of a run that the same call began earlier."""

from __future__ import annotations

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import Experiment
from retinagrade.files import is_free_folder, write_text
from retinagrade.runs.records import StartedTraining
from retinagrade.runs.run import RATE_FILES, Run
from retinagrade.training.data import TrainingData
from retinagrade.training.distributed import Devices
from retinagrade.training.start import describe_start


def begin_run(run: Run, experiment: Experiment, data: TrainingData, start: Run | None, devices: Devices) -> bool:
    """Begins a run, or recognises it as one that the same call began earlier.

    Args:
        run: The run; its folder may be absent, empty, or hold a run of the same experiment on the same data.
        experiment: The experiment, as :func:`~retinagrade.training.start.complete_experiment` returns it.
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
    origin = run.training_record().start if run.last_checkpoint.is_file() else describe_start(experiment, start)
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
    run.write_record(StartedTraining(experiment=experiment.name, data=data.record(), start=origin))
    return False


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
