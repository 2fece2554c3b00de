"""A grader file of a few nodes that outlines lesions by colour, to the pixel, and photographs that it outlines so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from retinagrade.grader.metadata import LesionMetadata, PreparationMetadata
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.lesion_maps.grade_model import GradeModel, OrdinalModel
from tests.grader.graders import metadata, seal_grader

KINDS = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates", "optic_disc")
RETINA = (150, 80, 30)
MARKS = {"haemorrhages": (150, 80, 220), "hard_exudates": (150, 220, 30), "optic_disc": (250, 80, 30)}
"""Colours, RGB, that the graph takes for lesions. Half-way between them and the retina lies a probability of 0.5."""
_GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
by_colour (uint8[N,SIDE,SIDE,3] photographs) => (uint8[N,5,SIDE,SIDE] lesions)
<float[5,3,1,1] kernel = {0,0,0, 0,0,1.2, 0,1.5,0, 0,0,0, 3,0,0}, float[5] offsets = {0,-23,-98,0,-473},
 float black = {0}, float white = {255}>
{
  values = Cast <to=1> (photographs)
  planes = Transpose <perm=[0,3,1,2]> (values)
  maps = Conv (planes, kernel, offsets)
  bounded = Clip (maps, black, white)
  lesions = Cast <to=2> (bounded)
}
"""


def write_lesion_grader(path: Path, side: int = 128, **changed: object) -> Path:
    """Writes the file for photographs of ``side`` pixels; ``changed`` are fields of the metadata that differ."""
    number = {"means": (0.0,), "deviations": (1.0,)}
    grade = OrdinalModel(
        names=("haemorrhages_count_from_0.5",), weights=((2.0,),) * 4, biases=(0.0, -1.0, -3.0, -5.0), **number
    )
    oedema = OrdinalModel(names=("hard_exudates_load",), weights=((1.0,),) * 2, biases=(-1.0, -3.0), **number)
    grades = GradeModel(maps=MapCalibration.identity(KINDS), grade=grade, oedema=oedema)
    lesions = LesionMetadata(model=grades, networks=("0" * 12,))
    model = onnx.parser.parse_model(_GRAPH.replace("SIDE", str(side)))
    preparation = PreparationMetadata(size=side, contrast="none", square="pad", recipe=1)
    facts = metadata(name="lesions-by-colour", image_size=side, preparation=preparation, lesions=lesions, **changed)
    return seal_grader(model, facts, path)


def draw_photograph(width: int, height: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.bool_]]]:
    """Draws a photograph in a wide frame; returns it, and the pixels of each kind that it shows."""
    picture, radius = np.zeros((height, width, 3), np.uint8), round(0.45 * min(width, height))
    x, y = round(0.53 * width), round(0.49 * height)
    cv2.circle(picture, (x, y), radius, RETINA, -1)
    masks = {}
    for kind, (across, down, size) in {
        "haemorrhages": (0.3, -0.4, 0.08),
        "hard_exudates": (-0.2, 0.35, 0.1),
        "optic_disc": (0.6, 0.0, 0.15),
    }.items():
        mark = np.zeros((height, width), np.uint8)
        cv2.circle(mark, (round(x + across * radius), round(y + down * radius)), round(size * radius), 1, -1)
        picture[mark > 0] = MARKS[kind]
        masks[kind] = mark > 0
    return picture, masks
