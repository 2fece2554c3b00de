"""The report of a search: its trials, the comparison of the best one with the unchanged experiment, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from retinagrade.evaluation.comparison import compare_predictions, comparison_tables
from retinagrade.evaluation.report.plots import figure_png
from retinagrade.evaluation.report.tables import TextTable
from retinagrade.pages.page import format_metric, render_page
from retinagrade.provenance import provenance_record
from retinagrade.storage.files import write_json, write_text
from retinagrade.training.tuning.plots import importance_plot, parallel_plot, trials_plot
from retinagrade.training.tuning.result import TuningRecord, TuningResult, summarise_search, trial_predictions
from retinagrade.training.tuning.search import SearchPlan, trial_run

_TRIAL_COLUMNS: Final = ("trial", "state", "value", "epochs", "seconds", "reason")
"""Columns of the table of trials that are no settings."""


def write_tuning_report(study: optuna.Study, plan: SearchPlan, folder: Path) -> TuningResult:
    """Writes ``report.html``, ``trials.csv``, ``tuning.json``, and ``winner.yaml``, which is ready to train.

    Args:
        study: Optuna's study.
        plan: The plan of the search.
        folder: The folder of the search.

    Raises:
        ExperimentError: As for :func:`~retinagrade.training.tuning.result.summarise_search`.
    """
    result = summarise_search(study, plan, folder)
    tables = [_trials_table(result)]
    if result.difference is not None:
        compared = {
            trial_run(folder, trial).folder.name: trial_predictions(folder, trial)
            for trial in (study.get_trials(deepcopy=False)[0], study.best_trial)
        }
        tables = comparison_tables(compare_predictions(compared)) + tables
    pictures, missing = _pictures(study, plan, result.trials)
    page = render_page(
        "training/tuning/report.html.j2",
        title=f"{plan.experiment.name}, tuned",
        result=result,
        tables=tables,
        pictures=pictures,
        missing=missing,
        winner=result.experiment.to_yaml(),
    )
    write_text(result.winner_file, result.experiment.to_yaml())
    write_text(folder / "trials.csv", result.trials.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    record = TuningRecord.model_validate({**result.to_json(), **provenance_record()})
    write_json(folder / "tuning.json", record.model_dump(mode="json"))
    write_text(result.report, page)
    return result


def _trials_table(result: TuningResult) -> TextTable:
    settings = [name for name in result.trials if name not in _TRIAL_COLUMNS]
    rows = [
        (
            f"{row['trial']}" + (" (winner)" if row["trial"] == result.winner else ""),
            row["state"] + (f": {row['reason']}" if row["reason"] else ""),
            format_metric(row["value"]),
            str(row["epochs"]),
            f"{row['seconds']:.0f}",
            *(_short(row[name]) for name in settings),
        )
        for row in result.trials.to_dict("records")
    ]
    head = ("trial", "", result.metric.replace("_", " "), "epochs", "seconds", *map(str, settings))
    return TextTable("Trials", head, rows, "Trial 0 is the unchanged experiment; it is never stopped early.")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(study: optuna.Study, plan: SearchPlan, trials: pd.DataFrame) -> tuple[dict[str, bytes], str]:
    """Draws the pictures, by caption, and returns the reason for a missing one."""
    metric = plan.metric.replace("_", " ")
    figures = {"Each trial, and the best so far.": trials_plot(trials, metric, plan.lower_is_better)}
    missing = ""
    if trials["value"].notna().sum() > 1:
        caption = "The settings and the metric of the finished trials, one line for each trial."
        figures[caption] = parallel_plot(trials, plan.space, metric)
        try:
            importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
            caption = "The share of each setting in the differences between trials (fANOVA)."
            figures[caption] = importance_plot(importances)
        except (RuntimeError, ValueError) as error:
            missing = f"There is no picture of importance: {error}"
    return {caption: figure_png(figure) for caption, figure in figures.items()}, missing
