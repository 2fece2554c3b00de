"""Writers of small data sets in the official trees of public releases, with their names of files and columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openpyxl import Workbook

from tests.datasets.layouts import write_photograph

DEEPDRID_HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact"
)
EVALUATION = "Online-Challenge1&2-Evaluation"
MESSIDOR1_HEADER = "Image name,Ophthalmologic department,Retinopathy grade,Risk of macular edema"


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Writes a text file with Unix line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def write_photographs(folder: Path, names: Iterable[str]) -> None:
    """Writes photographs by file name, each in a different colour."""
    for number, name in enumerate(names):
        write_photograph(folder / name, number)


def write_eyepacs(
    root: Path,
    train: Mapping[str, int],
    test: Mapping[str, tuple[int, str]] | None = None,
    flat: bool = False,
    solution: str = "retinopathy_solution.csv",
) -> Path:
    """Writes EyePACS (Kaggle 2015): grades by name, such as ``10_left``, and the column Usage in the test half."""
    if train:
        write_lines(root / "trainLabels.csv", ["image,level", *(f"{name},{grade}" for name, grade in train.items())])
        write_photographs(root if flat else root / "train", (f"{name}.jpeg" for name in train))
    if test:
        rows = (f"{name},{grade},{usage}" for name, (grade, usage) in test.items())
        write_lines(root / solution, ["image,level,Usage", *rows])
        write_photographs(root if flat else root / "test", (f"{name}.jpeg" for name in test))
    return root


def write_aptos(root: Path, train: Mapping[str, int], test: Iterable[str] = ()) -> Path:
    """Writes APTOS 2019; its test half has no grades."""
    write_lines(root / "train.csv", ["id_code,diagnosis", *(f"{name},{grade}" for name, grade in train.items())])
    write_photographs(root / "train_images", (f"{name}.png" for name in train))
    if names := list(test):
        write_lines(root / "test.csv", ["id_code", *names])
        write_photographs(root / "test_images", (f"{name}.png" for name in names))
    return root


def write_messidor2(
    root: Path, grades: Mapping[str, str], folder: str = "IMAGES", pairs: Iterable[tuple[str, str]] = ()
) -> Path:
    """Writes Messidor-2 and its adjudicated grades; files end in ``.JPG`` where the table has ``.jpg``."""
    rows = (f"{name},{grade},{'0' if grade else ''},{1 if grade else 0}" for name, grade in grades.items())
    write_lines(
        root / "messidor_data.csv", ["image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable", *rows]
    )
    write_photographs(root / folder, (name.replace(".jpg", ".JPG") for name in grades))
    if eyes := list(pairs):
        write_lines(root / "messidor-2.csv", ["left;right ", *(";".join(pair) for pair in eyes)])
    return root


def write_messidor1(root: Path) -> Path:
    """Writes one of Messidor-1's twelve parts; its annotations are an old Excel file that no test reads."""
    write_photograph(root / "20051019_38557_0100_PP.tif")
    (root / "Annotation_Base11.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    return root


def write_ddr(root: Path, splits: Mapping[str, Mapping[str, int]]) -> Path:
    """Writes DDR's part on grading: ``train``, ``valid`` and ``test`` with lists of names and grades 0 to 5."""
    for split, grades in splits.items():
        write_lines(root / "DR_grading" / f"{split}.txt", (f"{name} {grade}" for name, grade in grades.items()))
        write_photographs(root / "DR_grading" / split, grades)
    return root


def write_deepdrid(
    root: Path, halves: Mapping[str, Mapping[str, str]], evaluation: Mapping[str, int] | None = None
) -> Path:
    """Writes DeepDRiD's regular photographs from cells ``quality,left,right``, and the evaluation's workbook."""
    part = root / "regular_fundus_images"
    for half, rows in halves.items():
        name = f"regular-fundus-{half}"
        lines = [DEEPDRID_HEADER]
        for image_id, cells in rows.items():
            patient = image_id.partition("_")[0]
            lines.append(f"{patient},{image_id},\\{name}\\{patient}\\{image_id}.jpg,{cells},4,8,8,4")
            write_photograph(part / name / "Images" / patient / f"{image_id}.jpg", len(lines))
        write_lines(part / name / f"{name}.csv", lines)
    if evaluation:
        folder = part / EVALUATION
        write_lines(folder / "Challenge1_upload.csv", ["image_id,DR_Level", *(f"{name}," for name in evaluation)])
        write_sheet(folder / "Challenge1_labels.xlsx", [("image_id", "DR_Levels"), *evaluation.items()])
        for number, name in enumerate(evaluation):
            write_photograph(folder / "Images" / name.partition("_")[0] / f"{name}.jpg", number)
    return root


def write_sheet(path: Path, rows: Iterable[tuple[str, str | int]]) -> Path:
    """Writes an Excel workbook."""
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook = Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)
    return path


def retinamnist_arrays(splits: Mapping[str, Iterable[int]], size: int = 28) -> dict[str, NDArray[np.uint8]]:
    """Makes the arrays of RetinaMNIST, with noise as photographs."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, grades in splits.items():
        labels = np.array(list(grades), np.uint8)[:, None]
        arrays[f"{split}_images"] = rng.integers(0, 256, (len(labels), size, size, 3), np.uint8)
        arrays[f"{split}_labels"] = labels
    return arrays


def write_retinamnist(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Writes MedMNIST's archive, compressed like the official one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path
