"""Pictures in responses: the photograph as the network saw it, and either outlines of lesions or a saliency map."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from retinagrade.grader.lesion_files import find_outlines
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.gradings.grading import Grading
from retinagrade.images.encode import encode_view
from retinagrade.images.placement import Placement
from retinagrade.lesion_maps.outlines import COLOURS, OTHER_COLOUR, Outline


class OutlinedLesion(BaseModel):
    """The outline of one lesion.

    Attributes:
        probability: Highest probability within it, 0.5 to 1.
        polygon: Points as x and y in pixels of the upright original. Whole numbers are centres of pixels.
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


class Square(BaseModel):
    """The place of the square that the network saw, in pixels of the upright original. It may begin outside.

    Attributes:
        left: Left edge.
        top: Upper edge.
        width: Width.
        height: Height.
    """

    left: float
    top: float
    width: float
    height: float


class Pictures(BaseModel):
    """JPEG pictures as data URLs, and outlines of lesions.

    Attributes:
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.
        photograph: The photograph as the network saw it: a square.
        square: The place of this square in the original.
        saliency: The square with the saliency map of its grade; ``None`` without a grade, and for a grader file that
            outlines lesions.
        lesions: Outlines of the lesions, by kind; ``None`` for a grader file that doesn't outline them.
    """

    width: int
    height: int
    photograph: str
    square: Square
    saliency: str | None
    lesions: list[LesionsOfKind] | None


@dataclass(frozen=True)
class Drawing:
    """The part of a graded photograph that a response needs. It holds no lesion maps, which take megabytes.

    Attributes:
        grading: The grading.
        photograph: RGB pixels (S, S, 3), uint8; ``None`` where nobody wants pictures.
        saliency: Saliency map (h, w) of the grade; ``None`` for none.
        placement: Place of the photograph in its original; ``None`` where nobody wants pictures.
        outlines: Outlines by kind, in pixels of the photograph; ``None`` for none.
    """

    grading: Grading
    photograph: NDArray[np.uint8] | None = None
    placement: Placement | None = None
    saliency: NDArray[np.float32] | None = None
    outlines: dict[str, list[Outline]] | None = None


def make_drawing(graded: GradedPhotograph, wants_pictures: bool) -> Drawing:
    """Takes from a graded photograph the part that a response needs."""
    if not wants_pictures or graded.photograph is None:
        return Drawing(graded.grading)
    grade = graded.grading.predicted_grade
    saliency = None if graded.saliency is None or grade is None else graded.saliency[grade].copy()
    outlines = None if graded.lesions is None else find_outlines(graded.lesions)
    return Drawing(graded.grading, graded.photograph, graded.placement, saliency, outlines)


def encode_pictures(drawing: Drawing, size: tuple[int, int] | None) -> Pictures | None:
    """Encodes the pictures of a photograph; ``None`` where there are none.

    Args:
        drawing: The photograph, and what was found on it.
        size: Width and height of the upright original, in pixels.
    """
    photograph, saliency, outlines, place = drawing.photograph, drawing.saliency, drawing.outlines, drawing.placement
    if photograph is None or place is None or size is None:
        return None
    return Pictures(
        width=size[0],
        height=size[1],
        photograph=_data_url(photograph),
        square=Square(left=place.left, top=place.top, width=place.width, height=place.height),
        saliency=None if saliency is None else _data_url(saliency_overlay(photograph, saliency)),
        lesions=None if outlines is None else [_of_kind(kind, of_kind, place) for kind, of_kind in outlines.items()],
    )


def _of_kind(kind: str, outlines: list[Outline], place: Placement) -> LesionsOfKind:
    red, green, blue = COLOURS.get(kind, OTHER_COLOUR)
    return LesionsOfKind(
        kind=kind,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        outlines=[
            OutlinedLesion(
                probability=round(each.probability, 3), polygon=place.to_original(each.polygon).round(1).tolist()
            )
            for each in outlines
        ],
    )


def _data_url(pixels: NDArray[np.uint8]) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_view(pixels)).decode('ascii')}"
