"""Tuning an experiment: trials, as many as asked for, by as many workers as give the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from optuna.trial import TrialState

from retinagrade.errors import UsageError
from retinagrade.evaluation.intervals import REFERENCE_METRICS
from retinagrade.evaluation.named_metrics import METRIC_NAMES
from retinagrade.files import sha256
from retinagrade.manifest import Manifest
from retinagrade.training.tuning.report import TuningResult, write_tuning_report
from retinagrade.training.tuning.search import SearchPlan, open_search, trial_run, worker_trials
from retinagrade.training.tuning.trial import run_trial


def tune(
    plan: SearchPlan,
    prepared: Path,
    out: Path,
    trials: int,
    storage: str | None = None,
    start: Path | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> TuningResult | None:
    """Trains an experiment again and again with settings from a search space, and keeps the best.

    Settings are drawn by a tree-structured Parzen estimator from the trials so far. The same call again goes on where
    it was cut off; in another process it helps, and more ``trials`` extend the study. With one worker, the same plan
    gives the same trials.

    Args:
        plan: What is tuned, and how.
        prepared: A prepared set with splits ``train`` and ``val``; nothing else of it is used.
        out: The study's folder, which all workers share: ``trial-000`` … are runs, and the report is there.
        trials: How many the study is to have; the first is the experiment as it is.
        storage: As for :func:`~retinagrade.training.tuning.search.open_search`.
        start: As for :func:`~retinagrade.training.train.train`, of all trials.
        announce: Told, in a line, what begins and what came of it.

    Returns:
        What was found; ``None`` where other workers are still at it, the last of which will say.

    Raises:
        UsageError: An unknown metric, or a storage that can't be used.
        ExperimentError: As for :func:`~retinagrade.training.tuning.search.open_search`; or the experiment as it is can't be
            trained.
        ManifestError: The prepared set can't be read.
    """
    if plan.metric not in METRIC_NAMES or plan.metric in REFERENCE_METRICS:
        raise UsageError(
            f"no metric {plan.metric!r}: one of {', '.join(n for n in METRIC_NAMES if n not in REFERENCE_METRICS)}"
        )
    manifest_file = prepared / "manifest.csv"
    Manifest.read(manifest_file)  # before a study is begun, or there is an error that says what is wrong
    study = open_search(plan, out, sha256(manifest_file), storage)
    for trial in worker_trials(study, plan, out, trials):
        name = trial_run(out, trial).folder.name
        announce(f"{name} begins" if not trial.params else f"{name} goes on")
        announce(f"{name}: {run_trial(trial, plan, prepared, out, start)}")
    if study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        return None
    return write_tuning_report(study, plan, out)
