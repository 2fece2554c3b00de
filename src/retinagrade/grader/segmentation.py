"""Outlined lesions as DICOM Segmentations, in the study of their photograph.

Source: DICOM PS3.3 A.51 (Segmentation IOD) and C.8.20 (Segmentation Image Module).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from retinagrade import __version__
from retinagrade.errors import ImageError
from retinagrade.grader import dicom_codes
from retinagrade.grader.dicom_source import LONG, NOTICE, read_source_elements, silence_patient_names, write_dicom
from retinagrade.images.dicom import MAKER, read_elements
from retinagrade.lesion_maps.outlines import COLOURS, OTHER_COLOUR
from retinagrade.storage.paths import to_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from retinagrade.grader.lesions import PhotographLesions
    from retinagrade.gradings.grading import Grading
    from retinagrade.images.placement import Placement

_SERIES: Final = {None: 9004, "L": 9005, "R": 9006}
"""Series numbers by laterality, which is a property of a series."""
_REFERENCED: Final = (
    "ManufacturerModelName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "SegmentSequence",
)
_OPTIC_DISC: Final = "optic_disc"


class _NoPixelMeasures(Dataset):
    """The functional group that highdicom asks a photograph for. It states that the size of a pixel is unknown."""

    PixelMeasuresSequence = None


def lesion_segmentation(lesions: PhotographLesions, placement: Placement, grading: Grading) -> Segmentation:
    """Makes the Segmentation of a DICOM photograph; equal outlines have equal UIDs.

    It has the rows and columns of the photograph, and one frame for each segment, also for a kind of lesion that the
    photograph doesn't show.

    Args:
        lesions: Lesions of the photograph.
        placement: Place of the maps in the photograph.
        grading: Grading of the photograph.

    Raises:
        ImageError: The header of the photograph can't be read, or lacks a UID that the Segmentation must refer to; or
            no outlined kind has a code.
    """
    path = to_path(grading.path or "")
    source = read_source_elements(path)
    source.NumberOfFrames = 1  # the reader refuses photographs with more
    source.SharedFunctionalGroupsSequence = [_NoPixelMeasures()]
    masks = {kind: lesions.mask(kind) for kind in dicom_codes.LESIONS if kind in lesions.read.maps}
    if lesions.disc is not None:
        masks[_OPTIC_DISC] = lesions.disc
    if not masks:
        raise ImageError(
            f"{path}: {grading.model} outlines no kind of lesion that has a code: leave out dicom (--dicom)"
        )
    with silence_patient_names(path):
        pixels: NDArray[np.bool_] = np.stack(
            [placement.paste(mask, source.Rows, source.Columns) for mask in masks.values()], axis=-1
        )
        image = Segmentation(
            [source],
            pixels[None].astype(np.uint8),
            SegmentationTypeValues.BINARY,
            [_describe(kind, number, grading) for number, kind in enumerate(masks, start=1)],
            series_instance_uid=generate_uid(
                entropy_srcs=[source.StudyInstanceUID, "lesions", grading.model, str(grading.laterality)]
            ),
            series_number=_SERIES[grading.laterality],
            sop_instance_uid=generate_uid(
                entropy_srcs=[
                    source.SOPInstanceUID,
                    grading.model,
                    grading.grader_digest,
                    *masks,
                    np.packbits(pixels).tobytes().hex(),
                ]
            ),
            instance_number=max(1, int(source.get("InstanceNumber") or 1)),
            manufacturer=MAKER,
            manufacturer_model_name=grading.model[:LONG],
            software_versions=__version__,
            device_serial_number=grading.grader_digest[:LONG] or "unknown",
            content_label="LESIONS",
            content_description="Lesions outlined by a program (research)",
            series_description="retinagrade: lesions (research)",
            omit_empty_frames=False,
        )
        image.PatientOrientation = source.get("PatientOrientation") or []
        image.ImageComments = NOTICE
    return image


def write_segmentation(lesions: PhotographLesions, placement: Placement, grading: Grading, folder: Path) -> None:
    """Writes the Segmentation of a photograph to a folder of DICOM results; see :func:`lesion_segmentation`."""
    source = read_source_elements(to_path(grading.path or ""))
    write_dicom(lesion_segmentation(lesions, placement, grading), _file(folder, source))


def find_segmentation(folder: Path, grading: Grading) -> Dataset | None:
    """Returns the UIDs and segments of the Segmentation of a photograph; ``None`` where this grader file made none.

    Raises:
        ImageError: The header of the photograph can't be read.
    """
    path = _file(folder, read_source_elements(to_path(grading.path or "")))
    if not path.is_file():
        return None
    found = read_elements(path, _REFERENCED)
    return found if found.get("ManufacturerModelName") == grading.model[:LONG] else None


def _file(folder: Path, source: Dataset) -> Path:
    return Path(folder / source.StudyInstanceUID / f"lesions-{source.SOPInstanceUID}.dcm")


def _describe(kind: str, number: int, grading: Grading) -> SegmentDescription:
    name, _, version = grading.model.rpartition(" ")
    is_disc = kind == _OPTIC_DISC
    return SegmentDescription(
        number,
        kind.replace("_", " "),
        codes.SCT.AnatomicalStructure if is_disc else codes.SCT.MorphologicallyAbnormalStructure,
        dicom_codes.OPTIC_DISC if is_disc else dicom_codes.LESIONS[kind],
        SegmentAlgorithmTypeValues.AUTOMATIC,
        AlgorithmIdentificationSequence(
            name=name[:LONG], family=codes.DCM.ArtificialIntelligence, version=version[:LONG]
        ),
        anatomic_regions=[codes.SCT.Retina],
        display_color=CIELabColor.from_rgb(*COLOURS.get(kind, OTHER_COLOUR)),
    )
