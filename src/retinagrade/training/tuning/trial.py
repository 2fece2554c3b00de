"""One trial: a normal run, whose validation figure the study is told of after every epoch."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning.pytorch as pl
import optuna
from optuna.trial import TrialState

from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import compute_metric
from retinagrade.evaluation.predictions import graded_predictions, read_predictions
from retinagrade.experiments.experiment import override_settings
from retinagrade.runs.run import Run
from retinagrade.training.module import GradingModule
from retinagrade.training.train import train
from retinagrade.training.tuning.search import SearchPlan, trial_run


class PruningCallback(pl.Callback):
    """Tells the study of every epoch, and ends a trial that it doesn't think worth going on with.

    The first trial, which others are compared with, is never ended. The run of one that was remains one that was
    stopped: ``retinagrade train`` goes on with it.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        """Args: ``trial`` to tell of, ``metric`` by which it is judged."""
        self.trial, self.metric = trial, metric

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tells the epoch's figure, where it is defined."""
        assert isinstance(pl_module, GradingModule)
        assert pl_module.validated is not None
        try:
            figure = compute_metric(pl_module.validated, self.metric)
        except Undefined:
            return
        with warnings.catch_warnings():  # an epoch that was told before the trial was cut off comes again
            warnings.filterwarnings("ignore", ".*is already reported.*")
            self.trial.report(figure, trainer.current_epoch)
        done = trainer.current_epoch + 1
        if self.trial.number and done != trainer.max_epochs and self.trial.should_prune():
            raise optuna.TrialPruned(f"cut short after epoch {done}")


def run_trial(trial: optuna.Trial, plan: SearchPlan, prepared: Path, folder: Path, start: Path | None = None) -> str:
    """Trains a trial, or goes on with it, and tells the study what came of it.

    Args:
        trial: The trial.
        plan: The study's plan.
        prepared: The prepared set.
        folder: The study's folder.
        start: The run that an experiment with ``starts_from`` goes on with.

    Returns:
        What came of it, in a few words.

    Raises:
        Exception: Of the first trial, the experiment as it is: nothing could be compared with it. Of others, it is the
            reason why they failed, which their attribute ``reason`` says.
    """
    try:
        run = trial_run(folder, trial)
        experiment = override_settings(plan.experiment, plan.space.suggest(trial))
        train(prepared, experiment, run.folder, start=start, callbacks=[PruningCallback(trial, plan.metric)])
        value = trial_objective(run, plan.metric)
    except optuna.TrialPruned as pruned:
        trial.study.tell(trial, state=TrialState.PRUNED)
        return str(pruned)
    except Exception as error:  # whatever one trial dies of, the others are worth having
        if trial.number == 0:
            raise
        reason = str(error) or type(error).__name__
        trial.set_user_attr("reason", reason)
        trial.study.tell(trial, state=TrialState.FAIL)
        return f"failed: {reason}"
    trial.study.tell(trial, value)
    return f"{plan.metric} {value:.3f}"


def trial_objective(run: Run, metric: str) -> float:
    """What a study goes by: a figure of the validation photographs, of the predictions that a finished run has saved.

    Args:
        run: The run.
        metric: Of :data:`~retinagrade.evaluation.named_metrics.METRIC_NAMES`.

    Raises:
        Undefined: With the reason.
    """
    return compute_metric(graded_predictions(read_predictions(run.predictions_file("val"))), metric)
