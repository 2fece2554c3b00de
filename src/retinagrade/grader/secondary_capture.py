"""Heatmaps as DICOM Secondary Captures, beside the photograph that they are of."""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade import __version__
from retinagrade.grader.dicom_source import LONG, NOTICE, read_source_elements, silence_patient_names
from retinagrade.grader.results import Grading
from retinagrade.images.dicom import MAKER
from retinagrade.paths import to_path

_SERIES: Final = {None: 9001, "L": 9002, "R": 9003}
"""A series an eye: laterality belongs to a series."""


def secondary_capture(heatmap: np.ndarray, given: Grading) -> SCImage:
    """A heatmap of a photograph that is a DICOM file, in its patient's study. Made again, it has the same id.

    Nothing is drawn into it but colours; whether the photograph below has somebody's name burned in is what its header
    says, and must be feared where that says nothing.

    Args:
        heatmap: RGB pixels (S, S, 3), uint8.
        given: What is said of the photograph; it has a grade.

    Raises:
        ImageError: The photograph's header can't be read, or lacks what its heatmap must refer to.
    """
    path = to_path(given.path or "")
    source = read_source_elements(path)
    with silence_patient_names(path):
        image = SCImage(
            heatmap,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),  # asked for; what the photograph says is put in its place below
            study_instance_uid=source.StudyInstanceUID,
            series_instance_uid=generate_uid(
                entropy_srcs=[source.StudyInstanceUID, "heatmaps", given.model, str(given.laterality)]
            ),
            series_number=_SERIES[given.laterality],
            sop_instance_uid=generate_uid(entropy_srcs=[source.SOPInstanceUID, given.model, heatmap.tobytes().hex()]),
            instance_number=max(1, int(source.get("InstanceNumber") or 1)),
            manufacturer=MAKER,
            manufacturer_model_name=given.model[:LONG],
            software_versions=__version__,
            series_description="retinagrade: heatmaps (research)",
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
        image.Laterality = given.laterality or ""
        image.PatientOrientation = source.get("PatientOrientation") or []
        image.BurnedInAnnotation = source.get("BurnedInAnnotation") or "YES"
        image.LossyImageCompression = "01"  # the network's own JPEG, whatever the photograph was
        image.DerivationDescription = (
            f"Grad-CAM of grade {given.grade} {given.label} over the photograph as the network saw it"
        )
        image.ImageComments = f"Where the score is sensitive; no evidence of reasoning. {NOTICE}"
        image.SourceImageSequence = [_reference(source)]
    return image


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
