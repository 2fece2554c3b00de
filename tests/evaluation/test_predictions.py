from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation.integrity.checks import check_rows
from retinagrade.evaluation.predictions import (
    PREDICTION_COLUMNS,
    find_ungraded,
    graded_predictions,
    join_grades,
    read_grades,
    read_prediction_rows,
    read_predictions,
    tidy_predictions,
    write_predictions,
)
from tests.evaluation.tables import predictions, some_grades


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "predictions.csv").write_text(text)
    return read_predictions(tmp_path / "predictions.csv")


HEADER = "image_id,p0,p1,p2,p3,p4"


def test_no_digit_is_lost_and_rows_are_sorted(tmp_path: Path) -> None:
    table = predictions(some_grades(50), skill=1)
    table.loc[3, "grade"] = pd.NA
    write_predictions(table.sample(frac=1, random_state=0).assign(extra=1), tmp_path / "a.csv")
    again = read_predictions(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again[list(PREDICTION_COLUMNS)], table, check_exact=True)
    assert again.columns.tolist() == [*PREDICTION_COLUMNS, "line"]


def test_grades_and_other_columns_may_be_missing_or_there(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,grade,{HEADER}\nx,3.0,007,0.2,0.2,0.2,0.2,0.2\nx,,b,1,0,0,0,0\n")
    assert table["image_id"].tolist() == ["007", "b"]
    assert table["grade"].tolist() == [3, pd.NA]
    assert table["model"].tolist() == ["x", "x"]
    assert read(tmp_path, f"{HEADER}\na,1,0,0,0,0\n")["grade"].isna().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER}\n,1,0,0,0,0\n", "line 2, column image_id: is empty"),
        (f"{HEADER}\na,1.2,0,0,0,0\n", "line 2, column p0: '1.2' is not a probability"),
        (f"{HEADER}\na,1,0,x,0,0\n", "line 2, column p2: 'x' is not a probability"),
        (f"{HEADER}\na,1,0,,0,0\n", "line 2, column p2: '' is not a probability"),
        (f"{HEADER}\na,nan,0,0,0,1\n", "column p0: 'nan' is not a probability"),
        (f"{HEADER}\na,0,0,0,0,0\n", "line 2, column p0 … p4: are all 0"),
        (f"{HEADER}\na,inf,0,0,0,0\n", "column p0: 'inf' is not a probability"),
        (f"{HEADER}\na,-1.2,3,0,0,1\nb,4,0,1,1,-2\n", "logits): apply softmax first"),
        (f"{HEADER}\na,90,10,0,0,0\nb,0,0,50,49.9,0\n", "percentages: divide them by 100"),
        (f"{HEADER}\na,-.1,-4,-4,-4,-4\nb,-4,-.1,-4,-4,-4\n", "logits): apply softmax first"),
        (f"{HEADER}\na,-.1,-3.7,-3.7,-3.7,-3.7\nb,-3.7,-.1,-3.7,-3.7,-3.7\n", "logarithms of probabilities: apply exp"),
        (f"{HEADER},grade\na,1,0,0,0,0,1\nb,0,0,0,0,1,5\n", "counted from 1: subtract 1"),
        ("", "the file is empty"),
        (f"{HEADER},grade\na,1,0,0,0,0,5\n", "line 2, column grade: '5' is not a grade 0 to 4"),
        ("image_id,p0,p1\na,1,0\n", "no column 'p2', 'p3', 'p4'"),
        (f"{HEADER}\n", "no rows"),
    ],
)
def test_errors_name_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert "predictions.csv" in str(error.value)


def test_join_is_by_id_whatever_the_order() -> None:
    table = predictions(some_grades(80), skill=2)
    grades = table[["image_id", "grade"]].sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(join_grades(table.drop(columns="grade"), grades), table)
    other = grades.assign(grade=(grades["grade"] + 1) % 5)
    joined = join_grades(table, other)
    assert (joined["grade"] == (table["grade"] + 1) % 5).all(), "the given table wins over the predictions' own"


def test_ids_that_do_not_match_are_errors() -> None:
    table = predictions(some_grades(8), skill=2)
    grades = table[["image_id", "grade"]]
    with pytest.raises(JoinError, match=r"grades without a prediction \(2: i00000, i00001\)"):
        join_grades(table.iloc[2:], grades)
    with pytest.raises(JoinError, match=r"predictions without a grade \(1: i00007\)"):
        join_grades(table, grades.iloc[:-1])
    with pytest.raises(JoinError, match=r"grades name photographs twice \(1: i00000\)"):
        join_grades(table, pd.concat([grades, grades.head(1)]))
    forms = [table.replace("i00000", name) for name in ("é", "e\u0301")]
    with pytest.raises(JoinError, match="another Unicode form"):
        join_grades(forms[0], forms[1][["image_id", "grade"]])
    with pytest.raises(JoinError, match=r"predictions name photographs twice \(8: .*…"):
        join_grades(pd.concat([table, table]), grades)


def test_read_grades(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("image_id,path,grade\n01,x,2\n2,y,\n")
    table = read_grades(tmp_path / "g.csv")
    assert table["image_id"].tolist() == ["01", "2"]
    assert table["grade"].tolist() == [2, pd.NA]
    (tmp_path / "g.csv").write_text("image_id,label\n01,2\n")
    with pytest.raises(ManifestError, match="no column 'grade'; found 'image_id', 'label'"):
        read_grades(tmp_path / "g.csv")
    (tmp_path / "g.csv").write_text("image_id,grade\n01,mild\n01,2\n")
    with pytest.raises(ManifestError, match=r"line 2, column grade: 'mild'(.|\n)*line 3, column image_id"):
        read_grades(tmp_path / "g.csv")


def test_graded_photographs_are_arrays_that_know_whose_they_are() -> None:
    table = predictions(np.array([2, 0, 1, 4]), skill=2)
    table["patient_id"] = ["x", None, "x", "i00001"]
    table.loc[2, "grade"] = pd.NA
    known = graded_predictions(table.sample(frac=1, random_state=0))
    assert known.image_ids.tolist() == ["i00000", "i00001", "i00003"]
    assert known.grades.tolist() == [2, 0, 4]
    assert len(set(known.patients)) == 3  # a patient named like a photograph is nobody's photograph
    table.loc[[0, 1, 3], "patient_id"] = ["x", "y", "x"]
    assert graded_predictions(table).patients.tolist() == [0, 1, 0]
    assert len(set(graded_predictions(table.drop(columns="patient_id")).patients)) == 3


def test_rows_know_their_line_and_further_columns_are_text(tmp_path: Path) -> None:
    table = read(tmp_path, f"patient_id,line,{HEADER}\n 007 ,x,b,1,0,0,0,0\n,y,a,0,1,0,0,0\n")
    assert table["image_id"].tolist() == ["a", "b"]
    assert table["line"].tolist() == [3, 2]  # ours, whatever the file calls so
    assert table["patient_id"].tolist() == [pd.NA, "007"]


def test_a_photograph_counts_once_and_with_a_sum_of_1(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"{HEADER}\nb,.5,.3,0,0,0\na,1,0,0,0,0\nb,0,0,0,0,1\nc,.334,.333,.34,0,0\n")
    rows = read_prediction_rows(tmp_path / "p.csv")
    assert rows["image_id"].tolist() == ["b", "a", "b", "c"]
    table = tidy_predictions(rows)
    assert table["image_id"].tolist() == ["a", "b", "c"]
    assert table.loc[1, "p0"] == 0.5 / 0.8  # the first of two rows
    assert table.loc[2, "p0"] == 0.334  # rounding stays as it is
    pd.testing.assert_frame_equal(tidy_predictions(table), table)


def test_further_columns_of_grades_come_along(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("patient_id,grade,image_id,p0\nx,2,b,9\n,0,a,9\n")
    table = read(tmp_path, f"{HEADER}\na,1,0,0,0,0\nb,0,0,1,0,0\n")
    joined = join_grades(table, read_grades(tmp_path / "g.csv"))
    assert joined["patient_id"].tolist() == [pd.NA, "x"]
    assert joined["grades_line"].tolist() == [3, 2]
    assert joined["p0"].tolist() == [1, 0]


RESULTS = f"{HEADER},predicted_grade,quality_reasons,study,error\n"


def test_rows_of_results_without_a_grade_are_named(tmp_path: Path) -> None:
    rows_of = RESULTS + 'a,1,0,0,0,0,0,,s,\nb,.2,.2,.2,.2,.2,,"dark, blurred",s,\nc,,,,,,,,,corrupt\n'
    (tmp_path / "r.csv").write_text(rows_of)
    rows = read_prediction_rows(tmp_path / "r.csv")
    assert find_ungraded(rows)["no_grade"].tolist() == ["ungradable: dark, blurred", "corrupt"]
    assert read_predictions(tmp_path / "r.csv")["image_id"].tolist() == ["a"]
    assert read_predictions(tmp_path / "r.csv")["patient_id"].tolist() == ["s"]
    (finding,) = check_rows(rows)
    assert finding.code == "without-grade"
    assert "2 of 3 photographs" in finding.message
    assert "c (corrupt)" in finding.message
    (tmp_path / "r.csv").write_text(RESULTS + "a,,,,,,0,,s,\n")  # a grade without probabilities
    with pytest.raises(ManifestError, match="line 2, column p0"):
        read_predictions(tmp_path / "r.csv")


def test_numbers_may_have_a_decimal_comma(tmp_path: Path) -> None:
    table = read(tmp_path, f"{HEADER.replace(',', ';')};grade\na;0,5;0,25;0,25;0;0;2,0\n")
    assert table[list(PREDICTION_COLUMNS[1:])].iloc[0].tolist() == [0.5, 0.25, 0.25, 0, 0, 2]


def test_formulas_are_ids_in_a_file(tmp_path: Path) -> None:
    table = predictions(np.array([1, 2]), skill=1).assign(image_id=["=1+1", "-x"])
    write_predictions(table, tmp_path / "p.csv")
    assert "\n'=1+1," in (tmp_path / "p.csv").read_text()
    assert read_predictions(tmp_path / "p.csv")["image_id"].tolist() == ["-x", "=1+1"]
    (tmp_path / "g.csv").write_text("image_id,grade\n=1+1,1\n'-x,2\n")
    assert join_grades(table, read_grades(tmp_path / "g.csv"))["grade"].tolist() == [2, 1]


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "one sorted column": lambda table: table.assign(image_id=sorted(table["image_id"], reverse=True)),
    "an edited grade": lambda table: table.assign(grade=[(int(table["grade"][0]) + 1) % 5, *table["grade"][1:]]),
    "two exchanged probabilities": lambda table: table.assign(p0=table["p1"], p1=table["p0"]),
    "a rounded probability": lambda table: table.assign(p0=table["p0"].astype(float).round(2).astype(str)),
    "a row without its check": lambda table: table.assign(check=["", *table["check"][1:]]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_of_our_own_table_is_refused(tmp_path: Path, change: str) -> None:
    file = tmp_path / "val.csv"
    write_predictions(predictions(some_grades(12), skill=1), file)
    CHANGES[change](pd.read_csv(file, dtype=str)).to_csv(file, index=False)
    with pytest.raises(ManifestError, match=rf"{file.name}, line \d+: the row of"):
        read_predictions(file)


def test_our_own_table_is_read_exactly_after_a_spreadsheet(tmp_path: Path) -> None:
    file, saved = tmp_path / "val.csv", tmp_path / "saved.csv"
    write_predictions(predictions(some_grades(12), skill=1), file)
    table = pd.read_csv(file)
    for column in ("p0", "p1", "p2", "p3", "p4"):
        table[column] = table[column].round(9)  # as many as a cell shows
    table = table.sample(frac=1, random_state=0).assign(remark="seen")
    table.to_csv(saved, index=False, sep=";", decimal=",", encoding="utf-16")
    ours, theirs = read_predictions(file), read_predictions(saved)
    numbers = list(PREDICTION_COLUMNS[1:])
    assert theirs["image_id"].tolist() == ours["image_id"].tolist()
    assert theirs[numbers].to_numpy(float) == pytest.approx(ours[numbers].to_numpy(float), abs=1e-9)


def test_all_changed_rows_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    write_predictions(predictions(some_grades(8), skill=2), file)
    table = pd.read_csv(file)
    table.assign(grade=[*table["grade"][:6], *(table["grade"][6:] + 1) % 5]).to_csv(file, index=False)
    with pytest.raises(ManifestError, match=r"line 8: .*2 rows were changed \(line 8, line 9\)"):
        read_prediction_rows(file)


def test_a_table_in_the_folder_of_a_run_has_checks(tmp_path: Path) -> None:
    file = tmp_path / "predictions" / "val.csv"
    table = predictions(some_grades(6), skill=1)
    file.parent.mkdir()
    table.assign(check="ok").to_csv(file, index=False)
    assert len(read_predictions(file)) == 6  # a table of another program, with a column of the same name
    (tmp_path / "run.json").write_text("{}")
    table.to_csv(file, index=False)
    with pytest.raises(ManifestError, match="no column 'check'"):
        read_predictions(file)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_table_may_be_json_lines_or_parquet(tmp_path: Path, suffix: str) -> None:
    table, path = predictions(some_grades(6), skill=1), tmp_path / f"p{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True, double_precision=15)
    numbers = list(PREDICTION_COLUMNS[1:])
    expected = table[numbers].to_numpy(dtype=float)
    assert read_predictions(path)[numbers].to_numpy(dtype=float) == pytest.approx(expected, abs=1e-12)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ManifestError, match=path.name):
        read_predictions(path)
    with pytest.raises(ManifestError, match="absent"):
        read_predictions(tmp_path / f"absent{suffix}")


def test_risks_of_macular_oedema_are_0_to_2(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("image_id,grade,oedema_risk\na,0,\nb,2,2\nc,3,9\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"line 4.*oedema_risk"):
        read_grades(tmp_path / "g.csv")
