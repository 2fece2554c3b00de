import sys
from pathlib import Path

import pandas as pd
import pytest

from retinagrade.datasets.readers.table import is_table, read_table
from retinagrade.errors import LayoutError, ManifestError, UsageError
from tests.datasets.layouts import write_photograph


def write_parquet(folder: Path, **columns: list[object]) -> Path:
    pytest.importorskip("pyarrow")
    write_photograph(folder / "eyes" / "a.jpg")
    write_photograph(folder / "eyes" / "b.jpg")
    table = pd.DataFrame({"image_id": [7, 8], "path": ["eyes/a.jpg", "eyes/b.jpg"], **columns})
    table.to_parquet(folder / "own.parquet")
    return folder / "own.parquet"


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, grade=[3.0, None], patient_id=[12, None], laterality=["left", None])
    table = read_table(path).table
    table.to_csv(tmp_path / "own.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "own.csv").table, table)
    assert table["image_id"].tolist() == ["7", "8"]
    assert table["patient_id"][0] == "12"
    assert table["grade"][0] == 3
    assert table["grade"].isna().tolist() == [False, True]
    assert is_table(path)


def test_errors_name_bad_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, grade=[3, 8])
    with pytest.raises(ManifestError, match=r"own\.parquet is not(.|\n)*line 2, column 'grade': '8'"):
        read_table(path)
    write_parquet(tmp_path)
    (tmp_path / "eyes" / "b.jpg").unlink()
    with pytest.raises(LayoutError, match=r"own\.parquet: photographs are missing \(1: .*b\.jpg\)"):
        read_table(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match=r"own\.parquet: not a readable Parquet table"):
        read_table(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"own\.parquet: reading Parquet needs pyarrow: pip .*\[parquet\]"):
        read_table(tmp_path / "own.parquet")
