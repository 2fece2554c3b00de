"""What a study found: its trials, whether the best of them is better than the experiment as it was, and pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.comparison import compare_predictions, comparison_tables
from retinagrade.evaluation.paired import Difference, paired_differences
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.evaluation.report.tables import TextTable, interval_text
from retinagrade.experiments.experiment import Experiment, override_settings
from retinagrade.files import write_json, write_text
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record
from retinagrade.runs.predictions import Predictions
from retinagrade.training.tuning.plots import history_plot, importance_plot, parallel_plot
from retinagrade.training.tuning.search import SearchPlan, trial_run

_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "cut short",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class TuningResult:
    """What a study found.

    Attributes:
        metric: What it went by, a figure of the validation photographs.
        trials: One row a trial: columns ``trial``, ``state``, ``value``, ``epochs``, ``seconds`` of training, every
            setting that was searched, and ``reason`` of a failure.
        winner: The number of the best trial; 0 is the experiment as it was.
        settings: The winner's, of those that were searched, as ``--set`` takes them.
        experiment: The winner.
        difference: The winner's figure less that of the experiment as it was; ``None`` where that is the winner.
    """

    metric: str
    trials: pd.DataFrame
    winner: int
    settings: list[str]
    experiment: Experiment
    difference: Difference | None

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "metric": self.metric,
            "winner": {"trial": self.winner, "settings": self.settings},
            "difference": None if self.difference is None else asdict(self.difference),
            "trials": self.trials.astype(object).where(self.trials.notna(), None).to_dict("records"),
        }

    def verdict(self) -> str:
        """Whether tuning was worth it, in a sentence or two."""
        number = len(self.trials)
        if self.difference is None:
            return f"None of {number} trials is better than the experiment as it was."
        gained = self.difference
        assert gained.difference is not None
        found = (
            f"Trial {self.winner} of {number} has a {self.metric.replace('_', ' ')} of {format_metric(gained.first)}, the "
            f"experiment as it was {format_metric(gained.second)}: a difference of {gained.difference:+.3f}"
        )
        if gained.interval is None:
            return f"{found}, of which nothing more can be said ({gained.reason})."
        found += f", 95 % interval {interval_text(gained.interval)}."
        if gained.interval.low <= 0 <= gained.interval.high:
            return f"{found} These photographs don't show that it is better."
        return (
            f"{found} The interval knows of the photographs' chance, not of training's, nor of the choice of the best "
            f"of {number}: cross-validate both (retinagrade train --folds 5) before you believe it."
        )


def summarise_search(study: optuna.Study, plan: SearchPlan, folder: Path) -> TuningResult:
    """What a study has found so far.

    Args:
        study: The study.
        plan: Its plan.
        folder: Its folder.

    Raises:
        ExperimentError: The experiment as it is has not finished yet: nothing can be compared with it.
    """
    trials = study.get_trials(deepcopy=False)
    if not trials or trials[0].state != TrialState.COMPLETE:
        raise ExperimentError(
            f"{folder}: the first trial, the experiment as it is, has not finished yet: give the command again"
        )
    best = study.best_trial
    settings = [f"{name}={value}" for name, value in best.params.items()]
    tuned = override_settings(plan.experiment, settings).model_copy(
        update={
            "name": f"{plan.experiment.name}-tuned",
            "description": f"{plan.experiment.name}, tuned in {len(trials)} trials: {' '.join(settings)}",
            "parameters": None,
        }
    )
    first, winner = (graded_predictions(_predictions(folder, trial)) for trial in (trials[0], best))
    return TuningResult(
        plan.metric,
        pd.DataFrame([_row(folder, trial) for trial in trials]),
        best.number,
        settings,
        tuned,
        None if best.number == 0 else paired_differences(winner, first, (plan.metric,))[plan.metric],
    )


def write_tuning_report(study: optuna.Study, plan: SearchPlan, folder: Path) -> TuningResult:
    """Writes ``report.html``, ``trials.csv``, ``tuning.json`` and ``winner.yaml``, ready to train.

    Args:
        study: The study.
        plan: Its plan.
        folder: Its folder.

    Raises:
        ExperimentError: As for :func:`summarise_search`.
    """
    found = summarise_search(study, plan, folder)
    best = study.best_trial
    names = {trial_run(folder, trial).folder.name: trial for trial in (study.get_trials(deepcopy=False)[0], best)}
    tables = [_trials_table(found)]
    if found.difference is not None:
        compared = {name: _predictions(folder, trial) for name, trial in names.items()}
        tables = comparison_tables(compare_predictions(compared)) + tables
    pictures, missing = _pictures(study, plan, found.trials)
    page = render_page(
        "training/tuning/report.html.j2",
        title=f"{plan.experiment.name}, tuned",
        found=found,
        tables=tables,
        pictures=pictures,
        missing=missing,
        winner=found.experiment.to_yaml(),
    )
    write_text(folder / "winner.yaml", found.experiment.to_yaml())
    write_text(folder / "trials.csv", found.trials.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(folder / "tuning.json", {**found.to_json(), **provenance_record()})
    write_text(folder / "report.html", page)
    return found


def _predictions(folder: Path, trial: FrozenTrial) -> pd.DataFrame:
    """A trial's validation predictions, with the patients that intervals go by."""
    return Predictions.read(trial_run(folder, trial).predictions_file("val")).table


def _row(folder: Path, trial: FrozenTrial) -> dict[str, Any]:
    run = trial_run(folder, trial)
    history = run.history() if run.history_file.is_file() else None
    return {
        "trial": trial.number,
        "state": _STATES[trial.state],
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "epochs": 0 if history is None else len(history),
        "seconds": 0.0 if history is None else float(history["seconds"].sum()),
        **trial.params,
        "reason": trial.user_attrs.get("reason", ""),
    }


def _trials_table(found: TuningResult) -> TextTable:
    searched = [name for name in found.trials if name not in ("trial", "state", "value", "epochs", "seconds", "reason")]
    rows = [
        (
            f"{row['trial']}" + (" (winner)" if row["trial"] == found.winner else ""),
            row["state"] + (f": {row['reason']}" if row["reason"] else ""),
            format_metric(row["value"]),
            str(row["epochs"]),
            f"{row['seconds']:.0f}",
            *(_short(row[name]) for name in searched),
        )
        for row in found.trials.to_dict("records")
    ]
    head = ("trial", "", found.metric.replace("_", " "), "epochs", "seconds", *map(str, searched))
    return TextTable("Trials", head, rows, "Trial 0 is the experiment as it was; it is never cut short.")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(study: optuna.Study, plan: SearchPlan, trials: pd.DataFrame) -> tuple[dict[str, bytes], str]:
    """Pictures by what they show, and why one is missing."""
    metric = plan.metric.replace("_", " ")
    drawn = {"Every trial, and the best so far.": history_plot(trials, metric, plan.lower_is_better)}
    missing = ""
    if trials["value"].notna().sum() > 1:
        drawn["Settings and what came of them, a line a finished trial."] = parallel_plot(trials, plan.space, metric)
        try:
            importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
            drawn["How much of the differences between trials goes with each setting (fANOVA)."] = importance_plot(
                importances
            )
        except (RuntimeError, ValueError) as error:
            missing = f"There is no picture of importance: {error}"
    return {title: figure_png(picture) for title, picture in drawn.items()}, missing
