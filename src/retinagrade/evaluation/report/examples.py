"""Example photographs for the report: the gravest mistakes, the least certain, and a right one of every grade."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from retinagrade.errors import ImageError
from retinagrade.evaluation.predictions import COLUMNS
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest

MISTAKE, UNSURE, RIGHT = "the gravest mistakes", "the least certain", "right, and surest of its grade"
"""Why a photograph is shown."""
_SHOWN: Final = 5
_SIDE: Final = 224
_QUALITY: Final = 85


@dataclass(frozen=True)
class Example:
    """One photograph with what is known and what was predicted.

    Attributes:
        why: :data:`MISTAKE`, :data:`UNSURE` or :data:`RIGHT`.
        image_id: Its id.
        grade: Its grade.
        predicted: The grade that it was given.
        probability: The probability of that grade, 0 to 1.
        jpeg: The photograph, small, as JPEG.
    """

    why: str
    image_id: str
    grade: int
    predicted: int
    probability: float
    jpeg: bytes


def example_photographs(predictions: pd.DataFrame, manifest: Manifest) -> list[Example]:
    """Chooses photographs that tell most about a network.

    Args:
        predictions: Columns ``image_id``, ``p0`` … ``p4``, ``grade``.
        manifest: The prepared photographs; predictions of others, and files that are gone, are left out: figures
            must not wait for a picture.

    Returns:
        First up to five mistakes, by the most grades and, among these, of the highest probability; then up to five
        others whose largest probability is the lowest; then the surest right one of every grade.
    """
    table = predictions.loc[predictions["grade"].notna(), list(COLUMNS)]
    table = table.merge(manifest.table[["image_id", "path"]], on="image_id")
    probabilities = table[list(PROBABILITY_COLUMNS)].to_numpy(dtype=float)
    table = table.assign(
        predicted=probabilities.argmax(axis=1),
        probability=probabilities.max(axis=1),
        off=np.abs(probabilities.argmax(axis=1) - table["grade"].to_numpy(dtype=int)),
    ).sort_values(["off", "probability", "image_id"], ascending=[False, False, True])
    mistakes = table[table["off"] > 0].head(_SHOWN)
    rest = table.drop(mistakes.index)
    right = rest[rest["off"] == 0].groupby("grade").head(1).sort_values("grade")
    unsure = rest.drop(right.index).sort_values(["probability", "image_id"]).head(_SHOWN)
    chosen = pd.concat([mistakes.assign(why=MISTAKE), unsure.assign(why=UNSURE), right.assign(why=RIGHT)])
    examples = []
    for row in chosen.to_dict("records"):
        try:
            jpeg = _small(manifest.file(row["path"]))
        except ImageError:
            continue
        examples.append(
            Example(row["why"], row["image_id"], int(row["grade"]), row["predicted"], row["probability"], jpeg)
        )
    return examples


def _small(path: Path) -> bytes:
    photograph = cv2.resize(read_photograph(path, _SIDE), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    jpeg: bytes = simplejpeg.encode_jpeg(photograph, _QUALITY, colorspace="RGB")
    return jpeg
