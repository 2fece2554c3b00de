"""Tunes an experiment: trains trials, shared among all processes that make the same call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from optuna.trial import TrialState

from retinagrade.arguments import AT_LEAST_ONE, NOT_NEGATIVE, check_arguments
from retinagrade.evaluation.intervals import REFERENCE_METRICS
from retinagrade.evaluation.named_metrics import METRIC_NAMES
from retinagrade.execution.progress import Progress, begin_stage, prefix_stages
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import continued_folder, guard_outputs
from retinagrade.training.start import training_inputs
from retinagrade.training.tuning.report import write_tuning_report
from retinagrade.training.tuning.result import TuningResult
from retinagrade.training.tuning.search import PruningName, SearchPlan, open_search, trial_run, worker_trials
from retinagrade.training.tuning.search_space import SearchSpace, load_space
from retinagrade.training.tuning.trial import run_trial

OPTIMISED: Final = tuple(name for name in METRIC_NAMES if name not in REFERENCE_METRICS)
"""Metrics that a search can optimise."""


@check_arguments(metric=OPTIMISED, trials=AT_LEAST_ONE, seed=NOT_NEGATIVE)
def tune(
    prepared: str | os.PathLike[str],
    experiment: str | os.PathLike[str] | Experiment,
    out: str | os.PathLike[str],
    *,
    space: str | os.PathLike[str] | Mapping[str, Any] | SearchSpace,
    trials: int = 20,
    metric: str = "quadratic_weighted_kappa",
    pruning: PruningName = "median",
    storage: str | None = None,
    seed: int = 0,
    start: str | os.PathLike[str] | Run | None = None,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> TuningResult | None:
    """Trains an experiment many times with settings from a search space, and keeps the best ones.

    A tree-structured Parzen estimator draws the settings from the results of earlier trials. The same call again
    continues after an interruption; in another process it shares the work; with more ``trials`` it extends the search.
    In one process, the same arguments give the same trials.

    Args:
        prepared: Folder of a prepared set with splits ``train`` and ``val``; no other split is used.
        experiment: The experiment: its name, a YAML file, or an object.
        out: Folder of the search, shared by all processes: ``trial-000`` … are runs, and ``report.html`` the report.
        space: The settings to search: a YAML file, or its content, such as
            ``{"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}``.
        trials: Number of trials of the search, of all processes together; the first is the unchanged experiment.
        metric: Metric of the validation photographs to optimise, one of
            :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.
        pruning: Rule that stops unpromising trials early.
        storage: Storage of the trials, as for :func:`~retinagrade.training.tuning.search.open_search`.
        seed: Seed of the sampler.
        start: The run that all trials start from, as for :func:`~retinagrade.training.train.train`.
        settings: Settings to change in all trials, as ``section.key=value``.
        progress: Receives the beginning and the outcome of each trial, and the progress of its training.

    Returns:
        The result; ``None`` while other processes still train trials: the last of them writes the report.

    Raises:
        UsageError: The metric is unknown, the storage can't be used, or ``out`` is, holds or lies in an input.
        ExperimentError: The experiment, a setting or the search space isn't valid; the folder holds something else; or
            the unchanged experiment can't be trained.
        ManifestError: The prepared set is unreadable.
    """
    inputs = training_inputs(prepared, experiment, start)
    if not isinstance(space, Mapping | SearchSpace):
        inputs.append(Path(space))
    prepared, folder = Path(prepared), Path(out)
    guard_outputs([continued_folder(folder)], inputs)
    plan = SearchPlan(load_experiment(experiment, settings), load_space(space), metric, pruning, seed)
    manifest_file = prepared / "manifest.csv"
    Manifest.read(manifest_file)  # raises an error about a broken set before the search begins
    study = open_search(plan, folder, sha256(manifest_file), storage)
    for trial in worker_trials(study, plan, folder, trials):
        name = trial_run(folder, trial).folder.name
        begin_stage(progress, f"{name} continues" if trial.params else f"{name} begins")
        outcome = run_trial(trial, plan, prepared, folder, start, prefix_stages(progress, name))
        begin_stage(progress, f"{name}: {outcome}")
    if study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        return None
    return write_tuning_report(study, plan, folder)
