"""DICOM Ophthalmic Photography: every element that the standard demands, and further facts about a patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from tests.images.dicom_files import write_dicom

SECRETS = {
    "PatientAddress": "1 Secret Street",
    "PatientTelephoneNumbers": "555-0199",
    "PatientComments": "afraid of needles",
    "OperatorsName": "Secret^Operator",
    "InstitutionName": "Secret Hospital",
    "DeviceSerialNumber": "SN-1",
}
"""Elements that a result must not contain."""


def write_ophthalmic(
    path: Path, pixels: NDArray[np.uint8], side: str | None, study: str = "1", **elements: Any
) -> Path:
    """Writes a photograph of an eye in a study; ``None`` leaves an element out."""
    folder = path.parent.name
    fields: dict[str, Any] = {
        "PatientName": "Müller^Änne",
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientID": "SECRET-7",
        "PatientBirthDate": "19600102",
        "PatientSex": "F",
        "StudyInstanceUID": generate_uid(entropy_srcs=["study", study]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series", study]),
        "StudyDate": "20260105",
        "StudyTime": "101500",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "House^Gregory",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Modality": "OP",
        "Manufacturer": "Camera Works",
        "ManufacturerModelName": "Camera",
        "SoftwareVersions": "1",
        "ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR"],
        "ContentDate": "20260105",
        "ContentTime": "101501",
        "AcquisitionDateTime": "20260105101501",
        "PatientOrientation": ["L", "F"],
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "SynchronizationFrameOfReferenceUID": generate_uid(entropy_srcs=["time", folder]),
        "SynchronizationTrigger": "NO TRIGGER",
        "AcquisitionTimeSynchronized": "N",
        "NumberOfFrames": 1,
        "FrameIncrementPointer": 0x00181063,
        "FrameTime": 0,
        "PresentationLUTShape": None,
        "ImageLaterality": side or "B",
        "AnatomicRegionSequence": [_code(Code("5665001", "SCT", "Retina"))],
        "AcquisitionDeviceTypeCodeSequence": [_code(Code("409898007", "SCT", "Fundus Camera"))],
        "IlluminationTypeCodeSequence": [],
        "LightPathFilterTypeStackCodeSequence": [],
        "ImagePathFilterTypeStackCodeSequence": [],
        "LensesCodeSequence": [],
        "DetectorType": "CCD",
        "PatientEyeMovementCommanded": "",
        "RefractiveStateSequence": [],
        "EmmetropicMagnification": None,
        "IntraOcularPressure": None,
        "HorizontalFieldOfView": None,
        "PupilDilated": "",
        "AcquisitionContextSequence": [],
        **SECRETS,
        **elements,
    }
    kept = {name: value for name, value in fields.items() if value is not None or name in _EMPTY}
    return write_dicom(path, pixels.tobytes(), pixels.shape[:2], **kept)


_EMPTY = ("EmmetropicMagnification", "IntraOcularPressure", "HorizontalFieldOfView")


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
