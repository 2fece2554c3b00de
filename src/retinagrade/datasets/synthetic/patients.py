"""A made-up data set: patients with two eyes each, photographs, lesion masks and a label file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from retinagrade.datasets.synthetic.photograph import Camera, Complexion, draw_photograph
from retinagrade.errors import UsageError
from retinagrade.execution.local import map_unordered
from retinagrade.files import is_free_folder, write_bytes, write_json
from retinagrade.grades import N_GRADES, Grade
from retinagrade.manifest import Manifest
from retinagrade.provenance import provenance_record

SMALLEST: Final = 64
_EYES: Final = ("left", "right")
_SAME_GRADE: Final = 0.75
"""Probability that a patient's eyes have the same grade; else they are one grade apart."""
_QUALITY: Final = 92
# Third number of a seed: draws that must not depend on each other.
_PATIENT, _GRADES = 2, 3


def synthesize(
    out: Path,
    *,
    count: int,
    size: int = 512,
    seed: int = 0,
    workers: int | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> Manifest:
    """Makes a data set of fundus photographs up.

    Every five patients have, in a random order, each grade once, so ten photographs show all grades. A photograph
    depends on its seed, patient and eye alone: a larger set begins with a smaller one, whatever the workers.

    Args:
        out: The folder to make: ``photographs/<patient>_<left|right>.jpg``, ``masks/<lesion>/<image_id>.png`` (255
            where the lesion is; only of lesions that there are), ``labels.csv`` (a manifest) and ``synthesize.json``.
        count: Photographs; patients have two, the last of an odd count one.
        size: Height of a photograph, in pixels, at least 64; the width is half as much again.
        seed: Seed of everything.
        workers: Processes; by default one a processor.
        on_done: Called after each photograph.

    Returns:
        The labels.

    Raises:
        UsageError: Arguments out of range, or a folder that holds something else.
    """
    if count < 1 or size < SMALLEST or seed < 0 or (workers is not None and workers < 1):
        raise UsageError(
            f"count={count}, size={size}, seed={seed}, workers={workers}: at least one photograph of {SMALLEST} "
            "pixels, a seed from 0, and one worker"
        )
    if not is_free_folder(out) and not (out / "synthesize.json").is_file():
        raise UsageError(f"{out} is not empty and holds no made-up data set: choose another folder")
    asked = {"count": count, "size": size, "seed": seed}
    write_json(out / "synthesize.json", {"settings": asked, **provenance_record()})
    for stale in (path for folder in ("photographs", "masks") for path in (out / folder).rglob("*") if path.is_file()):
        stale.unlink()
    work = partial(_make_eye, seed=seed, size=size, out=out)
    rows = []
    for row in map_unordered(work, range(count), workers, _died):
        rows.append(row)
        on_done()
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    manifest = Manifest.from_table(table, out, str(out / "labels.csv"))
    manifest.write(out / "labels.csv")
    return manifest


def eye_grade(seed: int, patient: int, eye: int) -> Grade:
    """The grade of one eye: the patient's for the left one (0), and mostly the same for the right one (1)."""
    deck = np.random.default_rng((seed, patient // N_GRADES, _GRADES)).permutation(N_GRADES)
    grade = int(deck[patient % N_GRADES])
    if eye == 1:
        rng = np.random.default_rng((seed, patient, _GRADES, eye))
        if rng.random() >= _SAME_GRADE:
            grade = int(np.clip(grade + rng.choice((-1, 1)), 0, N_GRADES - 1))
    return Grade(grade)


def _make_eye(index: int, seed: int, size: int, out: Path) -> dict[str, Any]:
    patient, eye = divmod(index, 2)
    shared = np.random.default_rng((seed, patient, _PATIENT))
    complexion, camera = Complexion.draw(shared), Camera.draw(shared)
    grade = eye_grade(seed, patient, eye)
    rng = np.random.default_rng((seed, patient, eye))
    made = draw_photograph(rng, grade, _EYES[eye] == "left", size, complexion, camera)
    image_id = f"{patient:05d}_{_EYES[eye]}"
    path = Path("photographs") / f"{image_id}.jpg"
    write_bytes(out / path, simplejpeg.encode_jpeg(made.pixels, _QUALITY, colorspace="RGB"))
    for kind, mask in made.masks.items():
        png = cv2.imencode(".png", mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
        write_bytes(out / "masks" / kind / f"{image_id}.png", png.tobytes())
    return {
        "image_id": image_id,
        "path": path.as_posix(),
        "grade": grade.value,
        "patient_id": f"{patient:05d}",
        "laterality": _EYES[eye][0].upper(),
        "dataset": "synthetic",
    }


def _died(index: int) -> dict[str, Any]:
    raise RuntimeError(f"the process that drew photograph {index} died; is there enough memory?")
