"""Writers of small data sets with generated photographs: IDRiD's tree, and a folder for each grade."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

IDRID_HEADER = "Image name,Retinopathy grade,Risk of macular edema ,,,,,,,,,"


def write_photograph(path: Path, number: int = 0, size: int = 96) -> Path:
    """Writes a bright disc whose colour depends on ``number``, in the format of the suffix."""
    rng = np.random.default_rng(number)
    pixels = np.zeros((size, size * 3 // 2, 3), np.uint8)
    colour = [int(value) for value in rng.integers((120, 60, 20), (220, 120, 60))]
    cv2.circle(pixels, (size * 3 // 4, size // 2), size // 2 - 3, colour, cv2.FILLED)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        path.write_bytes(simplejpeg.encode_jpeg(pixels, 90, colorspace="RGB"))
    else:
        cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def write_idrid(root: Path, train: Iterable[int], test: Iterable[int] = ()) -> Path:
    """Writes IDRiD's official tree, with its empty columns, and photographs numbered from 1 in both halves."""
    part = root / "B. Disease Grading"
    for folder, labels, grades in (
        ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv", list(train)),
        ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv", list(test)),
    ):
        if not grades:
            continue
        lines = [IDRID_HEADER]
        for number, grade in enumerate(grades, start=1):
            write_photograph(part / "1. Original Images" / folder / f"IDRiD_{number:03d}.jpg", number)
            lines.append(f"IDRiD_{number:03d},{grade},1,,,,,,,,,")
        target = part / "2. Groundtruths" / labels
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes("\r\n".join([*lines, ""]).encode())
    return root


def write_folders(root: Path, names: Iterable[str], each: int = 2) -> Path:
    """Writes a folder for each grade; file names are unique in the whole tree."""
    for index, name in enumerate(names):
        for number in range(each):
            write_photograph(root / name / f"{index}{number}.png", 10 * index + number)
    return root
