from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retinagrade.errors import JoinError, ManifestError
from retinagrade.evaluation.predictions import graded, join, read_grades, read_predictions, write_predictions
from tests.evaluation.tables import predictions, some_grades


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "predictions.csv").write_text(text)
    return read_predictions(tmp_path / "predictions.csv")


HEADER = "image_id,p0,p1,p2,p3,p4"


def test_no_digit_is_lost_and_rows_are_sorted(tmp_path: Path) -> None:
    table = predictions(some_grades(50), skill=1)
    table.loc[3, "grade"] = pd.NA
    write_predictions(table.sample(frac=1, random_state=0).assign(extra=1), tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "a.csv"), table, check_exact=True)


def test_grades_and_other_columns_may_be_missing_or_there(tmp_path: Path) -> None:
    table = read(tmp_path, f"model,grade,{HEADER}\nx,3.0,007,0.2,0.2,0.2,0.2,0.2\nx,,b,1,0,0,0,0\n")
    assert table["image_id"].tolist() == ["007", "b"]
    assert table["grade"].tolist() == [3, pd.NA]
    assert read(tmp_path, f"{HEADER}\na,1,0,0,0,0\n")["grade"].isna().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER}\na,1,0,0,0,0\na,1,0,0,0,0\n", "line 3, column image_id: 'a' is repeated"),
        (f"{HEADER}\n,1,0,0,0,0\n", "line 2, column image_id: is empty"),
        (f"{HEADER}\na,1.2,0,0,0,0\n", "line 2, column p0: '1.2' is not a probability"),
        (f"{HEADER}\na,1,0,x,0,0\n", "line 2, column p2: 'x' is not a probability"),
        (f"{HEADER}\na,1,0,,0,0\n", "line 2, column p2: '' is not a probability"),
        (f"{HEADER}\na,nan,0,0,0,1\n", "column p0: 'nan' is not a probability"),
        (f"{HEADER}\na,0.5,0,0,0,0\n", "sum to 0.500, not 1"),
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
    pd.testing.assert_frame_equal(join(table.drop(columns="grade"), grades), table)
    other = grades.assign(grade=(grades["grade"] + 1) % 5)
    joined = join(table, other)
    assert (joined["grade"] == (table["grade"] + 1) % 5).all(), "the given table wins over the predictions' own"


def test_ids_that_do_not_match_are_errors() -> None:
    table = predictions(some_grades(8), skill=2)
    grades = table[["image_id", "grade"]]
    with pytest.raises(JoinError, match=r"grades without a prediction \(2: i00000, i00001\)"):
        join(table.iloc[2:], grades)
    with pytest.raises(JoinError, match=r"predictions without a grade \(1: i00007\)"):
        join(table, grades.iloc[:-1])
    with pytest.raises(JoinError, match=r"grades name photographs twice \(1: i00000\)"):
        join(table, pd.concat([grades, grades.head(1)]))
    with pytest.raises(JoinError, match=r"predictions name photographs twice \(8: .*…"):
        join(pd.concat([table, table]), grades)


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
    known = graded(table.sample(frac=1, random_state=0))
    assert known.image_ids.tolist() == ["i00000", "i00001", "i00003"]
    assert known.grades.tolist() == [2, 0, 4]
    assert len(set(known.patients)) == 3  # a patient named like a photograph is nobody's photograph
    table.loc[[0, 1, 3], "patient_id"] = ["x", "y", "x"]
    assert graded(table).patients.tolist() == [0, 1, 0]
    assert len(set(graded(table.drop(columns="patient_id")).patients)) == 3
