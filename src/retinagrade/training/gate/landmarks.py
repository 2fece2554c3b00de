"""Optic disc and fovea of prepared photographs, as the bundled grader finds them: computed once, and kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, RootModel

from retinagrade.errors import ExperimentError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.grader import Grader
from retinagrade.grader.sessions import LESIONS
from retinagrade.images.prepare import resize_to_input
from retinagrade.images.read import read_photograph
from retinagrade.lesion_maps.anatomy import find_anatomy
from retinagrade.lesion_maps.mapped import map_photograph
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.storage.files import read_json_model, write_json

_DISC: Final = "optic_disc"
_OFTEN: Final = 20
"""Photographs after which the file is written, so that little is computed again after an interruption."""


class Landmarks(BaseModel):
    """Positions in radii of the photograph's disc from its centre, to the right and downwards.

    Attributes:
        disc: The optic disc's centre; ``None`` where it was not found.
        fovea: The fovea's; ``None`` where it was not found.
    """

    model_config = ConfigDict(frozen=True)

    disc: tuple[float, float] | None = None
    fovea: tuple[float, float] | None = None


_LandmarksFile = RootModel[dict[str, Landmarks]]


def find_landmarks(photographs: dict[str, Path], file: Path, progress: Progress | None = None) -> dict[str, Landmarks]:
    """Finds the landmarks of photographs, and keeps them in a file, which the same call continues.

    Args:
        photographs: Files of prepared photographs by image id.
        file: JSON file of the landmarks.
        progress: Receives the number of photographs.

    Raises:
        ExperimentError: The file can't be read.
        ImageError: A photograph can't be read.
    """
    known = read_json_model(file, _LandmarksFile, "a file of landmarks", ExperimentError).root if file.exists() else {}
    missing = [image_id for image_id in photographs if image_id not in known]
    if not missing:
        return known
    grader = Grader.load()
    step = begin_stage(progress, "finding optic discs and foveas", len(missing))
    for count, image_id in enumerate(missing, 1):
        known[image_id] = _find(grader, photographs[image_id])
        if count % _OFTEN == 0 or count == len(missing):
            write_json(file, {key: each.model_dump() for key, each in sorted(known.items())})
        step()
    return known


def _find(grader: Grader, file: Path) -> Landmarks:
    assert grader.metadata.lesions is not None
    square = resize_to_input(read_photograph(file), grader.metadata.image_size)
    kinds = grader.metadata.lesions.kinds
    mapped = map_photograph(square, grader.network(blacken_outside(square)[0][None])[LESIONS][0], kinds)
    found = find_anatomy(mapped.photograph, mapped.maps[kinds.index(_DISC)], mapped.inside)
    disc = None if found.disc is None else (found.disc.x, found.disc.y)
    return Landmarks(disc=_in_radii(disc, len(mapped.square)), fovea=_in_radii(found.fovea, len(mapped.square)))


def _in_radii(position: Iterable[float] | None, side: int) -> tuple[float, float] | None:
    if position is None:
        return None
    x, y = (round((2 * each + 1) / side - 1, 4) for each in position)
    return x, y
