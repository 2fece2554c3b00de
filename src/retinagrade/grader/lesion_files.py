"""Outlines of a photograph's lesions as files: a picture for people, and polygons for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.grader.lesions import PhotographLesions
from retinagrade.grader.runtime import GradedPhotograph
from retinagrade.gradings.grading import Grading
from retinagrade.images.own_pictures import mark_png
from retinagrade.images.placement import Placement
from retinagrade.lesion_maps.numbers import RED
from retinagrade.lesion_maps.outlines import Outline, draw_outlines, outline_lesions
from retinagrade.lesion_maps.regions import CERTAIN
from retinagrade.storage.files import write_bytes, write_text


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
    write_text(picture.with_suffix(".json"), json.dumps(document, ensure_ascii=False) + "\n")
    write_bytes(picture, mark_png(code, grading.digest or ""))


def describe_outlines(
    grading: Grading, lesions: PhotographLesions, outlines: dict[str, list[Outline]], placement: Placement
) -> dict[str, Any]:
    """Describes the lesions of a photograph in pixels of the upright original.

    Args:
        grading: Its grading.
        lesions: Its lesions.
        outlines: Their outlines by kind, in pixels of the prepared photograph.
        placement: Place of the prepared photograph in the original.

    Returns:
        ``image_id``, ``path``, ``digest``, ``model``, ``optic_disc`` (``x``, ``y``, ``diameter``) and ``fovea``
        (``x``, ``y``), or ``null`` where they were not found, ``laterality`` as the optic disc shows it, and
        ``lesions``: ``kind``, ``probability``, ``area`` in square pixels, and ``polygon``, a list of ``[x, y]``.
    """
    disc, fovea = lesions.anatomy.disc, lesions.anatomy.fovea
    scale = placement.width / placement.side
    return {
        "image_id": grading.image_id,
        "path": grading.path,
        "digest": grading.digest,
        "model": grading.model,
        "optic_disc": None
        if disc is None
        else {**_point((disc.x, disc.y), placement), "diameter": round(disc.diameter * scale, 1)},
        "fovea": None if fovea is None else _point(fovea, placement),
        "laterality": lesions.anatomy.laterality,
        "lesions": [
            {
                "kind": kind,
                "probability": round(outline.probability, 3),
                "area": round(outline.area * scale**2, 1),
                "polygon": _rounded(placement.to_original(outline.polygon)),
            }
            for kind, of_kind in outlines.items()
            for outline in of_kind
        ],
    }


def outlined_digest(polygons: Path) -> str | None:
    """Returns the digest of the photograph that a file of polygons describes; ``None`` for any other file."""
    try:
        document = json.loads(polygons.read_bytes())
        return str(document["digest"]) if "lesions" in document else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _point(point: tuple[float, float], placement: Placement) -> dict[str, float]:
    x, y = _rounded(placement.to_original(np.array(point)))
    return {"x": x, "y": y}


def _rounded(values: NDArray[np.float64]) -> Any:
    return values.round(1).tolist()
