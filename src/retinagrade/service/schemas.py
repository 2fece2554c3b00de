"""Responses of the service, and an example for the OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel

from retinagrade import __version__
from retinagrade.gate.quality import Quality
from retinagrade.grader.eyes import EyeIdentity
from retinagrade.grader.make_grading import make_grading
from retinagrade.grader.metadata import Metadata
from retinagrade.gradings.grading import NOTICE as NOTICE
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import StudyGrading, grade_studies, mark_mixed_studies
from retinagrade.service.pictures import Pictures


class PhotographResult(BaseModel):
    """The result for one photograph.

    Attributes:
        grading: The same fields as in `retinagrade grade --json`; ``error`` is set if the photograph is unusable.
        patient_id: Id of the patient in a DICOM header, or in a name such as ``7_left``; ``None`` where it is unknown.
            It is for the person who sent the photograph: the tables of `retinagrade grade` don't have it.
        examined_on: Date of the examination, as ``YYYY-MM-DD``, from a DICOM header or an EXIF block; ``None`` where it
            is unknown.
        pictures: Pictures, if the request asked for them.
    """

    grading: Grading
    patient_id: str | None = None
    examined_on: str | None = None
    pictures: Pictures | None = None


class GradeResponse(BaseModel):
    """The results for the photographs of a request.

    Attributes:
        notice: Intended use.
        software: The program and its version.
        photographs: One entry per photograph, in their order.
        studies: Both eyes of a patient combined, for photographs whose patient is known.
    """

    notice: str = NOTICE
    software: str = f"retinagrade {__version__}"
    photographs: list[PhotographResult]
    studies: list[StudyGrading]


def make_response(photographs: list[PhotographResult]) -> GradeResponse:
    """Makes the response for the photographs of a request."""
    gradings = mark_mixed_studies([each.grading for each in photographs])
    marked = [each.model_copy(update={"grading": grading}) for each, grading in zip(photographs, gradings, strict=True)]
    return GradeResponse(photographs=marked, studies=grade_studies(gradings))


def example_response(metadata: Metadata) -> dict[str, Any]:
    """Makes a response of this grader file from synthetic probabilities."""
    probabilities = np.array([0.05, 0.1, 0.6, 0.2, 0.05])
    quality = Quality("good", False, 0.95, "colour", "macula", ())
    grading = make_grading("7_right", "7_right.jpg", probabilities, quality, metadata, EyeIdentity("7", "R"))
    grading = replace(grading, graded_at="2026-01-31T12:00:00+00:00")
    return make_response([PhotographResult(grading=grading, patient_id="7")]).model_dump(mode="json")
