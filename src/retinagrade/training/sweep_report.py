"""Runs side by side: one table, one picture, one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.errors import ExperimentError
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.report.plots import comparison_plot, figure_png
from retinagrade.files import write_bytes, write_json, write_text
from retinagrade.pages.page import render_page
from retinagrade.provenance import provenance_record
from retinagrade.runs.run import Run
from retinagrade.runs.run_predictions import read_run_predictions

FIGURES: Final = (
    "quadratic_weighted_kappa",
    "referable_auc",
    "macro_auc",
    "accuracy",
    "majority_baseline",
    "balanced_accuracy",
)
"""What runs are compared by, of the validation photographs."""


def finished_runs(folder: Path) -> list[Run]:
    """The finished trainings directly in a folder, by name; not ensembles, nor what was validated on nothing."""
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [run for run in map(Run, folders) if run.record_file.is_file() and not run.is_ensemble]
    finished = [run for run in runs if run.record().get("status") == "finished"]
    return [run for run in finished if run.predictions_file("val").is_file()]


def sweep_table(runs: list[Run]) -> pd.DataFrame:
    """One row a run, the highest quadratic weighted kappa first.

    Args:
        runs: Finished runs.

    Returns:
        Columns ``run``, ``experiment``, ``total`` and ``trainable`` parameters, ``epochs``, ``best_epoch`` (counted
        from 1), ``seconds`` of training, ``photographs`` of the validation split, the figures of :data:`FIGURES`,
        ``findings`` of the integrity checks, ``weights`` that the run started from, and ``data`` (digest of the
        manifest).

    Raises:
        ExperimentError: There is nothing to compare.
    """
    if not runs:
        raise ExperimentError("no finished run to compare")
    rows = []
    for run in runs:
        record = run.record()
        known = read_run_predictions(run.predictions_file("val"))
        evaluation = evaluate_predictions(known.table, findings=known.findings, resamples=0)
        start = record.get("start", {})
        rows.append(
            {
                "run": run.folder.name,
                "experiment": record["experiment"],
                **record["parameters"],
                "epochs": record["epochs"],
                "best_epoch": int(record["best"]["epoch"]) + 1,
                "seconds": record["training_seconds"],
                "photographs": evaluation.photographs,
                **{name: evaluation.metrics[name] for name in FIGURES},
                "findings": len(evaluation.findings),
                "weights": start.get("weights") or start.get("run", ""),
                "data": record["data"]["manifest_sha256"][:8],
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("quadratic_weighted_kappa", ascending=False, na_position="last", ignore_index=True)


def write_sweep_report(folder: Path, failures: Mapping[str, str] | None = None) -> Path:
    """Compares the finished runs in a folder: ``comparison.csv``, ``.png``, ``.html`` and ``.run.json`` there.

    Args:
        folder: The folder of the runs' folders.
        failures: Experiments that failed, and why, to be named on the page.

    Returns:
        The page.

    Raises:
        ExperimentError: There is no finished run.
    """
    table = sweep_table(finished_runs(folder))
    picture = figure_png(comparison_plot(table))
    write_text(folder / "comparison.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_bytes(folder / "comparison.png", picture)
    write_json(folder / "comparison.run.json", provenance_record())
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    page = render_page(
        "training/sweep_report.html.j2",
        title=f"{len(table)} runs in {folder.resolve().name}",
        rows=rows,
        several_sets=len(set(table["data"])) > 1,
        failures=failures or {},
        picture=picture,
    )
    write_text(folder / "comparison.html", page)
    return folder / "comparison.html"
