"""Separation by quality: photographs from degraded copies and from other pictures.

    python benchmarks/quality.py IDRID_FOLDER

Prints the share of original photographs that are flagged, and the area under the ROC curve for each degradation: 1
where all degraded copies score below all photographs. Other pictures are the examples of scikit-image
(pip install scikit-image).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from retinagrade.datasets.layouts import read_dataset
from retinagrade.errors import ImageError
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.quality import POOR, assess_quality
from retinagrade.images.read import read_photograph

DEGRADATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "blurred, sigma 1 % of the height": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 0.01 * pixels.shape[0]),
    "blurred, sigma 2 % of the height": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 0.02 * pixels.shape[0]),
    "a quarter of the light": lambda pixels: (pixels * 0.25).astype(np.uint8),
    "an eighth of the light": lambda pixels: (pixels * 0.125).astype(np.uint8),
    "two and a half times the light": lambda pixels: np.clip(pixels * 2.5, 0, 255).astype(np.uint8),
    "four times the light": lambda pixels: np.clip(pixels * 4.0, 0, 255).astype(np.uint8),
    "left half only": lambda pixels: np.ascontiguousarray(pixels[:, : pixels.shape[1] // 2]),
    "upper left 60 %": lambda pixels: np.ascontiguousarray(
        pixels[: int(0.6 * pixels.shape[0]), : int(0.6 * pixels.shape[1])]
    ),
}
OTHERS = [
    *("astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "rocket", "text"),
]


def other_pictures() -> Iterator[NDArray[Any]]:
    """Yields everyday pictures, RGB (H, W, 3), uint8."""
    from skimage import data

    for name in OTHERS:
        pixels = np.asarray(getattr(data, name)())
        yield np.ascontiguousarray(np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels[..., :3]).astype(np.uint8)


def score(pixels: NDArray[Any]) -> float:
    """Returns the quality score; 0 without a field of view."""
    try:
        return assess_quality(pixels, find_field_of_view(pixels)).score
    except ImageError:
        return 0.0


def main() -> None:
    """Measures and prints."""
    manifest = read_dataset(Path(sys.argv[1]))
    clean, degraded = [], defaultdict(list)
    for path in manifest.table["path"]:
        pixels = read_photograph(manifest.file(path))
        clean.append(score(pixels))
        for name, degrade in DEGRADATIONS.items():
            degraded[name].append(score(degrade(pixels)))
    degraded["no fundus at all"] = [score(pixels) for pixels in other_pictures()]
    flagged = np.mean(np.array(clean) < POOR)
    print(f"{len(clean)} original photographs: {flagged:.1%} flagged")
    degraded["all of them"] = list(chain.from_iterable(degraded.values()))
    for name, scores in degraded.items():
        auc = roc_auc_score([0] * len(clean) + [1] * len(scores), [-value for value in [*clean, *scores]])
        print(f"{name:36} AUC {auc:.4f}, {np.mean(np.array(scores) < POOR):.0%} flagged")


if __name__ == "__main__":
    main()
