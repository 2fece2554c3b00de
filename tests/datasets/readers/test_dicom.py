"""Folders of DICOM files: no file is lost, eyes of a patient stay together, and patients stay anonymous."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from retinagrade.cli import main
from retinagrade.datasets.readers.dicom import is_dicom_folder, read_dicom_folder
from retinagrade.errors import LayoutError
from tests.images.dicom_files import write_dicom


def write_eye(path: Path, patient: str = "SECRET-7", **elements: object) -> Path:
    pixels = np.random.default_rng(len(patient)).integers(0, 255, (20, 30, 3), np.uint8)
    return write_dicom(path, pixels.tobytes(), (20, 30), PatientID=patient, **elements)  # type: ignore[arg-type]


def test_a_folder_becomes_a_manifest(tmp_path: Path) -> None:
    write_eye(tmp_path / "visit 1" / "a.dcm", ImageLaterality="L")
    write_eye(tmp_path / "visit 1" / "b.DCM", Laterality="R")
    write_eye(tmp_path / "visit 2" / "c.dcm", patient="SECRET-8")
    manifest = read_dicom_folder(tmp_path)
    table = manifest.table.set_index("image_id")
    assert table.index.tolist() == ["visit 1/a", "visit 1/b", "visit 2/c"]
    assert table["path"].tolist() == ["visit 1/a.dcm", "visit 1/b.DCM", "visit 2/c.dcm"]
    assert table["laterality"].fillna("").tolist() == ["L", "R", ""]
    assert table["grade"].isna().all()
    assert (table["dataset"] == "dicom").all()
    keys = table["patient_id"].tolist()
    assert keys[0] == keys[1] != keys[2]
    assert "SECRET" not in manifest.table.to_csv()
    assert manifest.file(table["path"]["visit 1/a"]).is_file()


def test_names_may_be_uids_or_have_no_suffix(tmp_path: Path) -> None:
    for name in ("1.2.840.1", "1.2.840.2", "IM0001"):
        write_eye(tmp_path / name)
    assert read_dicom_folder(tmp_path).table["image_id"].tolist() == ["1.2.840.1", "1.2.840.2", "IM0001"]


def test_other_files_are_left_out_unless_their_suffix_is_dcm(tmp_path: Path) -> None:
    whole = write_eye(tmp_path / "a.dcm").read_bytes()
    for name in ("DICOMDIR", ".hidden.dcm", ".cache/b.dcm", "photograph.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(whole)
    for name in ("notes.txt", "README", "empty", "broken.dcm"):
        (tmp_path / name).write_bytes(b"text" if name != "empty" else b"")
    (tmp_path / "cut.dcm").write_bytes(whole[:400])
    table = read_dicom_folder(tmp_path).table.set_index("image_id")
    assert table.index.tolist() == ["a", "broken", "cut", "photograph.jpg"]
    assert table["patient_id"].notna()["a"]
    assert table["patient_id"].isna()["broken"]


def test_names_that_differ_in_suffix_only_are_refused(tmp_path: Path) -> None:
    write_eye(tmp_path / "a.dcm")
    write_eye(tmp_path / "a")
    with pytest.raises(LayoutError, match=r"differ in suffix or case only \(2: a, a\)"):
        read_dicom_folder(tmp_path)


def test_dicom_folders_are_detected(tmp_path: Path) -> None:
    assert not is_dicom_folder(tmp_path)
    assert not is_dicom_folder(tmp_path / "absent")
    (tmp_path / "a.dcm").write_bytes(b"text")
    assert not is_dicom_folder(tmp_path)
    write_eye(tmp_path / "deep" / "er" / "IM0001")
    assert is_dicom_folder(tmp_path)
    assert not is_dicom_folder(tmp_path / "deep" / "er" / "IM0001")
    (tmp_path / "none").mkdir()
    with pytest.raises(LayoutError, match="no DICOM files"):
        read_dicom_folder(tmp_path / "none")


def test_without_pydicom_the_command_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_eye(tmp_path / "a.dcm")
    (tmp_path / "manifest.csv").write_text("image_id,path\na,a.dcm\n")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert is_dicom_folder(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        read_dicom_folder(tmp_path)
    arguments = [
        "retinagrade",
        "prepare",
        str(tmp_path / "manifest.csv"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "needs pydicom" in (message := capsys.readouterr().err)
    assert "pip install 'retinagrade[dicom]'" in message
