"""Study and laterality: from the DICOM header alone, else from an unambiguous file name."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from retinagrade.grader.eyes import EyeIdentity, identify_eye
from retinagrade.grader.inputs import find_photographs
from tests.grader.ophthalmic import write_ophthalmic
from tests.images.dicom_files import write_dicom
from tests.images.encoded_files import encoded, gradient

PIXELS = gradient(60, 90)


def test_a_name_is_one_name_however_its_accents_are_stored(tmp_path: Path) -> None:
    together, apart = unicodedata.normalize("NFC", "Müller_left"), unicodedata.normalize("NFD", "Müller_right")
    for name in (together, apart):
        (tmp_path / f"{name}.jpg").write_bytes(encoded(PIXELS, "JPEG"))
    left, right = sorted(find_photographs([str(tmp_path)]).photographs, key=lambda each: each.image_id)
    assert (left.image_id, right.image_id) == ("Müller_left", "Müller_right")
    eyes = [identify_eye(Path(each.path)) for each in (left, right)]
    assert eyes[0].study == eyes[1].study
    assert [eye.laterality for eye in eyes] == ["L", "R"]


@pytest.mark.parametrize(
    ("name", "patient", "side"),
    [
        ("10_left", "10", "L"),
        ("10_right", "10", "R"),
        ("a_b_LEFT", "a_b", "L"),
        ("7_l1", "7", "L"),
        ("7_r2", "7", "R"),
        ("P1_OD", "P1", "R"),
        ("P1_os", "P1", "L"),
        ("P2-L", "P2", "L"),
        ("P3 OS", "P3", "L"),
        ("P3 - od", "P3", "R"),
        ("P.4.Right", "P.4", "R"),
        ("10_l", "10", "L"),
    ],
)
def test_names_that_end_in_the_eye_identify_it(tmp_path: Path, name: str, patient: str, side: str) -> None:
    assert identify_eye(tmp_path / f"{name}.jpg") == EyeIdentity((tmp_path / patient).as_posix(), side)


@pytest.mark.parametrize(
    "name", ["left", "_left", "OD", "- L", "x_l1", "IDRiD_001", "0a09aa7356c0", "left_10", "bishop", "10L", "P1_OD_2"]
)
def test_other_names_identify_nothing(tmp_path: Path, name: str) -> None:
    assert identify_eye(tmp_path / f"{name}.jpg") == EyeIdentity()


def test_the_header_counts_and_the_name_does_not(tmp_path: Path) -> None:
    left = identify_eye(write_ophthalmic(tmp_path / "1_right.dcm", PIXELS, "L"))
    assert left.laterality == "L"
    assert left.study is not None
    assert identify_eye(write_ophthalmic(tmp_path / "2_left", PIXELS, None)) == EyeIdentity(
        left.study, None, left.patient
    )  # the header names both eyes
    other = identify_eye(write_ophthalmic(tmp_path / "3.dcm", PIXELS, "R", study="2"))
    assert other.study != left.study
    patient = identify_eye(write_dicom(tmp_path / "4.dcm", PIXELS.tobytes(), (60, 90), Laterality="R"))
    assert patient.laterality == "R"
    assert patient.study is not None
    assert "SECRET" not in patient.study
    (tmp_path / "5_left.dcm").write_bytes(bytes(128) + b"DICM" + bytes(50))
    assert identify_eye(tmp_path / "5_left.dcm") == EyeIdentity()
