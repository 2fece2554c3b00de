"""The one-page result as DICOM objects: an Encapsulated PDF, and a Secondary Capture for viewers without it.

Source: DICOM PS3.3 A.45.1 (Encapsulated PDF IOD) and C.24.2 (Encapsulated Document Module).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from retinagrade import __version__
from retinagrade.grader.dicom_source import LONG, NOTICE, PATIENT_AND_STUDY
from retinagrade.grader.secondary_capture import make_capture
from retinagrade.images.dicom import MAKER

if TYPE_CHECKING:
    from retinagrade.gradings.studies import StudyGrading

_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_CAPTURE_SERIES: Final = 9010
_DOCUMENT_SERIES: Final = 9011
_TITLE: Final = "retinagrade: result on one page (research)"


def page_capture(pixels: NDArray[np.uint8], source: Dataset, study: StudyGrading, report: str, number: int) -> SCImage:
    """Makes a Secondary Capture of the page.

    Args:
        pixels: RGB pixels (H, W, 3), uint8.
        source: Elements of a photograph of the study, see
            :func:`~retinagrade.grader.dicom_source.read_source_elements`.
        study: Grading of the study.
        report: SOP Instance UID of the report, from which this one follows.
        number: Number of the report in the study, from 1 on.
    """
    image = make_capture(
        pixels,
        source,
        study.model,
        series=_uid(source, study, "page"),
        series_number=_CAPTURE_SERIES,
        series_description=_TITLE,
        uid=generate_uid(entropy_srcs=[report, "page"]),
        number=number,
    )
    image.ImageLaterality = "B"  # both eyes; the standard then leaves Laterality out
    image.PatientOrientation = []
    image.BurnedInAnnotation = "YES"
    image.ImageComments = NOTICE
    return image


def page_document(pdf: bytes, source: Dataset, study: StudyGrading, report: str, number: int) -> Dataset:
    """Makes an Encapsulated PDF of the page; see :func:`page_capture` for the other arguments."""
    now = datetime.now(UTC)
    result = Dataset()
    for element in source:
        if element.keyword in _COPIED:
            result.add(element)
    result.SOPClassUID = _PDF
    result.SOPInstanceUID = generate_uid(entropy_srcs=[report, "document"])
    result.SeriesInstanceUID = _uid(source, study, "document")
    result.SeriesNumber = _DOCUMENT_SERIES
    result.InstanceNumber = number
    result.Modality = "DOC"
    result.SeriesDescription = _TITLE
    result.Manufacturer = MAKER
    result.ManufacturerModelName = study.model[:LONG]
    result.DeviceSerialNumber = study.grader_digest[:LONG] or "unknown"
    result.SoftwareVersions = __version__
    result.ConversionType = "SYN"
    result.InstanceCreationDate = result.ContentDate = now.strftime("%Y%m%d")
    result.InstanceCreationTime = result.ContentTime = now.strftime("%H%M%S")
    result.TimezoneOffsetFromUTC = "+0000"
    result.AcquisitionDateTime = ""
    result.BurnedInAnnotation = "YES"
    result.RecognizableVisualFeatures = "NO"
    result.VerificationFlag = "UNVERIFIED"
    result.DocumentTitle = "Diabetic retinopathy (research)"
    result.ConceptNameCodeSequence = []
    result.SourceInstanceSequence = [_reference(source)]
    result.MIMETypeOfEncapsulatedDocument = "application/pdf"
    result.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    result.EncapsulatedDocumentLength = len(pdf)
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    return result


_COPIED: Final = ("SpecificCharacterSet", "StudyInstanceUID", *PATIENT_AND_STUDY)


def _uid(source: Dataset, study: StudyGrading, word: str) -> str:
    return str(generate_uid(entropy_srcs=[source.StudyInstanceUID, word, study.model]))


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item
