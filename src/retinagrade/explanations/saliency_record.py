"""``explanation.json``: what the files of saliency maps show."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from retinagrade.explanations.style import DrawingStyle
from retinagrade.provenance import Provenance


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SquareRecord(_Model):
    """The part of a photograph that a network saw, and that its saliency maps cover.

    Attributes:
        left: Position of the square's left edge, in pixels of the photograph; negative where it begins outside.
        top: Position of its top edge, in pixels; negative where it begins outside.
        width: Its width, in pixels of the photograph.
        height: Its height, in pixels of the photograph.
    """

    left: float
    top: float
    width: float
    height: float


class NetworkRecord(_Model):
    """The answer of a network for a photograph, and the scales of its saliency maps.

    Attributes:
        probabilities: Probabilities of the grades 0 to 4.
        predicted_grade: The predicted grade.
        square: The part of the photograph that the network saw.
        scale_maxima: Saliency at the end of the colour scale of each overlay, and of white in its ``.png``, by target:
            ``grade-0`` to ``grade-4``, and ``referable``.
    """

    probabilities: tuple[float, float, float, float, float]
    predicted_grade: int = Field(ge=0, le=4)
    square: SquareRecord
    scale_maxima: dict[str, float]


class PhotographRecord(_Model):
    """A photograph and its explanations.

    Attributes:
        file: File of the photograph.
        grade: Its known grade; ``None`` where none is known.
        networks: The answers of the networks, by name of the network.
    """

    file: str
    grade: int | None = Field(ge=0, le=4)
    networks: dict[str, NetworkRecord]


class _Explanations(_Model):
    method: str
    layer: str | None
    style: DrawingStyle
    photographs: dict[str, PhotographRecord]
    failures: dict[str, str]


class ExplanationRecord(Provenance, _Explanations):
    """``explanation.json``: photographs explained by saliency maps.

    Attributes:
        method: The method of the maps.
        layer: The layer of a class activation map; ``None`` for the last one.
        style: The look of overlays and figures.
        photographs: The photographs, by the name of their folder of files.
        failures: Reasons why photographs could not be used, by photograph.
    """
