"""A page of held-out photographs with the gate's answers, from best to worst, for a photographer to check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.gate.inputs import letterbox
from retinagrade.gate.names import FAULTS, LANDMARKS, MODALITIES
from retinagrade.training.gate.draw import PictureSource
from retinagrade.training.gate.features import FeatureSet
from retinagrade.training.gate.judge import THRESHOLD, Answers, is_refused, refusal_scores

_COLUMNS: Final = 8
_ROWS: Final = 8
_SIDE: Final = 190
_LINES: Final = 3
_LINE: Final = 14
_COLOURS: Final = {"good": (120, 255, 120), "usable": (255, 220, 100), "refused": (255, 120, 110)}


def draw_page(source: PictureSource, pictures: FeatureSet, answers: Answers) -> NDArray[np.uint8]:
    """Draws photographs of a fundus, evenly from the best to the worst, with the gate's answers.

    Args:
        source: The source of the pictures.
        pictures: The judged pictures.
        answers: The gate's answers for them.

    Returns:
        RGB pixels (H, W, 3), uint8.
    """
    fundus = np.flatnonzero([each.modality == "colour" for each in pictures.labels])
    ordered = fundus[np.argsort(refusal_scores(answers)[fundus], kind="stable")]
    count = min(_COLUMNS * _ROWS, len(ordered))
    chosen = ordered[np.linspace(0, len(ordered) - 1, count).round().astype(int)] if count else ordered
    tiles = [_tile(source.draw(int(pictures.indices[row])).pixels, describe(answers, int(row))) for row in chosen]
    return _sheet(tiles)


def describe(answers: Answers, row: int) -> list[str]:
    """Returns the answers for one photograph in words: the verdict with its score, the reasons, and what is missing."""
    quality, modality = answers["quality"][row], answers["modality"][row]
    one = {name: each[row : row + 1] for name, each in answers.items()}
    verdict = "refused" if is_refused(one)[0] else "usable" if quality[0] >= THRESHOLD else "good"
    found = [FAULTS[place] for place in np.argsort(-answers["reasons"][row]) if answers["reasons"][row][place] > 0.5]
    if modality.argmax() != MODALITIES.index("colour"):
        found.insert(0, f"modality {MODALITIES[int(modality.argmax())]}")
    missing = [name for name, value in zip(LANDMARKS, answers["visible"][row], strict=True) if value < THRESHOLD]
    return [
        f"{verdict}  {refusal_scores(one)[0]:.2f}",
        ", ".join(found[:2]),
        f"no {', no '.join(missing)}" if missing else "",
    ]


def _tile(pixels: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    tile = np.zeros((_SIDE + _LINES * _LINE + 6, _SIDE + 4, 3), np.uint8)
    tile[:_SIDE, 2 : _SIDE + 2] = letterbox(pixels, _SIDE)
    colour = _COLOURS[lines[0].split()[0]]
    for place, line in enumerate(lines):
        position = 4, _SIDE + _LINE * (place + 1) - 2
        cv2.putText(tile, line, position, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not tiles:
        return np.zeros((_SIDE, _SIDE, 3), np.uint8)
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    filled = [*tiles, *blank]
    rows = [np.hstack(filled[start : start + _COLUMNS]) for start in range(0, len(filled), _COLUMNS)]
    return np.vstack(rows)
