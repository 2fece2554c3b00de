"""The comparison of several runs: a table, a picture and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.report.plots import comparison_plot, figure_png
from retinagrade.pages.page import render_page
from retinagrade.provenance import provenance_record
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.predictions import Predictions
from retinagrade.runs.run import Run
from retinagrade.storage.files import write_bytes, write_json, write_text
from retinagrade.storage.output_guard import Output

_NAME: Final = "comparison"
METRICS: Final = (
    "quadratic_weighted_kappa",
    "referable_auc",
    "macro_auc",
    "accuracy",
    "majority_baseline",
    "balanced_accuracy",
)
"""Metrics of the validation photographs in the comparison."""


def finished_runs(folder: Path) -> list[Run | CrossValidation]:
    """Lists the finished runs and cross-validations in a folder, by name.

    Ensembles, and trainings without validation photographs to grade, are left out.
    """
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    return [one for one in map(_training, folders) if one is not None and _predictions_file(one).is_file()]


def _training(folder: Path) -> Run | CrossValidation | None:
    """Returns the finished training of a network in a folder; ``None`` where there is none."""
    run, folds = Run(folder), CrossValidation(folder)
    if folds.is_finished:
        return folds
    return run if run.experiment_file.is_file() and run.has_network and run.is_finished else None


def _predictions_file(training: Run | CrossValidation) -> Path:
    return training.predictions_file if isinstance(training, CrossValidation) else training.predictions_file("val")


def sweep_table(runs: Sequence[Run | CrossValidation]) -> pd.DataFrame:
    """Makes a table of runs, the highest quadratic weighted kappa first.

    Args:
        runs: Finished runs and cross-validations.

    Returns:
        One row for each run, with columns ``run``, ``experiment``, ``total`` and ``trainable`` parameters, ``epochs``,
        ``best_epoch`` (counted from 1), ``seconds`` of training, ``photographs`` of the validation split, the metrics
        of :data:`METRICS`, ``findings`` of the integrity checks, ``weights`` that the run started from, ``data``
        (digest of its manifest), and ``folds``. The metrics of a cross-validation are those of its out-of-fold
        predictions; ``qwk_sd`` is the standard deviation of the folds' kappas. Its epochs are means over the folds,
        its seconds are their sum.

    Raises:
        ExperimentError: ``runs`` is empty.
    """
    if not runs:
        raise ExperimentError("no finished run to compare")
    rows = []
    for run in runs:
        folds = run.runs() if isinstance(run, CrossValidation) else [run]
        records = [fold.finished_record() for fold in folds]
        over_folds = run.finished_record().over_folds.get("val_qwk") if isinstance(run, CrossValidation) else None
        record = records[0]
        predictions = Predictions.read(_predictions_file(run))
        evaluation = evaluate_predictions(predictions.table, findings=predictions.findings, resamples=0)
        rows.append(
            {
                "run": run.folder.name,
                "experiment": record.experiment,
                **dict(record.parameters),
                "epochs": round(mean(each.epochs for each in records)),
                "best_epoch": round(mean(each.kept.epoch + 1 for each in records)),
                "seconds": sum(each.training_seconds for each in records),
                "photographs": evaluation.photographs,
                **{name: evaluation.metrics[name] for name in METRICS},
                "findings": len(evaluation.findings),
                "weights": record.start.get("weights") or record.start.get("run", ""),
                "data": record.data.manifest_sha256[:8],
                "folds": len(folds) if isinstance(run, CrossValidation) else None,
                "qwk_sd": None if over_folds is None else over_folds.sd,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("quadratic_weighted_kappa", ascending=False, na_position="last", ignore_index=True)


def report_outputs(folder: Path) -> list[Output]:
    """Returns the outputs of :func:`write_sweep_report`, which follow the runs in the folder."""
    record = folder / f"{_NAME}.run.json"
    return [Output(folder / f"{_NAME}.{suffix}", False, record.is_file) for suffix in ("csv", "png", "html")]


def write_sweep_report(folder: Path, failures: Mapping[str, str] | None = None) -> Path:
    """Compares the finished runs in a folder, and writes ``comparison.csv``, ``.png``, ``.html`` and ``.run.json``.

    Args:
        folder: The folder of the runs' folders.
        failures: Reasons of the experiments that failed, by name, for the page.

    Returns:
        The page.

    Raises:
        ExperimentError: No run in the folder is finished.
    """
    table = sweep_table(finished_runs(folder))
    picture = figure_png(comparison_plot(table))
    write_json(folder / f"{_NAME}.run.json", provenance_record())
    write_text(folder / f"{_NAME}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_bytes(folder / f"{_NAME}.png", picture)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    page = render_page(
        "training/sweep_report.html.j2",
        title=f"{len(table)} runs in {folder.resolve().name}",
        rows=rows,
        several_sets=len(set(table["data"])) > 1,
        failures=failures or {},
        picture=picture,
    )
    write_text(folder / f"{_NAME}.html", page)
    return folder / f"{_NAME}.html"
