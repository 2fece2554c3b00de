"""Outlines of a photograph's lesions as files: a picture for people, and polygons for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from retinagrade.grader.lesions import PhotographLesions
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.gradings.grading import Grading
from retinagrade.images.own_pictures import mark_png
from retinagrade.images.placement import Placement
from retinagrade.lesion_maps.anatomy import Laterality, OpticDisc
from retinagrade.lesion_maps.numbers import RED
from retinagrade.lesion_maps.outlines import Outline, draw_outlines, outline_lesions
from retinagrade.lesion_maps.regions import CERTAIN
from retinagrade.storage.files import write_bytes, write_text


@dataclass(frozen=True)
class PositionRecord:
    """A point of the upright original. Whole numbers are centres of pixels.

    Attributes:
        x: Pixels from the left, to one decimal.
        y: Pixels from the top, to one decimal.
    """

    x: float
    y: float


@dataclass(frozen=True)
class DiscRecord(PositionRecord):
    """The optic disc: its centre and size.

    Attributes:
        diameter: Diameter of the disc with the same area, in pixels of the original.
    """

    diameter: float


@dataclass(frozen=True)
class OutlineRecord:
    """The outline of a lesion, or of a part of one.

    Attributes:
        kind: Kind of the lesion, such as ``microaneurysms``.
        probability: Highest probability within the lesion, 0.5 to 1.
        area: Area within the outline, in square pixels of the original.
        polygon: The corners, each a list of x and y in pixels of the original, as for the optic disc. The last one is
            joined to the first.
    """

    kind: str
    probability: float
    area: float
    polygon: list[tuple[float, float]]


@dataclass(frozen=True)
class OutlinesRecord:
    """``ID.json``: the outlines of a photograph's lesions, in pixels of the upright original.

    Attributes:
        image_id: Id of the photograph.
        path: File of the photograph; ``None`` for an array.
        digest: SHA-256 digest of this file, as in the table of results; ``None`` for an array.
        model: Name and version of the grader file.
        optic_disc: The optic disc; ``None`` where it was not found.
        fovea: Centre of the fovea; ``None`` where it was not found.
        laterality: The eye as the optic disc shows it; ``None`` where that can't be told.
        lesions: The lesions by kind, the largest of a kind first.
    """

    image_id: str
    path: str | None
    digest: str | None
    model: str
    optic_disc: DiscRecord | None
    fovea: PositionRecord | None
    laterality: Laterality | None
    lesions: list[OutlineRecord]


def find_outlines(lesions: PhotographLesions) -> dict[str, list[Outline]]:
    """Finds the outlines of all lesions, by kind, in pixels of the prepared photograph."""
    return {
        kind: outline_lesions(lesion_map, lesions.read.regions[kind], lesions.counted_from.get(kind, CERTAIN))
        for kind, lesion_map in lesions.read.maps.items()
        if kind != RED
    }


def write_outlines(graded: GradedPhotograph, grading: Grading, picture: Path) -> None:
    """Writes a picture with outlines, and beside it the polygons as JSON.

    Args:
        graded: A photograph with lesions.
        grading: Its grading, with the identity that the caller knows.
        picture: The picture, ``.png``. The polygons have the same name with ``.json``.
    """
    lesions, placement = graded.lesions, graded.placement
    assert lesions is not None
    assert placement is not None
    assert graded.photograph is not None
    outlines = find_outlines(lesions)
    code = cv2.imencode(".png", draw_outlines(graded.photograph, outlines)[..., ::-1])[1].tobytes()
    document = describe_outlines(grading, lesions, outlines, placement)
    write_text(picture.with_suffix(".json"), json.dumps(asdict(document), ensure_ascii=False) + "\n")
    write_bytes(picture, mark_png(code, grading.digest or ""))


def describe_outlines(
    grading: Grading, lesions: PhotographLesions, outlines: dict[str, list[Outline]], placement: Placement
) -> OutlinesRecord:
    """Describes the lesions of a photograph in pixels of the upright original.

    Args:
        grading: Its grading.
        lesions: Its lesions.
        outlines: Their outlines by kind, in pixels of the prepared photograph.
        placement: Place of the prepared photograph in the original.
    """
    disc, fovea = lesions.anatomy.disc, lesions.anatomy.fovea
    scale = placement.width / placement.side
    return OutlinesRecord(
        image_id=grading.image_id,
        path=grading.path,
        digest=grading.digest,
        model=grading.model,
        optic_disc=None if disc is None else _describe_disc(disc, placement),
        fovea=None if fovea is None else PositionRecord(*_rounded(fovea, placement)),
        laterality=lesions.anatomy.laterality,
        lesions=[
            OutlineRecord(
                kind,
                round(outline.probability, 3),
                round(outline.area * scale**2, 1),
                _rounded(outline.polygon, placement),
            )
            for kind, of_kind in outlines.items()
            for outline in of_kind
        ],
    )


def outlined_digest(polygons: Path) -> str | None:
    """Returns the digest of the photograph that a file of polygons describes; ``None`` for any other file."""
    try:
        document = json.loads(polygons.read_bytes())
        return str(document["digest"]) if "lesions" in document else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _describe_disc(disc: OpticDisc, placement: Placement) -> DiscRecord:
    x, y = _rounded((disc.x, disc.y), placement)
    return DiscRecord(x, y, round(disc.diameter * (placement.width / placement.side), 1))


def _rounded(points: ArrayLike, placement: Placement) -> Any:
    """Returns points (…, 2) of the prepared photograph in pixels of the original, to one decimal, as lists."""
    return placement.to_original(np.asarray(points)).round(1).tolist()
