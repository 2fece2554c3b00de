"""A contact sheet: photographs before and after preparation, the most doubtful crops first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.own_pictures import mark_jpeg
from retinagrade.images.read import read_photograph

_DOUBTFUL, _SAMPLED = 12, 12
_COLUMNS: Final = 4
_BEFORE, _HEIGHT = 270, 180
_GAP: Final = 6
_GREEN, _WHITE = (60, 220, 90), (255, 255, 255)


def contact_sheet(photographs: Sequence[tuple[Path, Path, float]]) -> bytes:
    """Draws up to 24 photographs with their fields of view, each beside its prepared photograph.

    Args:
        photographs: Source file, prepared file and confidence, 0 to 1, of each photograph. The first half of the sheet
            has the lowest confidences, the second half is spread evenly over the rest.

    Returns:
        The sheet as JPEG; the same bytes for the same files.
    """
    ordered = sorted(photographs, key=lambda entry: (entry[2], entry[1].name))
    rest = ordered[_DOUBTFUL:]
    step = max(1, len(rest) // _SAMPLED)
    cells = [_cell(*entry) for entry in [*ordered[:_DOUBTFUL], *rest[::step][:_SAMPLED]]]
    blank = np.zeros((_HEIGHT, _BEFORE + _HEIGHT, 3), np.uint8)
    cells += [blank] * (-len(cells) % _COLUMNS or (0 if cells else _COLUMNS))
    padded = [np.pad(cell, ((_GAP, _GAP), (_GAP, _GAP), (0, 0))) for cell in cells]
    rows = [np.hstack(padded[start : start + _COLUMNS]) for start in range(0, len(padded), _COLUMNS)]
    return mark_jpeg(simplejpeg.encode_jpeg(np.vstack(rows), 85, colorspace="RGB"))


def _cell(source: Path, prepared: Path, confidence: float) -> NDArray[np.uint8]:
    """Draws one photograph before and after its preparation, side by side; black if a file is gone."""
    cell = np.zeros((_HEIGHT, _BEFORE + _HEIGHT, 3), np.uint8)
    try:
        before, after = read_photograph(source, _BEFORE), read_photograph(prepared, _HEIGHT)
        fov = find_field_of_view(before)
    except ImageError:  # gone since its preparation
        return cell
    thick = max(1, before.shape[1] // 150)
    cv2.rectangle(before, (fov.x, fov.y), (fov.x + fov.width - 1, fov.y + fov.height - 1), _WHITE, thick)
    if fov.circle is not None:
        centre = round(fov.circle.x), round(fov.circle.y)
        cv2.circle(before, centre, round(fov.circle.radius), _GREEN, thick, cv2.LINE_AA)
    scale = min(_BEFORE / before.shape[1], _HEIGHT / before.shape[0])
    width, height = max(1, int(before.shape[1] * scale)), max(1, int(before.shape[0] * scale))
    cell[:height, :width] = cv2.resize(before, (width, height), interpolation=cv2.INTER_AREA)
    cell[:, _BEFORE:] = cv2.resize(after, (_HEIGHT, _HEIGHT), interpolation=cv2.INTER_AREA)
    label = f"{prepared.stem.encode('ascii', 'replace').decode()} {confidence:.2f}"
    cv2.putText(cell, label, (4, _HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _WHITE, 1, cv2.LINE_AA)
    return cell
