"""What the service answers, and examples of it for the OpenAPI document."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import simplejpeg
from pydantic import BaseModel

from retinagrade.grader.eyes import EyeIdentity
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.results import Grading, make_grading
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.grader.studies import StudyGrading, grade_studies
from retinagrade.images.quality import Quality

NOTICE: Final = "Research software, not a medical device: not for diagnosing or treating anybody."
_QUALITY: Final = 90


class Pictures(BaseModel):
    """JPEGs as data URLs.

    Attributes:
        photograph: As the network saw it.
        heatmap: The same with the saliency map of the grade that was given; ``None`` where none was.
    """

    photograph: str
    heatmap: str | None


class PhotographResult(BaseModel):
    """What is said of one photograph.

    Attributes:
        grading: As `retinagrade grade` says it; has an ``error`` where the photograph could not be used.
        pictures: Where they were asked for.
    """

    grading: Grading
    pictures: Pictures | None = None


class GradeResponse(BaseModel):
    """What is said of the photographs of a request, in their order.

    Attributes:
        notice: What this is not.
        photographs: One entry each.
        studies: Both eyes of a patient combined, where photographs say whose they are.
    """

    notice: str = NOTICE
    photographs: list[PhotographResult]
    studies: list[StudyGrading]


def make_response(photographs: list[PhotographResult]) -> GradeResponse:
    """The answer to a request for these photographs."""
    return GradeResponse(photographs=photographs, studies=grade_studies([one.grading for one in photographs]))


def encode_pictures(seen: GradedPhotograph) -> Pictures | None:
    """The pictures of a photograph; ``None`` where there is nothing to see."""
    if seen.photograph is None or seen.saliency is None:
        return None
    grade = seen.grading.grade
    heat = None if grade is None else saliency_overlay(seen.photograph, seen.saliency[grade])
    return Pictures(photograph=_data_url(seen.photograph), heatmap=None if heat is None else _data_url(heat))


def example_response(metadata: Metadata) -> dict[str, Any]:
    """An answer as this grader file would give it, of made-up probabilities."""
    probabilities = np.array([0.05, 0.1, 0.6, 0.2, 0.05])
    given = make_grading("7_right", "7_right.jpg", probabilities, Quality(0.9, {}), metadata, EyeIdentity("7", "R"))
    return make_response([PhotographResult(grading=given)]).model_dump(mode="json")


def _data_url(pixels: np.ndarray) -> str:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _QUALITY, colorspace="RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
