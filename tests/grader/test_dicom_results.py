"""Results in DICOM, read back with pydicom and highdicom, and checked against the standard with ``dciodvfy``."""

from __future__ import annotations

import json
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from highdicom.sr import EnhancedSR, MeasurementReport, MeasurementsAndQualitativeEvaluations, srread
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from retinagrade import Grader, grade
from retinagrade.errors import ImageError
from retinagrade.gate.names import ADVICE, Level, describe_reason
from retinagrade.grader import dicom_codes
from retinagrade.grader.batch import SideOutputs, grade_files, write_reports
from retinagrade.grader.dicom_source import NOTICE
from retinagrade.grader.fhir_files import write_fhir
from retinagrade.grader.inputs import find_photographs
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.grader.secondary_capture import secondary_capture
from retinagrade.grader.structured_report import structured_report
from retinagrade.grades import Grade
from retinagrade.gradings.grading import SEVERAL_PATIENTS, Grading
from retinagrade.gradings.studies import grade_studies
from retinagrade.images.read import read_photograph
from tests.grader.ophthalmic import SECRETS, write_ophthalmic
from tests.programs import require_program

EXPECTED_WARNING = "Unrecognized defined term <99RETINAGRADE>"
"""The validator knows no private scheme; it gives no other warning."""


def validate(path: Path) -> list[str]:
    """Returns the findings of the validator, except the warnings about the private scheme."""
    validator = require_program("dciodvfy", "dicom3tools")
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
    return [line for line in lines if EXPECTED_WARNING not in line]


@pytest.fixture(scope="module")
def photographs(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both eyes of one study, and of another study one eye and a photograph that is much too dark."""
    folder = tmp_path_factory.mktemp("dicom") / "photographs"
    pixels = [read_photograph(path) for path in sorted(eyes.iterdir())[:4]]
    write_ophthalmic(folder / "1.dcm", pixels[0], "L")
    write_ophthalmic(folder / "2.dcm", pixels[1], "R", InstanceNumber=2)
    write_ophthalmic(folder / "3.dcm", pixels[2], "L", study="2", PatientOrientation=None, BurnedInAnnotation=None)
    write_ophthalmic(folder / "4.dcm", pixels[3] // 12, "R", study="2")
    return folder


@pytest.fixture(scope="module")
def results(photographs: Path, grader_file: Path) -> tuple[list[Grading], Path]:
    out = photographs.parent / "results"
    gradings, failures = grade_folder(grader_file, photographs, out)
    assert failures == []
    return gradings, out


def grade_folder(grader_file: Path, photographs: Path, out: Path) -> tuple[list[Grading], list[str]]:
    """Grades a folder, writes DICOM results to another one, and returns gradings and failures."""
    grader, outputs = Grader.load(grader_file), SideOutputs(dicom=out)
    gradings = grade_files(grader.stream, find_photographs([str(photographs)]).photographs, outputs)
    write_reports(gradings, grader.metadata, outputs)
    return gradings, outputs.failures


def test_results_are_valid_and_equal_the_gradings(results: tuple[list[Grading], Path], photographs: Path) -> None:
    gradings, out = results
    assert validate(photographs / "1.dcm") == [
        "Warning - Attribute is not present in standard DICOM IOD - (0x0010,0x1040) LO Patient's Address ",
        "Warning - Attribute is not present in standard DICOM IOD - (0x0010,0x2154) SH Patient's Telephone Numbers ",
        "Warning - Dicom dataset contains attributes not present in standard DICOM IOD - this is a Standard Extended "
        "SOP Class",
    ]
    files = sorted(out.rglob("*.dcm"))
    assert [path.name.partition("-")[0] for path in files] == [
        "report.dcm",
        "saliency",
        "saliency",
        "report.dcm",
        "saliency",
    ]
    for path in files:
        assert validate(path) == [], path
    first = dcmread(photographs / "1.dcm")
    report = read(out / first.StudyInstanceUID / "report.dcm")
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    study, *eyes = groups(report)
    worse = max(each.predicted_grade for each in gradings[:2] if each.predicted_grade is not None)
    assert evaluation(study, dicom_codes.ICDR) == [dicom_codes.GRADES[Grade(worse)]]
    assert study.finding_sites[0].laterality == codes.SCT.RightAndLeft
    assert len(eyes) == 2
    for group, grading, side, name in zip(
        eyes, gradings[:2], (codes.SCT.Left, codes.SCT.Right), ("1.dcm", "2.dcm"), strict=True
    ):
        assert grading.predicted_grade is not None
        assert evaluation(group, dicom_codes.ICDR) == [dicom_codes.GRADES[Grade(grading.predicted_grade)]]
        assert evaluation(group, dicom_codes.IN_SET) == [
            dicom_codes.GRADES[Grade(each)] for each in grading.prediction_set or ()
        ]
        assert evaluation(group, dicom_codes.REFERABLE) == [codes.SCT.Yes if grading.referable else codes.SCT.No]
        assert group.finding_type == dicom_codes.DIABETIC_RETINOPATHY
        assert group.finding_sites[0].value == codes.SCT.Retina
        assert group.finding_sites[0].laterality == side
        assert group.source_images[0].referenced_sop_instance_uid == dcmread(photographs / name).SOPInstanceUID
        values = [group.get_measurements(code)[0].value for code in dicom_codes.PROBABILITIES]
        np.testing.assert_allclose(values, grading.probabilities or (), rtol=1e-5)
        assert group.get_measurements(dicom_codes.QUALITY)[0].value == pytest.approx(grading.quality, rel=1e-5)
    text = [item.TextValue for item in report.ContentSequence if item.ValueType == "TEXT"]
    assert NOTICE in text
    algorithm = [
        item.TextValue
        for item in study[0].ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning.startswith("Algorithm ")
    ]
    assert algorithm[:2] == ["by-colour", "0123456789ab"]


def read(path: Path) -> EnhancedSR:
    report = srread(path)
    assert isinstance(report, EnhancedSR)
    return report


def groups(report: EnhancedSR) -> list[MeasurementsAndQualitativeEvaluations]:
    assert isinstance(report.content, MeasurementReport)
    return list(report.content.get_image_measurement_groups())


def evaluation(group: MeasurementsAndQualitativeEvaluations, name: Code) -> list[Any]:
    return [each.value for each in group.get_qualitative_evaluations(name)]


def test_an_ungradable_photograph_is_reported(results: tuple[list[Grading], Path], photographs: Path) -> None:
    gradings, out = results
    assert gradings[3].gradable is False
    study = dcmread(photographs / "4.dcm").StudyInstanceUID
    report = read(out / study / "report.dcm")
    whole, left, right = groups(report)
    assert evaluation(right, dicom_codes.ICDR) == [dicom_codes.UNGRADABLE]
    assert evaluation(right, dicom_codes.QUALITY_REASON) == [
        dicom_codes.REASONS[each] for each in gradings[3].quality_reasons
    ]
    assert evaluation(right, dicom_codes.REFERABLE) == [codes.SCT.Undetermined]
    if not gradings[2].referable:
        assert evaluation(whole, dicom_codes.REFERABLE) == [codes.SCT.Undetermined]
    assert evaluation(whole, dicom_codes.REVIEW) == [codes.SCT.Yes]
    comments = " ".join(item.TextValue for item in report.ContentSequence if item.ValueType == "TEXT")
    assert "right eye ungradable" in comments
    assert evaluation(left, dicom_codes.ICDR) != [dicom_codes.UNGRADABLE]


def test_overlays_belong_to_the_study_of_their_photograph(
    results: tuple[list[Grading], Path], photographs: Path, grader_file: Path
) -> None:
    gradings, out = results
    source = dcmread(photographs / "2.dcm")
    capture = dcmread(out / source.StudyInstanceUID / f"saliency-{source.SOPInstanceUID}.dcm")
    (graded,) = Grader.load(grader_file).stream([photographs / "2.dcm"])
    assert graded.photograph is not None
    assert graded.saliency is not None
    assert np.array_equal(
        capture.pixel_array, saliency_overlay(graded.photograph, graded.saliency[gradings[1].predicted_grade or 0])
    )
    assert capture.StudyInstanceUID == source.StudyInstanceUID
    assert capture.SeriesInstanceUID != source.SeriesInstanceUID
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert capture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert (capture.Laterality, capture.BurnedInAnnotation, capture.PatientOrientation) == ("R", "NO", ["L", "F"])
    assert NOTICE in capture.ImageComments
    unsure = dcmread(photographs / "3.dcm")
    other = dcmread(out / unsure.StudyInstanceUID / f"saliency-{unsure.SOPInstanceUID}.dcm")
    assert other.BurnedInAnnotation == "YES"  # the header does not state it


def test_a_result_contains_only_the_mandatory_facts_about_a_patient(results: tuple[list[Grading], Path]) -> None:
    for path in results[1].rglob("*.dcm"):
        result = dcmread(path)
        assert str(result.PatientName) == "Müller^Änne"
        assert (result.PatientID, result.PatientBirthDate, result.PatientSex) == ("SECRET-7", "19600102", "F")
        assert (result.StudyDate, result.StudyID, result.AccessionNumber) == ("20260105", "S1", "A1")
        assert not any(secret.encode() in path.read_bytes() for secret in SECRETS.values())
        assert "photographs" not in str(result)  # file names may be names of patients


def test_equal_results_are_equal_objects(results: tuple[list[Grading], Path], grader_file: Path) -> None:
    gradings, out = results
    before = {path: path.read_bytes() for path in out.rglob("*.dcm")}
    metadata = Grader.load(grader_file).metadata
    write_reports(gradings, metadata, SideOutputs(dicom=out))
    assert {path: path.read_bytes() for path in out.rglob("*.dcm")} == before
    other = [replace(gradings[0], predicted_grade=4), gradings[1]]
    (study,) = grade_studies(other)
    old, new = (next(p for p in before if p.name == "report.dcm"), structured_report(study, other, metadata))
    assert new.SOPInstanceUID != dcmread(old).SOPInstanceUID


def test_invalid_headers_allow_a_report_and_leak_no_name(
    eyes: Path, tmp_path: Path, grader_file: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pixels = read_photograph(sorted(eyes.iterdir())[0])
    odd: dict[str, Any] = {
        "PatientName": "SECRET NAME",
        "PatientSex": "X",
        "PatientID": None,
        "StudyTime": None,
        "InstanceNumber": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of the date
        path = write_ophthalmic(tmp_path / "in" / "1.dcm", pixels, None, PatientBirthDate="SECRET", **odd)
    capfd.readouterr()
    caplog.clear()
    assert grade_folder(grader_file, path, tmp_path / "out")[1] == []
    printed = capfd.readouterr()
    assert "SECRET" not in printed.out + printed.err + caplog.text
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert not [line for line in validate(path) if line.startswith("Error")]  # it warns of the invalid name
        assert (dcmread(path).PatientSex, dcmread(path).PatientBirthDate) == ("", "")


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_study_of_two_patients_gets_no_report(eyes: Path, tmp_path: Path, grader_file: Path) -> None:
    pixels = [read_photograph(path) for path in sorted(eyes.iterdir())[:2]]
    write_ophthalmic(tmp_path / "in" / "1.dcm", pixels[0], "L", PatientID="A")
    write_ophthalmic(tmp_path / "in" / "2.dcm", pixels[1], "R", InstanceNumber=2, PatientID="B")
    out = tmp_path / "out"
    results = grade([tmp_path / "in"], model=grader_file, studies=out / "s.csv", dicom=out / "d", fhir=out / "f")
    assert any("PatientID" in failure for failure in results.failures)
    assert results.needs_attention
    assert results.mixed is not None
    assert dcmread(tmp_path / "in" / "1.dcm").StudyInstanceUID in results.mixed
    assert all(each.needs_review and SEVERAL_PATIENTS in each.review_reasons for each in results.graded)
    (study,) = results.studies
    assert study.predicted_grade is None
    assert not [*out.rglob("report.dcm")]
    (bundle,) = (json.loads(path.read_text()) for path in (out / "f").iterdir())
    assert not [each for each in bundle["entry"] if "subject" in each["resource"]]
    assert (out / "s.csv").read_text().count("PatientID") == 1


def test_a_list_that_names_the_patient_overrules_the_headers(eyes: Path, tmp_path: Path, grader_file: Path) -> None:
    pixels = [read_photograph(path) for path in sorted(eyes.iterdir())[:2]]
    write_ophthalmic(tmp_path / "1.dcm", pixels[0], "L", PatientID="A")
    write_ophthalmic(tmp_path / "2.dcm", pixels[1], "R", InstanceNumber=2, PatientID="0A")
    (tmp_path / "list.csv").write_text("path,patient_id\n1.dcm,a\n2.dcm,a\n")
    results = grade(listed=tmp_path / "list.csv", model=grader_file, studies=tmp_path / "s.csv")
    (study,) = results.studies
    assert study.study == "a"
    assert study.predicted_grade is not None


def test_the_report_of_one_eye_names_that_eye(eyes: Path, tmp_path: Path, grader_file: Path) -> None:
    write_ophthalmic(tmp_path / "in" / "1.dcm", read_photograph(sorted(eyes.iterdir())[0]), "R")
    grade_folder(grader_file, tmp_path / "in", tmp_path / "out")
    (report,) = (tmp_path / "out").rglob("report.dcm")
    assert groups(read(report))[0].finding_sites[0].laterality == codes.SCT.Right
    assert validate(report) == []


@pytest.mark.parametrize("element", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_invalid_uid_allows_no_report(eyes: Path, tmp_path: Path, grader_file: Path, element: str) -> None:
    pixels = read_photograph(sorted(eyes.iterdir())[0])
    no_uid: dict[str, Any] = {element: None}
    write_ophthalmic(tmp_path / "in" / "1.dcm", pixels, "L", **no_uid)
    write_ophthalmic(tmp_path / "in" / "2.dcm", pixels, "L", study="2", **{element: "../../../2"})
    write_ophthalmic(tmp_path / "in" / "3.dcm", pixels, "L", study="3")
    gradings, failures = grade_folder(grader_file, tmp_path / "in", tmp_path / "out")
    assert [each.error for each in gradings] == [None] * 3
    assert sorted(line.partition(":")[0] for line in failures) == ["no report"] * 2 + ["no saliency overlay"] * 2
    assert all(f"its {element} is missing or invalid" in line for line in failures)
    assert len(list((tmp_path / "out").rglob("report.dcm"))) == 1


def test_a_result_is_never_graded_as_a_photograph(results: tuple[list[Grading], Path]) -> None:
    for path in results[1].rglob("*.dcm"):
        with pytest.raises(ImageError, match="a result of retinagrade"):
            read_photograph(path)


def test_every_quality_reason_has_a_code() -> None:
    assert set(map(describe_reason, ADVICE)) == set(dicom_codes.REASONS)
    assert set(get_args(Level)) == set(dicom_codes.QUALITY_LEVELS)


def test_codes_have_the_lengths_of_the_standard() -> None:
    private = [each for each in vars(dicom_codes).values() if isinstance(each, Code)] + [
        *dicom_codes.PROBABILITIES,
        *dicom_codes.REASONS.values(),
        *dicom_codes.QUALITY_LEVELS.values(),
        *dicom_codes.LESIONS.values(),
        *dicom_codes.OEDEMA_RISKS,
    ]
    assert all(len(each.value) <= 16 and len(each.meaning) <= 64 for each in private)
    assert len({each.value for each in private}) == len(private)


def test_the_documentation_lists_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "dicom.md").read_text(encoding="utf-8")
    cells = {cell for line in page.splitlines() for column in line.split("|")[2:3] for cell in column.split(",")}
    listed = {cell.strip() for cell in cells}
    named = [each for each in vars(dicom_codes).values() if isinstance(each, Code)]
    groups = (dicom_codes.GRADES, dicom_codes.REASONS, dicom_codes.QUALITY_LEVELS, dicom_codes.LESIONS)
    named += [code for group in groups for code in group.values()]
    for code in [*named, *dicom_codes.PROBABILITIES, *dicom_codes.OEDEMA_RISKS]:
        assert code.value in listed, code


def test_a_capture_without_laterality_is_a_series_of_its_own(photographs: Path, grader_file: Path) -> None:
    grading = Grader.load(grader_file).grade([photographs / "1.dcm"])[0]
    picture = np.zeros((64, 64, 3), np.uint8)
    captures: list[Dataset] = [
        secondary_capture(picture, replace(grading, laterality=side)) for side in ("L", "R", None)
    ]
    assert len({capture.SeriesInstanceUID for capture in captures}) == 3
    assert [capture.Laterality for capture in captures] == ["L", "R", ""]


def test_fhir_reports_have_the_patient_of_the_header(
    results: tuple[list[Grading], Path], photographs: Path, tmp_path: Path
) -> None:
    assert write_fhir(results[0], tmp_path) == []
    reports = sorted(tmp_path.iterdir())
    for path in reports:
        Bundle.model_validate_json(path.read_bytes())
    report = json.loads(reports[0].read_bytes())["entry"][1]["resource"]
    header = dcmread(photographs / "1.dcm")
    assert report["subject"]["identifier"]["value"] == header.PatientID
    assert report["imagingStudy"][0]["identifier"]["value"] in {
        f"urn:oid:{dcmread(photographs / name).StudyInstanceUID}" for name in ("1.dcm", "3.dcm")
    }
    assert not any(secret in path.read_text() for secret in SECRETS.values() for path in reports)
    before = reports[0].read_bytes()
    write_fhir(results[0], tmp_path)
    assert reports[0].read_bytes() == before
    reports[0].write_text("{}")
    assert "stays unchanged" in write_fhir([*results[0], Grading("x", None)], tmp_path)[1]
