"""Responses of the service, and an example for the OpenAPI document."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydantic import BaseModel

from retinagrade.grader.eyes import EyeIdentity
from retinagrade.grader.metadata import Metadata
from retinagrade.grader.results import Grading, make_grading
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.grader.saliency import saliency_overlay
from retinagrade.grader.studies import StudyGrading, grade_studies
from retinagrade.images.quality import Quality

NOTICE: Final = "Research software, not a medical device. Do not use it to diagnose or treat patients."
_JPEG_QUALITY: Final = 90


class Pictures(BaseModel):
    """JPEG pictures as data URLs.

    Attributes:
        photograph: The photograph as the network saw it.
        saliency: The same photograph with the saliency map of its grade; ``None`` without a grade.
    """

    photograph: str
    saliency: str | None


class PhotographResult(BaseModel):
    """The result for one photograph.

    Attributes:
        grading: The same fields as in `retinagrade grade --json`; ``error`` is set if the photograph is unusable.
        pictures: Pictures, if the request asked for them.
    """

    grading: Grading
    pictures: Pictures | None = None


class GradeResponse(BaseModel):
    """The results for the photographs of a request.

    Attributes:
        notice: Intended use.
        photographs: One entry per photograph, in their order.
        studies: Both eyes of a patient combined, for photographs whose patient is known.
    """

    notice: str = NOTICE
    photographs: list[PhotographResult]
    studies: list[StudyGrading]


def make_response(photographs: list[PhotographResult]) -> GradeResponse:
    """Makes the response for the photographs of a request."""
    return GradeResponse(photographs=photographs, studies=grade_studies([each.grading for each in photographs]))


def encode_pictures(graded: GradedPhotograph) -> Pictures | None:
    """Encodes the pictures of a photograph; ``None`` for an unusable one."""
    if graded.photograph is None or graded.saliency is None:
        return None
    grade = graded.grading.grade
    overlay = None if grade is None else saliency_overlay(graded.photograph, graded.saliency[grade])
    return Pictures(photograph=_data_url(graded.photograph), saliency=None if overlay is None else _data_url(overlay))


def example_response(metadata: Metadata) -> dict[str, Any]:
    """Makes a response of this grader file from synthetic probabilities."""
    probabilities = np.array([0.05, 0.1, 0.6, 0.2, 0.05])
    grading = make_grading("7_right", "7_right.jpg", probabilities, Quality(0.9, {}), metadata, EyeIdentity("7", "R"))
    return make_response([PhotographResult(grading=grading)]).model_dump(mode="json")


def _data_url(pixels: NDArray[np.uint8]) -> str:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _JPEG_QUALITY, colorspace="RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
