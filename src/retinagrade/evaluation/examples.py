"""Example photographs for the report: the gravest mistakes, the least certain grades, and right grades."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from retinagrade.errors import ImageError
from retinagrade.evaluation.predictions import PREDICTION_COLUMNS
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.images.read import read_photograph
from retinagrade.manifest import Manifest

MISTAKE, UNCERTAIN, RIGHT = "the gravest mistakes", "the least certain grades", "right grades, the most certain of each"
"""Reasons to show a photograph."""
_SHOWN: Final = 5
_SIDE: Final = 224
_QUALITY: Final = 85


@dataclass(frozen=True)
class Example:
    """A photograph with its grade and its prediction.

    Attributes:
        reason: :data:`MISTAKE`, :data:`UNCERTAIN` or :data:`RIGHT`.
        image_id: Its id.
        grade: Its grade.
        predicted: Its predicted grade.
        probability: Probability of the predicted grade, 0 to 1.
        jpeg: A small version of the photograph, as JPEG.
    """

    reason: str
    image_id: str
    grade: int
    predicted: int
    probability: float
    jpeg: bytes


def example_photographs(predictions: pd.DataFrame, manifest: Manifest) -> list[Example]:
    """Chooses the photographs that show most about a network.

    Args:
        predictions: Columns ``image_id``, ``p0`` … ``p4``, ``grade``.
        manifest: The prepared photographs. Photographs that are not in the manifest, and files that are missing, are
            left out, so that a missing picture never prevents an evaluation.

    Returns:
        First up to five mistakes, those by the most grades first and, among these, those with the highest probability;
        then up to five other photographs with the lowest largest probability; then the most certain right grade of each
        kind.
    """
    table = predictions.loc[predictions["grade"].notna(), list(PREDICTION_COLUMNS)]
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
    uncertain = rest.drop(right.index).sort_values(["probability", "image_id"]).head(_SHOWN)
    chosen = pd.concat(
        [mistakes.assign(reason=MISTAKE), uncertain.assign(reason=UNCERTAIN), right.assign(reason=RIGHT)]
    )
    examples = []
    for row in chosen.to_dict("records"):
        try:
            jpeg = _thumbnail(manifest.file(row["path"]))
        except ImageError:
            continue
        examples.append(
            Example(row["reason"], row["image_id"], int(row["grade"]), row["predicted"], row["probability"], jpeg)
        )
    return examples


def _thumbnail(path: Path) -> bytes:
    photograph = cv2.resize(read_photograph(path, _SIDE), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    jpeg: bytes = simplejpeg.encode_jpeg(photograph, _QUALITY, colorspace="RGB")
    return jpeg
