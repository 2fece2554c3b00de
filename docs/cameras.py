"""Draws ``pictures/cameras.jpg``: synthetic photographs as other cameras would have taken them.

python docs/cameras.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

import retinagrade
from retinagrade.images.camera import CAMERA_CHANGES, CameraChange, apply_camera, draw_camera, lit_region
from retinagrade.images.read import read_photograph
from retinagrade.storage.files import write_bytes

SIDE: Final = 256
DRAWS: Final = 6
ROWS: Final[tuple[tuple[CameraChange, ...], ...]] = (*((change,) for change in CAMERA_CHANGES), CAMERA_CHANGES)
"""One family of changes in each row; all of them in the last."""
FINE: Final = (("resolution",), ("sharpness",))
"""Changes that are too fine for a small picture of the whole photograph."""


def draw_sheet() -> NDArray[np.uint8]:
    """Draws a row for each family: the photograph itself, and six cameras."""
    with TemporaryDirectory() as folder:
        retinagrade.synthesize(f"{folder}/source", 2, size=512, seed=3)
        prepared = retinagrade.prepare(f"{folder}/source", f"{folder}/prepared", size=512)
        photograph = read_photograph(prepared.manifest.file(prepared.manifest.table["path"].iloc[-1]))
    inside = lit_region(photograph)
    rows = []
    for changes in ROWS:
        cameras = [draw_camera(np.random.default_rng(seed), changes, always=True) for seed in range(DRAWS)]
        row = [photograph, *(apply_camera(camera, photograph, inside) for camera in cameras)]
        rows.append(np.hstack([_cell(cell, near=changes in FINE) for cell in row]))
    return np.vstack(rows)


def _cell(photograph: NDArray[np.uint8], near: bool) -> NDArray[np.uint8]:
    """Shows the whole photograph at half its size, or the middle of it enlarged, so that fine changes can be seen."""
    if not near:
        return photograph[::2, ::2]
    start = (photograph.shape[0] - SIDE // 2) // 2
    middle = photograph[start : start + SIDE // 2, start : start + SIDE // 2]
    return middle.repeat(2, axis=0).repeat(2, axis=1)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "cameras.jpg"
    write_bytes(target, simplejpeg.encode_jpeg(draw_sheet(), 85, colorspace="RGB"))
