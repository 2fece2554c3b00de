"""The result of a search: its trials, the best one, and whether it is better than the unchanged experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.paired import Difference, paired_differences
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.evaluation.report.tables import interval_text
from retinagrade.experiments.experiment import Experiment, override_settings
from retinagrade.pages.page import format_metric
from retinagrade.provenance import Provenance
from retinagrade.runs.predictions import Predictions
from retinagrade.training.tuning.search import SearchPlan, trial_run

_STATES: Final = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class TrialRecord(BaseModel):
    """A trial of a search. Its value of each searched setting stands under the name of the setting.

    Attributes:
        trial: Its number; 0 is the unchanged experiment.
        state: What became of it.
        value: The metric of the validation photographs; ``None`` where the trial isn't finished.
        epochs: Number of epochs that were trained.
        seconds: Duration of their training, in seconds.
        reason: Reason of a failure; empty without one.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    trial: int
    state: Literal["finished", "stopped early", "failed", "running", "waiting"]
    value: float | None
    epochs: int
    seconds: float
    reason: str

    @model_serializer(mode="wrap")
    def _reason_last(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Puts the settings before the reason, as in ``trials.csv``."""
        row: dict[str, Any] = serialise(self)
        reason = row.pop("reason")
        return {**row, "reason": reason}


class WinnerRecord(BaseModel):
    """The best trial.

    Attributes:
        trial: Its number; 0 is the unchanged experiment.
        settings: Its values of the searched settings, as ``section.key=value``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: int
    settings: tuple[str, ...]


class TuningSummary(BaseModel):
    """The result of a search, for programs.

    Attributes:
        metric: Name of the metric of the validation photographs that was optimised.
        winner: The best trial.
        difference: The metric of the winner (``first``) less that of the unchanged experiment (``second``); ``None``
            where the unchanged experiment is the winner.
        trials: All trials, by number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    winner: WinnerRecord
    difference: Difference | None
    trials: tuple[TrialRecord, ...]


class TuningRecord(Provenance, TuningSummary):
    """``tuning.json``: the result of a search, and how it was made."""


@dataclass(frozen=True, repr=False)
class TuningResult:
    """The result of a search.

    Attributes:
        folder: Folder of the search.
        metric: The metric of the validation photographs that was optimised.
        trials: One row for each trial: columns ``trial``, ``state``, ``value``, ``epochs``, ``seconds`` of training,
            the settings that were searched, and ``reason`` of a failure.
        winner: Number of the best trial; 0 is the unchanged experiment.
        settings: The winner's values of the searched settings, as ``section.key=value``.
        experiment: The winner as an experiment.
        difference: The winner's metric less that of the unchanged experiment; ``None`` where that is the winner.
    """

    folder: Path
    metric: str
    trials: pd.DataFrame
    winner: int
    settings: list[str]
    experiment: Experiment
    difference: Difference | None

    @property
    def report(self) -> Path:
        """The report, ``report.html``."""
        return self.folder / "report.html"

    @property
    def winner_file(self) -> Path:
        """The winner as an experiment, ready to train: ``winner.yaml``."""
        return self.folder / "winner.yaml"

    def __repr__(self) -> str:
        """Returns the verdict, and the number of trials by state."""
        states = ", ".join(f"{count} {state}" for state, count in self.trials["state"].value_counts().items())
        return f"Search in {self.folder}: {states}\n  {self.verdict()}"

    def _repr_html_(self) -> str:
        """Returns the table of trials, for notebooks."""
        return self.trials.to_html(index=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the result for programs: the content of ``tuning.json`` without its provenance."""
        rows = self.trials.astype(object).where(self.trials.notna(), None).to_dict("records")
        summary = TuningSummary(
            metric=self.metric,
            winner=WinnerRecord(trial=self.winner, settings=tuple(self.settings)),
            difference=self.difference,
            trials=tuple(TrialRecord.model_validate(row) for row in rows),
        )
        return summary.model_dump(mode="json")

    def verdict(self) -> str:
        """Returns in one or two sentences whether the winner is better than the unchanged experiment."""
        count = len(self.trials)
        if self.difference is None:
            return f"None of {count} trials is better than the unchanged experiment."
        difference = self.difference
        assert difference.difference is not None
        winner, unchanged = format_metric(difference.first), format_metric(difference.second)
        text = (
            f"Trial {self.winner} of {count} has a {self.metric.replace('_', ' ')} of {winner}, the unchanged "
            f"experiment has {unchanged}: a difference of {difference.difference:+.3f}"
        )
        if difference.interval is None:
            return f"{text} without an interval ({difference.reason})."
        text += f", 95 % interval {interval_text(difference.interval)}."
        if difference.interval.low <= 0 <= difference.interval.high:
            return f"{text} These photographs don't show that it is better."
        return (
            f"{text} The interval covers the sampling of photographs, but neither the randomness of training nor the "
            f"choice of the best of {count} trials: cross-validate both experiments (retinagrade train --folds 5) "
            "before you rely on it."
        )


def summarise_search(study: optuna.Study, plan: SearchPlan, folder: Path) -> TuningResult:
    """Summarises the trials of a search.

    Args:
        study: Optuna's study.
        plan: The plan of the search.
        folder: The folder of the search.

    Raises:
        ExperimentError: The unchanged experiment has not finished yet: nothing can be compared with it.
    """
    trials = study.get_trials(deepcopy=False)
    if not trials or trials[0].state != TrialState.COMPLETE:
        raise ExperimentError(
            f"{folder}: the first trial, the unchanged experiment, has not finished yet: repeat the command"
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
    first, winner = (graded_predictions(trial_predictions(folder, trial)) for trial in (trials[0], best))
    return TuningResult(
        folder,
        plan.metric,
        pd.DataFrame([_row(folder, trial) for trial in trials]),
        best.number,
        settings,
        tuned,
        None if best.number == 0 else paired_differences(winner, first, (plan.metric,))[plan.metric],
    )


def trial_predictions(folder: Path, trial: FrozenTrial) -> pd.DataFrame:
    """Reads a trial's validation predictions, with the patients for the intervals."""
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
