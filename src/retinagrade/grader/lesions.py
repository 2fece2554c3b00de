"""Reading the lesion maps of a photograph: its lesions, its landmarks, and the probabilities that follow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retinagrade.grader.metadata import LesionMetadata
from retinagrade.lesion_maps.anatomy import Anatomy, find_anatomy
from retinagrade.lesion_maps.grade_model import temper
from retinagrade.lesion_maps.mapped import MappedPhotograph
from retinagrade.lesion_maps.measurements import CountedLesions, measure_lesions
from retinagrade.lesion_maps.numbers import ReadMaps, lesion_numbers, number_row, read_maps
from retinagrade.lesion_maps.outlines import mask_lesions
from retinagrade.lesion_maps.regions import CERTAIN
from retinagrade.lesion_maps.rules import RuleGrade, grade_by_rules

_OPTIC_DISC = "optic_disc"


@dataclass(frozen=True)
class PhotographLesions:
    """The lesions of one photograph.

    Attributes:
        read: Maps and single lesions by kind, in the pixels of the prepared photograph.
        counted_from: Highest probability, by kind, from which a lesion is counted and outlined.
        measurements: Numbers and areas by kind and quadrant.
        anatomy: Optic disc, fovea and laterality.
        rule: The grade that clinical rules give to these lesions.
        oedema: Probabilities of the risks 0 to 2 of macular oedema; ``None`` where the grader file has no model of it.
        numbers: The plain numbers that the grade was computed from, by name.
        disc: Pixels (S, S) of the optic disc; ``None`` where the grader file doesn't outline it.
    """

    read: ReadMaps
    counted_from: dict[str, float]
    measurements: CountedLesions
    anatomy: Anatomy
    rule: RuleGrade
    oedema: tuple[float, ...] | None
    numbers: dict[str, float] = field(default_factory=dict)
    disc: NDArray[np.bool_] | None = None

    def mask(self, kind: str) -> NDArray[np.bool_]:
        """Returns the pixels (S, S) of all lesions of a kind that are certain enough to be counted."""
        return mask_lesions(self.read.maps[kind], self.read.regions[kind], self.counted_from.get(kind, CERTAIN))


def read_lesions(
    mapped: MappedPhotograph, lesions: LesionMetadata, temperature: float
) -> tuple[NDArray[np.float64], PhotographLesions]:
    """Reads the lesion maps of a photograph.

    Args:
        mapped: The photograph and its maps.
        lesions: The part of the grader file that reads them.
        temperature: Softmax temperature of the calibration.

    Returns:
        Calibrated probabilities (5,) of the grades, and the lesions.
    """
    read = read_maps(mapped.maps, lesions.kinds, mapped.inside)
    disc = mapped.maps[lesions.kinds.index(_OPTIC_DISC)] if _OPTIC_DISC in lesions.kinds else None
    anatomy = find_anatomy(mapped.photograph, disc, mapped.inside)
    numbers = lesion_numbers(read, anatomy)
    model = lesions.model
    row = number_row(numbers, model.grade.names)[None]
    oedema = None if model.oedema is None else tuple(model.oedema.probabilities(row)[0].tolist())
    measurements = measure_lesions(read, model.counted_from)
    rule = grade_by_rules(measurements)
    found = PhotographLesions(
        read, model.counted_from, measurements, anatomy, rule, oedema, numbers, _disc_pixels(anatomy, disc)
    )
    return temper(model.grade.probabilities(row), temperature)[0], found


def _disc_pixels(anatomy: Anatomy, disc_map: NDArray[np.uint8] | None) -> NDArray[np.bool_] | None:
    if disc_map is None:
        return None
    return np.zeros(disc_map.shape, np.bool_) if anatomy.disc is None else anatomy.disc.pixels
