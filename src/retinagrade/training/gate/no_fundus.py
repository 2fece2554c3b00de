"""Pictures without one fundus, by kind: drawn ones, those of a folder, and several photographs in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.training.gate import flat_things, round_things
from retinagrade.training.gate.drawing import any_colour, store
from retinagrade.training.gate.fundus import draw_fundus
from retinagrade.training.gate.picture import Picture
from retinagrade.training.gate.picture_folder import FolderPicture, show_on_disc, show_picture
from retinagrade.training.gate.retinas import Retina

SHARES: Final = {
    "picture": 0.2, "picture on a disc": 0.16, "ball": 0.08, "fruit": 0.05, "rings": 0.04, "textured disc": 0.09,
    "collage": 0.05, "eye": 0.06, "document": 0.04, "screen": 0.05, "chart": 0.04, "several photographs": 0.1,
    "nothing": 0.03, "scan": 0.03,
}  # fmt: skip
"""Shares of the kinds. Without a folder of pictures, the first two are missing."""
_FROM_FOLDER: Final = ("picture", "picture on a disc")
_DRAWN: Final[dict[str, Callable[[np.random.Generator], NDArray[np.uint8]]]] = {
    "ball": round_things.draw_ball,
    "fruit": round_things.draw_fruit,
    "rings": round_things.draw_rings,
    "textured disc": round_things.draw_textured_disc,
    "collage": round_things.draw_collage,
    "eye": round_things.draw_eye,
    "document": flat_things.draw_document,
    "chart": flat_things.draw_chart,
    "nothing": flat_things.draw_nothing,
    "scan": flat_things.draw_scan,
}
_PHOTOGRAPH_ON_SCREEN: Final = 0.4


@dataclass(frozen=True)
class Material:
    """What pictures without a fundus are made from.

    Attributes:
        pictures: Pictures of the folder.
        draw_retina: Draws a retina for several photographs in one picture.
    """

    pictures: Sequence[FolderPicture]
    draw_retina: Callable[[np.random.Generator], Retina]


def draw_no_fundus(rng: np.random.Generator, material: Material) -> Picture:
    """Draws a picture without one fundus."""
    photographs = [each for each in material.pictures if each.is_photograph]
    kinds = [kind for kind in SHARES if kind not in _FROM_FOLDER or photographs]
    weights = np.array([SHARES[kind] for kind in kinds])
    kind, source = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))], ""
    if kind in _FROM_FOLDER:
        chosen = material.pictures if kind == "picture" else photographs
        picture = chosen[int(rng.integers(len(chosen)))]
        pixels = show_picture(rng, picture) if kind == "picture" else show_on_disc(rng, picture)
        source = picture.origin
    elif kind == "screen":
        has_photograph = rng.random() < _PHOTOGRAPH_ON_SCREEN
        shown = _small_fundus(rng, material, int(rng.integers(90, 200))) if has_photograph else None
        pixels = flat_things.draw_screen(rng, shown)
    elif kind == "several photographs":
        pixels = _several(rng, material)
    else:
        pixels = _DRAWN[kind](rng)
    return Picture(store(rng, pixels), "no fundus", kind, frozenset({kind}), source)


def _small_fundus(rng: np.random.Generator, material: Material, diameter: int) -> NDArray[np.uint8]:
    return draw_fundus(rng, material.draw_retina(rng), is_clean=True, diameter=diameter).pixels


def _several(rng: np.random.Generator, material: Material) -> NDArray[np.uint8]:
    """Shows two or four photographs, or two exposures, in one picture."""
    form, diameter = str(rng.choice(["pair", "pair", "pair", "column", "grid", "overlap"])), int(rng.integers(130, 260))
    parts = [_small_fundus(rng, material, diameter)]
    if form == "pair" and rng.random() < 0.3:
        parts.append(parts[0][:, ::-1])
    else:
        parts += [_small_fundus(rng, material, diameter) for _ in range(3 if form == "grid" else 1)]
    height, width = (min(part.shape[axis] for part in parts) for axis in (0, 1))
    parts = [_middle(part, height, width) for part in parts]
    gap = int(rng.choice([0, 0, 5, 20]))
    colour = any_colour(rng, 0, 255).astype(np.uint8) if rng.random() < 0.5 else np.zeros(3, np.uint8)
    if form == "overlap":
        shared = int(width * rng.uniform(0.1, 0.25))
        return np.ascontiguousarray(np.hstack([parts[0][:, : width - shared], parts[1][:, shared:]]))
    if form == "column":
        return _join(parts, gap, colour, 0)
    if form == "grid":
        return _join([_join(parts[:2], gap, colour, 1), _join(parts[2:], gap, colour, 1)], gap, colour, 0)
    return _join(parts, gap, colour, 1)


def _join(parts: Sequence[NDArray[np.uint8]], gap: int, colour: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    shape = list(parts[0].shape)
    shape[axis] = gap
    between = np.broadcast_to(colour, shape)
    joined = [piece for part in parts for piece in (between, part)][1:]
    return np.ascontiguousarray(np.concatenate(joined, axis=axis))


def _middle(part: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (part.shape[0] - height) // 2, (part.shape[1] - width) // 2
    return part[top : top + height, left : left + width]
