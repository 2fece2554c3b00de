"""Tables that ``grade`` wrote are predictions: joined by id, whatever the id, and with every ungraded row named."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook

from retinagrade.errors import JoinError, ManifestError
from retinagrade.grader.grade import grade
from retinagrade.gradings.table import SUFFIXES
from retinagrade.images.read import read_photograph
from retinagrade.runs.evaluate import evaluate
from retinagrade.runs.predictions import Predictions

NAMES = ("=1+1", "+cmd", "-x", "@y", "7_left")


@pytest.fixture(scope="module")
def photographs(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs whose names are formulas, one that can't be read, and one that is too dark."""
    folder = tmp_path_factory.mktemp("formulas")
    for name, source in zip(NAMES, sorted(eyes.iterdir()), strict=False):
        shutil.copy(source, folder / f"{name}.jpg")
    (folder / "bad.jpg").write_bytes(b"text")
    cv2.imwrite(str(folder / "dark.png"), read_photograph(sorted(eyes.iterdir())[0]) // 8)
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_without_a_grade_are_counted_and_named(
    photographs: Path, grader_file: Path, tmp_path: Path, suffix: str
) -> None:
    out, labels = tmp_path / f"r{suffix}", tmp_path / "labels.csv"
    results = grade(photographs, model=grader_file, out=out)
    ids = [each.image_id for each in results]
    pd.DataFrame({"image_id": ids, "grade": np.arange(len(ids)) % 5}).to_csv(labels, index=False)
    predictions = Predictions.read(out, grades=labels)
    assert set(predictions.table["image_id"]) == {each.image_id for each in results.graded}
    by_id = predictions.table.set_index("image_id")
    for each in results.graded:
        assert by_id.loc[each.image_id, "p2"] == (each.probabilities or ())[2]
    (finding,) = [each for each in predictions.findings if each.code == "without-grade"]
    assert f"{len(results) - len(results.graded)} of {len(results)} photographs" in finding.message
    assert "bad (" in finding.message
    assert "dark (ungradable: " in finding.message
    evaluation = evaluate(predictions, resamples=0)
    assert evaluation.photographs == len(results.graded)
    decisions = evaluation.decisions
    assert decisions is not None
    assert (decisions.photographs, decisions.refused, decisions.errors) == (len(ids), 2, 1)
    labels.write_text("image_id,grade\n=1+1,1\n")
    with pytest.raises(JoinError, match="predictions without a grade"):
        Predictions.read(out, grades=labels)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_changed_results_are_not_evaluated(photographs: Path, grader_file: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"r{suffix}"
    grade(photographs, model=grader_file, out=out)
    table = _read(out)
    table["grade"] = [1, *[0] * (len(table) - 1)]
    _write(table, out)
    assert Predictions.read(out).table["grade"].sum() == 1  # a further column is welcome
    table["image_id"] = table["image_id"][::-1].tolist()
    _write(table, out)
    with pytest.raises(ManifestError, match="a cell was changed"):
        Predictions.read(out)


def _read(file: Path) -> pd.DataFrame:
    if file.suffix == ".csv":
        return pd.read_csv(file)
    if file.suffix == ".xlsx":
        head, *rows = load_workbook(file).worksheets[0].values
        return pd.DataFrame(rows, columns=head, dtype=object)
    return pd.read_json(file, lines=True) if file.suffix == ".jsonl" else pd.read_parquet(file)


def _write(table: pd.DataFrame, file: Path) -> None:
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    elif file.suffix == ".xlsx":
        book = load_workbook(file)
        for number, name in enumerate(table, start=1):
            for line, value in enumerate([name, *table[name]], start=1):
                book.worksheets[0].cell(line, number).value = value
        book.save(file)
    elif file.suffix == ".jsonl":
        table.to_json(file, orient="records", lines=True, double_precision=15, date_format="iso")
    else:
        table.to_parquet(file)


def test_no_cell_is_a_formula_in_a_spreadsheet(photographs: Path, grader_file: Path, tmp_path: Path) -> None:
    out, studies = tmp_path / "r.csv", tmp_path / "s.csv"
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,patient_id\n{photographs / '7_left.jpg'},=2*3\n")
    first = grade(photographs, listed=listed, model=grader_file, out=out, studies=studies)
    for table in (out, studies):
        cells = [cell for row in csv.reader(table.open(encoding="utf-8")) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    again = grade(photographs, listed=listed, model=grader_file, out=out)
    assert [each.image_id for each in again] == [each.image_id for each in first]
    assert set(NAMES) <= {each.image_id for each in again.taken_over}
