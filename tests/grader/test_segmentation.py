"""Outlined lesions in DICOM, read back with highdicom, and checked against the standard with ``dciodvfy``."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from highdicom.seg import Segmentation, segread
from highdicom.sr import EnhancedSR, MeasurementReport, srread
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import JPEGBaseline8Bit

import retinagrade
from retinagrade.grader import dicom_codes
from retinagrade.grader.grading_results import GradingResults
from tests.grader.lesion_graders import KINDS, draw_photograph, write_lesion_grader
from tests.grader.ophthalmic import SECRETS, write_ophthalmic
from tests.programs import require_program

SIDE = 320


@pytest.fixture(scope="module")
def lesion_grader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesion_grader(tmp_path_factory.mktemp("grader") / "lesions.onnx", SIDE)


def validate(path: Path) -> list[str]:
    """Returns the findings of the validator, except the warnings about the private scheme."""
    validator = require_program("dciodvfy", "dicom3tools")
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
    return [line for line in lines if "Unrecognized defined term <99RETINAGRADE>" not in line]


def grade(photographs: Path, model: Path) -> tuple[GradingResults, Path]:
    out = photographs.parent / "out"
    return retinagrade.grade(photographs, model=model, dicom=out), out


def compress(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Gives a DICOM file a JPEG transfer syntax."""
    photograph = dcmread(path)
    photograph.PixelData = encapsulate([simplejpeg.encode_jpeg(pixels, 98, colorsubsampling="444")])
    photograph["PixelData"].VR = "OB"
    photograph.PhotometricInterpretation = "YBR_FULL"
    photograph.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    photograph.save_as(path, enforce_file_format=True)


def segments(image: Segmentation) -> dict[str, NDArray[np.bool_]]:
    """Returns the pixels of each segment by its label."""
    source = image.get_source_image_uids()[0][2]
    pixels = image.get_pixels_by_source_instance([source], ignore_spatial_locations=True)[0]
    labels = [image.get_segment_description(number).segment_label for number in image.segment_numbers]
    return {label.replace(" ", "_"): pixels[..., index] > 0 for index, label in enumerate(labels)}


@pytest.mark.parametrize(
    ("width", "height", "compressed"),
    [(450, 356, False), (450, 356, True), (1500, 1000, True), (240, 180, False)],
)
def test_a_segment_lies_where_the_mark_is(
    width: int, height: int, compressed: bool, lesion_grader: Path, tmp_path: Path
) -> None:
    """The field of view has the side of the network's input, half of it, or more, and is decoded reduced or not."""
    picture, masks = draw_photograph(width, height)
    path = write_ophthalmic(tmp_path / "in" / "1.dcm", picture, "L")
    if compressed:
        compress(path, picture)
    results, out = grade(path.parent, lesion_grader)
    assert not results.failures
    (file,) = out.rglob("lesions-*.dcm")
    image = segread(file)
    assert (image.Rows, image.Columns) == (height, width)
    found = segments(image)
    assert list(found) == list(KINDS)
    for kind, mask in masks.items():
        middle, expected = (np.argwhere(pixels).mean(axis=0) for pixels in (found[kind], mask))
        np.testing.assert_allclose(middle, expected, atol=0.5)
        assert (found[kind] & mask).sum() > 0.94 * (found[kind] | mask).sum()
    assert not found["microaneurysms"].any()


def test_results_are_valid_and_refer_to_each_other(lesion_grader: Path, tmp_path: Path) -> None:
    pictures = [draw_photograph(450, 356)[0], draw_photograph(400, 356)[0]]
    write_ophthalmic(tmp_path / "in" / "1.dcm", pictures[0], "L")
    write_ophthalmic(tmp_path / "in" / "2.dcm", pictures[1], "R", InstanceNumber=2)
    results, out = grade(tmp_path / "in", lesion_grader)
    assert not results.failures
    files = sorted(out.rglob("*.dcm"))
    assert [path.name.partition("-")[0] for path in files] == ["lesions", "lesions", "report.dcm"]
    for path in files:
        assert validate(path) == [], path
        assert not any(secret.encode() in path.read_bytes() for secret in SECRETS.values())
    before = {path: path.read_bytes() for path in files}
    for path in files[:2]:
        path.unlink()
    grade(tmp_path / "in", lesion_grader)
    assert [dcmread(path).SOPInstanceUID for path in files] == [
        dcmread(BytesIO(content)).SOPInstanceUID for content in before.values()
    ]
    report = srread(files[2])
    assert isinstance(report, EnhancedSR)
    assert isinstance(report.content, MeasurementReport)
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    for grading, side, photograph in zip(results, (codes.SCT.Left, codes.SCT.Right), ("1.dcm", "2.dcm"), strict=True):
        source = dcmread(tmp_path / "in" / photograph)
        image = segread(out / source.StudyInstanceUID / f"lesions-{source.SOPInstanceUID}.dcm")
        assert {source.SOPInstanceUID, image.SOPInstanceUID} <= evidence
        assert image.get_source_image_uids() == [
            (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID)
        ]
        first = image.SegmentSequence[0]
        algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
        assert first.SegmentAlgorithmType == "AUTOMATIC"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lesions-by-colour", "0123456789ab")
        for number, kind in enumerate(KINDS[:4], start=1):
            code = dicom_codes.LESIONS[kind]
            assert image.get_segment_description(number).segmented_property_type == code
            (group,) = (
                each
                for each in report.content.get_image_measurement_groups(finding_type=code)
                if each.finding_sites[0].laterality == side
            )
            assert group.get_measurements(dicom_codes.LESION_COUNT)[0].value == getattr(grading, kind)
            area = group.get_measurements(dicom_codes.LESION_AREA)[0].value
            assert area == pytest.approx(100 * getattr(grading, f"{kind}_area"), rel=1e-5)
            images = [(each.referenced_sop_instance_uid, each.referenced_frame_numbers) for each in group.source_images]
            assert images == [(source.SOPInstanceUID, None), (image.SOPInstanceUID, [number])]
