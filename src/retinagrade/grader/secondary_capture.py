"""Overlays as DICOM Secondary Captures, in the study of their photograph: saliency maps, or outlines of lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade import __version__
from retinagrade.grader.dicom_source import LONG, NOTICE, read_source_elements, silence_patient_names
from retinagrade.gradings.grading import Grading, describe_grade
from retinagrade.images.dicom import MAKER
from retinagrade.storage.paths import to_path


@dataclass(frozen=True)
class _Overlay:
    """A kind of overlay.

    Attributes:
        word: Word in UIDs.
        title: Description of its series.
        series: Series numbers by laterality, which is a property of a series.
        derivation: What was drawn; ``{grade}`` stands for the grade.
        comment: What it means.
    """

    word: str
    title: str
    series: dict[str | None, int]
    derivation: str
    comment: str


_SALIENCY: Final = _Overlay(
    "saliency",
    "retinagrade: saliency maps (research)",
    {None: 9001, "L": 9002, "R": 9003},
    "Grad-CAM saliency map of {grade}, over the photograph as the network saw it",
    "Regions that the score of this grade is sensitive to; no explanation.",
)
_OUTLINES: Final = _Overlay(
    "outlines",
    "retinagrade: outlines of lesions (research)",
    {None: 9007, "L": 9008, "R": 9009},
    "Outlines of lesions, over the photograph as the network saw it",
    "Lesions that the program counted.",
)


def secondary_capture(overlay: NDArray[np.uint8], grading: Grading) -> SCImage:
    """Makes a Secondary Capture of the saliency overlay of a DICOM photograph; equal overlays have equal UIDs.

    The overlay adds nothing but colours. The header of the photograph states whether a name is burned into its pixels;
    a header that does not state it counts as "yes".

    Args:
        overlay: RGB pixels (S, S, 3), uint8.
        grading: Grading of the photograph; it has a grade.

    Raises:
        ImageError: The header of the photograph can't be read, or lacks a UID that the overlay must refer to.
    """
    return _capture(overlay, grading, _SALIENCY)


def outlines_capture(overlay: NDArray[np.uint8], grading: Grading) -> SCImage:
    """Makes a Secondary Capture of the outlined lesions of a DICOM photograph; see :func:`secondary_capture`.

    Args:
        overlay: RGB pixels (S, S, 3), uint8: the photograph with the outlines.
        grading: Grading of the photograph; it may have no grade.

    Raises:
        ImageError: As for :func:`secondary_capture`.
    """
    return _capture(overlay, grading, _OUTLINES)


def make_capture(
    pixels: NDArray[np.uint8],
    source: Dataset,
    model: str,
    *,
    series: str,
    series_number: int,
    series_description: str,
    uid: str,
    number: int,
) -> SCImage:
    """Makes a Secondary Capture in the study of a photograph.

    Args:
        pixels: RGB pixels (H, W, 3), uint8.
        source: Elements of the photograph, see :func:`~retinagrade.grader.dicom_source.read_source_elements`.
        model: Name and version of the grader file.
        series: UID of the series.
        series_number: Number of the series.
        series_description: Description of the series.
        uid: UID of the capture.
        number: Number of the capture in its series.
    """
    image = SCImage(
        pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # mandatory here; callers replace it
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=series,
        series_number=series_number,
        sop_instance_uid=uid,
        instance_number=number,
        manufacturer=MAKER,
        manufacturer_model_name=model[:LONG],
        software_versions=__version__,
        series_description=series_description,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        accession_number=source.AccessionNumber,
        study_id=source.StudyID,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        specific_character_set=source.get("SpecificCharacterSet"),
    )
    image.copy_patient_and_study_information(source)
    return image


def _capture(overlay: NDArray[np.uint8], grading: Grading, kind: _Overlay) -> SCImage:
    path = to_path(grading.path or "")
    source = read_source_elements(path)
    with silence_patient_names(path):
        image = make_capture(
            overlay,
            source,
            grading.model,
            series=generate_uid(
                entropy_srcs=[source.StudyInstanceUID, kind.word, grading.model, str(grading.laterality)]
            ),
            series_number=kind.series[grading.laterality],
            series_description=kind.title,
            uid=generate_uid(entropy_srcs=[source.SOPInstanceUID, grading.model, overlay.tobytes().hex()]),
            number=max(1, int(source.get("InstanceNumber") or 1)),
        )
        image.Laterality = grading.laterality or ""
        image.PatientOrientation = source.get("PatientOrientation") or []
        image.BurnedInAnnotation = source.get("BurnedInAnnotation") or "YES"
        image.LossyImageCompression = "01"  # the input of the network is a JPEG
        image.DerivationDescription = kind.derivation.format(grade=describe_grade(grading.predicted_grade or 0))
        image.ImageComments = f"{kind.comment} {NOTICE}"
        image.SourceImageSequence = [_reference(source)]
    return image


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
