from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinagrade.errors import ManifestError
from retinagrade.manifest import MANIFEST_COLUMNS, Manifest, read_csv_text


def read(tmp_path: Path, text: str) -> Manifest:
    path = tmp_path / "manifest.csv"
    path.write_bytes(text.encode())
    return Manifest.read(path)


def test_reads_what_spreadsheets_write(tmp_path: Path) -> None:
    manifest = read(
        tmp_path, "\ufeffimage_id, path ,grade,laterality,eye colour\r\n007,a.jpg,2.0,left,brown\r\n8,b.jpg,,R,\r\n\r\n"
    )
    table = manifest.table
    assert table["image_id"].tolist() == ["007", "8"]
    assert table["grade"].tolist() == [2, pd.NA]
    assert table["laterality"].tolist() == ["L", "R"]
    assert table["eye colour"].tolist() == ["brown", pd.NA]
    assert table.columns.tolist()[: len(MANIFEST_COLUMNS)] == list(MANIFEST_COLUMNS)
    assert manifest.file("a.jpg") == tmp_path / "a.jpg"
    assert len(manifest.graded()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,path,grade\na,a.jpg,5\n", "line 2, column 'grade': '5' is not a grade 0 to 4"),
        ("image_id,path,grade\na,a.jpg,1\nb,b.jpg,1.5\n", "line 3, column 'grade': '1.5'"),
        ("image_id,path,grade\na,a.jpg,mild\n", "line 2, column 'grade': 'mild'"),
        ("image_id,path\na,a.jpg\na,b.jpg\n", "line 3, column 'image_id': 'a' is already in row 1"),
        ("image_id,path\na,a.jpg\nb,a.jpg\n", "line 3, column 'path': 'a.jpg' is already in row 1"),
        ("image_id,path\n,a.jpg\n", "line 2, column 'image_id': is empty"),
        ("image_id,path\na,\n", "line 2, column 'path': is empty"),
        ("image_id,path\n\na,a.jpg\nb,\n", "line 4, column 'path': is empty"),
        ("image_id,path,laterality\na,a.jpg,X\n", "line 2, column 'laterality': 'X' is neither L nor R"),
        (
            "image_id,path\na,a.jpg\nA,b.jpg\n",
            "line 3, column 'image_id': 'A' and 'a' (the same letters, upper and lower case) are one file",
        ),
        ("image_id,path\nb//a,a.jpg\n", "line 2, column 'image_id': 'b//a' can't be a file name"),
        ("image_id,path\nCon.1,a.jpg\n", "line 2, column 'image_id': 'Con.1' can't be a file name"),
        ("image_id,path\n../a,a.jpg\n", "line 2, column 'image_id': '../a' can't be a file name"),
        ("image_id,path\n/etc/a,a.jpg\n", "can't be a file name"),
        ("id,path\na,a.jpg\n", "line 1: no column 'image_id'; found 'id', 'path'"),
        ("image_id,path\n", "has no rows"),
        ("", "the file is empty"),
        ("image_id,path\na,b,c,d\n", "not a readable CSV"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ManifestError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert str(tmp_path / "manifest.csv") in str(error.value)


def test_a_person_sees_counts_and_the_first_rows(tmp_path: Path) -> None:
    manifest = read(
        tmp_path, "image_id,path,grade,patient_id,split\n1&2,a.jpg,0,p,train\nb,b.jpg,2,p,val\nc,c.jpg,,q,\n"
    )
    shown = repr(manifest)
    for part in ("3 photographs", "1 none, 0 mild, 1 moderate", "1 train, 1 val", "without a grade: 1", "patients: 2"):
        assert part in shown
    html = manifest._repr_html_()
    assert "1&amp;2" in html
    assert "laterality" not in html
    assert "1 moderate" in html


def test_many_problems_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{index},{index}.jpg,9\n" for index in range(30))
    with pytest.raises(ManifestError, match="and 20 more"):
        read(tmp_path, f"image_id,path,grade\n{rows}")


def test_a_missing_file_and_a_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        Manifest.read(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes("image_id,path\né,a\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="not a readable CSV"):
        read_csv_text(tmp_path / "latin.csv")


def test_splits(tmp_path: Path) -> None:
    manifest = read(tmp_path, "image_id,path,split\na,a.jpg,train\nb,b.jpg,val\n")
    assert manifest.split("val").table["image_id"].tolist() == ["b"]
    with pytest.raises(ManifestError, match="'test': it has train, val"):
        manifest.split("test")
    with pytest.raises(ManifestError, match="retinagrade split"):
        read(tmp_path, "image_id,path\na,a.jpg\n").split("val")


@given(
    st.lists(
        st.tuples(st.text("abcé0-_ ", min_size=1).map(str.strip).filter(bool), st.integers(0, 4) | st.none()),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_write_and_read_give_the_same_table(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    ids, grades = zip(*rows, strict=True)
    table = pd.DataFrame({"image_id": ids, "path": ids, "grade": grades})
    written = Manifest.from_table(table, folder, "table")
    written.write(folder / "manifest.csv")
    pd.testing.assert_frame_equal(Manifest.read(folder / "manifest.csv").table, written.table)
