"""Pictures in responses: the photograph as the network saw it, and either outlines of lesions or a saliency map."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydantic import BaseModel

from retinagrade.grader.lesion_files import find_outlines
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.gradings.grading import Grading
from retinagrade.lesion_maps.outlines import COLOURS, OTHER_COLOUR, Outline

_JPEG_QUALITY: Final = 90


class OutlinedLesion(BaseModel):
    """The outline of one lesion.

    Attributes:
        probability: Highest probability within it, 0.5 to 1.
        polygon: Points as x and y in pixels of the returned photograph. Whole numbers are centres of pixels.
    """

    probability: float
    polygon: list[tuple[float, float]]


class LesionsOfKind(BaseModel):
    """The outlined lesions of one kind.

    Attributes:
        kind: The kind, such as ``haemorrhages``.
        colour: Colour to draw them in, such as ``#4080ff``.
        outlines: Their outlines. A lesion in several parts has several.
    """

    kind: str
    colour: str
    outlines: list[OutlinedLesion]


class Pictures(BaseModel):
    """JPEG pictures as data URLs, and outlines of lesions.

    Attributes:
        photograph: The photograph as the network saw it.
        saliency: The same photograph with the saliency map of its grade; ``None`` without a grade, and for a grader
            file that outlines lesions.
        side: Width and height of the photograph, in pixels.
        lesions: Outlines of the lesions, by kind; ``None`` for a grader file that doesn't outline them.
    """

    photograph: str
    saliency: str | None
    side: int
    lesions: list[LesionsOfKind] | None


@dataclass(frozen=True)
class Drawing:
    """The part of a graded photograph that a response needs. It holds no lesion maps, which take megabytes.

    Attributes:
        grading: The grading.
        photograph: RGB pixels (S, S, 3), uint8; ``None`` where nobody wants pictures.
        saliency: Saliency map (h, w) of the grade; ``None`` for none.
        outlines: Outlines by kind, in pixels of the photograph; ``None`` for none.
    """

    grading: Grading
    photograph: NDArray[np.uint8] | None = None
    saliency: NDArray[np.float32] | None = None
    outlines: dict[str, list[Outline]] | None = None


def make_drawing(graded: GradedPhotograph, wants_pictures: bool) -> Drawing:
    """Takes from a graded photograph the part that a response needs."""
    if not wants_pictures or graded.photograph is None:
        return Drawing(graded.grading)
    grade = graded.grading.predicted_grade
    saliency = None if graded.saliency is None or grade is None else graded.saliency[grade].copy()
    outlines = None if graded.lesions is None else find_outlines(graded.lesions)
    return Drawing(graded.grading, graded.photograph, saliency, outlines)


def encode_pictures(drawing: Drawing) -> Pictures | None:
    """Encodes the pictures of a photograph; ``None`` where there are none."""
    photograph, saliency, outlines = drawing.photograph, drawing.saliency, drawing.outlines
    if photograph is None:
        return None
    return Pictures(
        photograph=_data_url(photograph),
        saliency=None if saliency is None else _data_url(saliency_overlay(photograph, saliency)),
        side=photograph.shape[0],
        lesions=None if outlines is None else [_of_kind(kind, of_kind) for kind, of_kind in outlines.items()],
    )


def _of_kind(kind: str, outlines: list[Outline]) -> LesionsOfKind:
    red, green, blue = COLOURS.get(kind, OTHER_COLOUR)
    return LesionsOfKind(
        kind=kind,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        outlines=[
            OutlinedLesion(probability=round(each.probability, 3), polygon=each.polygon.round(2).tolist())
            for each in outlines
        ],
    )


def _data_url(pixels: NDArray[np.uint8]) -> str:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _JPEG_QUALITY, colorspace="RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
