"""Does `evaluate` accuse honest tables of `retinagrade grade`? The figures of docs/evaluation.md.

python benchmarks/own_output.py LABELS.csv RESULTS.csv [RESULTS.csv …]

Each table is checked in six layouts: as written, sorted by columns that `grade` computes, at random, and with the
labels sorted by grade. All of them stand beside the right photographs, so every accusation is a false one. Labels may
name more photographs than a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import pandas as pd

from retinagrade.evaluation.integrity.findings import Verdict
from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from retinagrade.evaluation.predictions import graded_predictions
from retinagrade.runs.predictions import Predictions

ACCUSATIONS: Final[tuple[Verdict, ...]] = ("impossible", "misaligned", "chance")
SEED: Final = 0
LAYOUTS: Final[dict[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "as written": lambda rows: rows,
    "by expected_grade": lambda rows: rows.sort_values("expected_grade", kind="stable"),
    "by confidence": lambda rows: rows.sort_values("confidence", kind="stable"),
    "by predicted_grade": lambda rows: rows.sort_values("predicted_grade", kind="stable"),
    "at random": lambda rows: rows.sample(frac=1, random_state=SEED),
}
"""Orders of the rows of a table; the labels of the sixth layout are sorted by grade instead."""


def main() -> None:
    """Prints a row for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    arguments = parser.parse_args()
    labels = pd.read_csv(arguments.labels, dtype=str)
    print("| table | photographs | graded | QWK | accused layouts | findings |\n|---|---|---|---|---|---|")
    for file in arguments.results:
        print(_row(file, labels), flush=True)
    print(f"{date.today():%d %B %Y}, seed {SEED}")


def _row(file: Path, labels: pd.DataFrame) -> str:
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    if "check" in rows:
        Predictions.read(file, grades=_of(rows, labels))  # which refuses changed rows
        rows = rows.drop(columns="check")
    found: dict[str, list[str]] = {}
    predictions = None
    for name, arrange in {**LAYOUTS, "labels by grade": LAYOUTS["as written"]}.items():
        own = _of(rows, labels)
        grades = own.sort_values("grade", kind="stable") if name == "labels by grade" else own
        predictions = Predictions.read(arrange(rows), grades=grades)
        found[name] = [each.code for each in predictions.findings if each.verdict in ACCUSATIONS]
    assert predictions is not None
    graded = graded_predictions(predictions.table)
    kappa = quadratic_weighted_kappa(confusion_matrix(graded.grades, graded.predicted))
    accused = [name for name, codes in found.items() if codes]
    codes = sorted({code for each in found.values() for code in each})
    return (
        f"| {file.stem} | {len(rows)} | {len(graded)} | {kappa:.2f} | {len(accused)} of {len(found)} | "
        f"{', '.join(codes) or 'none'} |"
    )


def _of(rows: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Returns the labels of the photographs of a table."""
    return labels[labels["image_id"].isin(rows["image_id"])]


if __name__ == "__main__":
    main()
