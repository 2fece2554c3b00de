"""One trial: a run whose validation metric is reported to the search after each epoch."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import lightning.pytorch as pl
import optuna
from optuna.trial import TrialState

from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metric
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.execution.progress import Progress
from retinagrade.experiments.experiment import override_settings
from retinagrade.runs.run import Run
from retinagrade.training.module import GradingModule
from retinagrade.training.train import train
from retinagrade.training.tuning.search import SearchPlan, trial_run


class PruningCallback(pl.Callback):
    """Reports each epoch's metric to the search, and stops an unpromising trial.

    The first trial, with which the others are compared, is never stopped. The run of a stopped trial stays unfinished:
    ``retinagrade train`` can continue it.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        """Prepares the callback.

        Args:
            trial: The trial.
            metric: Name of the metric to report.
        """
        self.trial, self.metric = trial, metric

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports the epoch's metric, if it is defined."""
        assert isinstance(pl_module, GradingModule)
        assert pl_module.validated is not None
        try:
            value = compute_metric(pl_module.validated, self.metric)
        except Undefined:
            return
        with warnings.catch_warnings():  # after an interruption, an epoch may be reported again
            warnings.filterwarnings("ignore", ".*is already reported.*")
            self.trial.report(value, trainer.current_epoch)
        epochs = trainer.current_epoch + 1
        if self.trial.number and epochs != trainer.max_epochs and self.trial.should_prune():
            raise optuna.TrialPruned(f"stopped early after epoch {epochs}")


def run_trial(
    trial: optuna.Trial,
    plan: SearchPlan,
    prepared: Path,
    folder: Path,
    start: str | os.PathLike[str] | Run | None = None,
    progress: Progress | None = None,
) -> str:
    """Trains a trial, or continues it, and stores the outcome in the search.

    Args:
        trial: The trial.
        plan: The plan of the search.
        prepared: The prepared set.
        folder: The folder of the search.
        start: The run that an experiment with ``starts_from`` starts from.
        progress: Receives the progress of the training.

    Returns:
        The outcome in a few words.

    Raises:
        Exception: The first trial, the unchanged experiment, has failed, so that nothing can be compared with it. For
            the other trials, the attribute ``reason`` holds the message.
    """
    try:
        run = trial_run(folder, trial)
        experiment = override_settings(plan.experiment, plan.space.suggest(trial))
        pruning = PruningCallback(trial, plan.metric)
        train(prepared, experiment, run.folder, start=start, callbacks=[pruning], progress=progress)
        value = trial_objective(run, plan.metric)
    except optuna.TrialPruned as pruned:
        trial.study.tell(trial, state=TrialState.PRUNED)
        return str(pruned)
    except Exception as error:  # whatever stops one trial, the search continues with the others
        if trial.number == 0:
            raise
        reason = str(error) or type(error).__name__
        trial.set_user_attr("reason", reason)
        trial.study.tell(trial, state=TrialState.FAIL)
        return f"failed: {reason}"
    trial.study.tell(trial, value)
    return f"{plan.metric} {value:.3f}"


def trial_objective(run: Run, metric: str) -> float:
    """Computes the objective of a search: a metric of the validation predictions that a finished run has saved.

    Args:
        run: The run.
        metric: One of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.

    Raises:
        Undefined: The metric is undefined, with the reason.
    """
    return compute_metric(graded_predictions(read_predictions(run.predictions_file("val"))), metric)
