"""What the service answers, and examples of it for the OpenAPI document."""

from __future__ import annotations

import base64
from typing import Any, Final, Literal

import numpy as np
import simplejpeg
from pydantic import BaseModel

from retinagrade.grader.artefact import Metadata
from retinagrade.grader.heat import heatmap
from retinagrade.grader.results import Grading, grading
from retinagrade.grader.runtime import Seen
from retinagrade.images.quality import Quality

NOTICE: Final = "Research software, not a medical device: not for diagnosing or treating anybody."
_QUALITY: Final = 90


class Pictures(BaseModel):
    """JPEGs as data URLs.

    Attributes:
        photograph: As the network saw it.
        heatmap: The same with the evidence for the grade that was given; ``None`` where none was.
    """

    photograph: str
    heatmap: str | None


class Photograph(BaseModel):
    """What is said of one photograph.

    Attributes:
        grading: As `retinagrade grade` says it; has an ``error`` where the photograph could not be used.
        laterality: ``L`` or ``R`` where a DICOM header says so.
        pictures: Where they were asked for.
    """

    grading: Grading
    laterality: Literal["L", "R"] | None
    pictures: Pictures | None


class Answer(BaseModel):
    """What is said of the photographs of a request, in their order.

    Attributes:
        notice: What this is not.
        photographs: One entry each.
    """

    notice: str = NOTICE
    photographs: list[Photograph]


def pictures(seen: Seen) -> Pictures | None:
    """The pictures of a photograph; ``None`` where there is nothing to see."""
    if seen.photograph is None or seen.evidence is None:
        return None
    grade = seen.grading.grade
    heat = None if grade is None else heatmap(seen.photograph, seen.evidence[grade])
    return Pictures(photograph=_data_url(seen.photograph), heatmap=None if heat is None else _data_url(heat))


def example(metadata: Metadata) -> dict[str, Any]:
    """An answer as this grader file would give it, of made-up probabilities."""
    given = grading("eye", "eye.jpg", np.array([0.05, 0.1, 0.6, 0.2, 0.05]), Quality(0.9, {}), metadata)
    return Answer(photographs=[Photograph(grading=given, laterality="R", pictures=None)]).model_dump(mode="json")


def _data_url(pixels: np.ndarray) -> str:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _QUALITY, colorspace="RGB")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
