"""A synthetic data set: patients with two eyes each, photographs, lesion masks and a label file."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import simplejpeg
from pydantic import BaseModel, ConfigDict

from retinagrade.arguments import AT_LEAST_ONE, NOT_NEGATIVE, NumberRange, check_arguments
from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.execution.local import map_unordered
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.grades import N_GRADES, Grade
from retinagrade.manifest import Manifest
from retinagrade.provenance import Provenance, provenance_record
from retinagrade.storage.files import is_temporary, write_bytes, write_json
from retinagrade.storage.output_guard import Output, guard_outputs

SMALLEST_HEIGHT: Final = 64
"""Smallest height of a synthetic photograph, in pixels."""
_OWN_FILE: Final = re.compile(r"\d{5,}_(left|right)\.(jpg|png)")
_EYES: Final = ("left", "right")
_SAME_GRADE: Final = 0.75
"""Probability that both eyes of a patient have one grade; otherwise they are one grade apart."""
_QUALITY: Final = 92
# Third number of a seed: draws that must not depend on each other.
_PATIENT, _GRADES = 2, 3


class SyntheticSettings(BaseModel):
    """What a synthetic data set was drawn with.

    Attributes:
        count: Number of photographs.
        size: Height of a photograph, in pixels.
        seed: Seed of all draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    size: int
    seed: int


class _Settings(BaseModel):
    settings: SyntheticSettings


class SyntheticRecord(Provenance, _Settings):
    """``synthesize.json`` of a synthetic data set.

    Attributes:
        settings: What the data set was drawn with; the same settings draw the same photographs.
    """


@check_arguments(
    count=AT_LEAST_ONE, size=NumberRange(at_least=SMALLEST_HEIGHT), seed=NOT_NEGATIVE, workers=AT_LEAST_ONE
)
def synthesize(
    out: str | os.PathLike[str],
    count: int,
    *,
    size: int = 512,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Draws a data set of synthetic fundus photographs.

    Every five patients have each grade once, in a random order, so that ten photographs show all grades. A photograph
    depends only on seed, patient and eye: a larger set begins with a smaller one, whatever the number of workers.

    Args:
        out: The folder to write: ``photographs/<patient>_<left|right>.jpg``, ``masks/<lesion>/<image_id>.png`` (255
            in the lesion; only of lesions in the photograph), ``labels.csv`` (a manifest) and ``synthesize.json``.
        count: Number of photographs. Each patient has two; the last patient of an odd number has one.
        size: Height of a photograph, in pixels, at least 64; the width is 1.5 times the height.
        seed: Seed of all draws.
        workers: Number of worker processes; ``None`` takes one per processor.
        overwrite: Whether a folder with other files may take the data set, which replaces files of the same names.
        progress: Callback for progress.

    Returns:
        The photographs with their grades, patients and eyes.

    Raises:
        UsageError: An argument is out of range, or the folder holds other files, or a set of other arguments.
    """
    folder = Path(out)
    settings = SyntheticSettings(count=count, size=size, seed=seed)
    record = folder / "synthesize.json"
    guard_outputs([Output(folder, True, lambda: _settings_of(record) == settings.model_dump())], [], overwrite)
    write_json(record, SyntheticRecord(settings=settings, **provenance_record()).model_dump(mode="json"))
    _delete_earlier(folder)
    step = begin_stage(progress, "drawing photographs", count)
    rows = []
    for row in map_unordered(partial(_draw_eye, seed=seed, size=size, out=folder), range(count), workers, _crashed):
        rows.append(row)
        step()
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    manifest = Manifest.from_table(table, folder, str(folder / "labels.csv"))
    manifest.write(folder / "labels.csv")
    return manifest


def eye_grade(seed: int, patient: int, eye: int) -> Grade:
    """Draws the grade of an eye: the patient's grade for the left eye (0), mostly the same for the right eye (1)."""
    deck = np.random.default_rng((seed, patient // N_GRADES, _GRADES)).permutation(N_GRADES)
    grade = int(deck[patient % N_GRADES])
    if eye == 1:
        rng = np.random.default_rng((seed, patient, _GRADES, eye))
        if rng.random() >= _SAME_GRADE:
            grade = int(np.clip(grade + rng.choice((-1, 1)), 0, N_GRADES - 1))
    return Grade(grade)


def _settings_of(record: Path) -> Any:
    """Returns the settings of the data set that a folder holds; ``None`` where it holds none."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _delete_earlier(folder: Path) -> None:
    """Deletes the photographs and masks of an earlier call, and no other files."""
    for name in ("photographs", "masks"):
        for path in list((folder / name).rglob("*")):
            if path.is_file() and (is_temporary(path) or _OWN_FILE.fullmatch(path.name)):
                path.unlink()


def _draw_eye(index: int, seed: int, size: int, out: Path) -> dict[str, Any]:
    patient, eye = divmod(index, 2)
    shared = np.random.default_rng((seed, patient, _PATIENT))
    complexion, camera = Complexion.draw(shared), CameraModel.draw(shared)
    grade = eye_grade(seed, patient, eye)
    rng = np.random.default_rng((seed, patient, eye))
    drawn = draw_photograph(rng, grade, _EYES[eye] == "left", size, complexion, camera)
    image_id = f"{patient:05d}_{_EYES[eye]}"
    path = Path("photographs") / f"{image_id}.jpg"
    write_bytes(out / path, simplejpeg.encode_jpeg(drawn.pixels, _QUALITY, colorspace="RGB"))
    for lesion, mask in drawn.masks.items():
        png = cv2.imencode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
        write_bytes(out / "masks" / lesion / f"{image_id}.png", png.tobytes())
    return {
        "image_id": image_id,
        "path": path.as_posix(),
        "grade": grade.value,
        "patient_id": f"{patient:05d}",
        "laterality": _EYES[eye][0].upper(),
        "dataset": "synthetic",
    }


def _crashed(index: int) -> dict[str, Any]:
    raise RuntimeError(f"the process that drew photograph {index} died: is there enough memory?")
