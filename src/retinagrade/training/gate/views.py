"""Views: which part of a retina a made-up camera shows, from which angle, and how its frame cuts the disc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.gate.names import CENTRES
from retinagrade.images.camera import Place
from retinagrade.training.gate.retinas import RETINA_SIDE, Retina

_Name = TypeVar("_Name", bound=str)
Position = tuple[float, float]
Aim = Literal["whole", "circle", "macula", "disc", "elsewhere"]
"""What a view shows: the whole disc of the retina's own camera, a circle in it, or a circle around a landmark."""
Cut = Literal["none", "top and bottom", "all sides", "one side"]
"""Sides on which the frame cuts the disc."""

_AIMS: Final[dict[Aim, float]] = {"whole": 0.38, "circle": 0.3, "macula": 0.14, "disc": 0.1, "elsewhere": 0.08}
_CUTS: Final[dict[Cut, float]] = {"none": 0.42, "top and bottom": 0.22, "all sides": 0.24, "one side": 0.12}
_MARGINS: Final = (0.08, 0.15)
"""Radii around the centres of optic disc and macula that must be visible as well."""
_CENTRED: Final = (0.27, 0.37)
"""Distance from the centre, in radii, up to which a landmark is in the middle, and from which it isn't."""


@dataclass(frozen=True)
class View:
    """A view of a retina; lengths are in radii of the retina's disc, or of the view's own disc.

    Attributes:
        aim: What it shows.
        cut: Sides on which the frame cuts the disc.
        is_tight: Whether the frame touches the disc on all sides.
        centre: Centre of the view's disc on the retina.
        radius: Its radius on the retina.
        angle: Rotation, in radians.
        mirror: -1 for a mirrored view, else 1.
        frame: Left, top, right and bottom edge of the frame, in radii of the view's disc.
    """

    aim: Aim
    cut: Cut
    is_tight: bool
    centre: Position
    radius: float
    angle: float
    mirror: int
    frame: tuple[float, float, float, float]


@dataclass(frozen=True)
class Shot:
    """A view as pixels.

    Attributes:
        pixels: RGB (H, W, 3), uint8, black outside the disc.
        inside: True (H, W) inside the disc.
        place: Place of the pixels in the view's disc.
        disc: 1 if the optic disc is visible, 0 if it isn't, NaN if it is cut or unknown.
        macula: The same of the macula.
        centre: Index in ``CENTRES`` of the landmark in the middle; -1 if it is unknown or between two.
    """

    pixels: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    place: Place
    disc: float
    macula: float
    centre: int


def draw_view(rng: np.random.Generator, retina: Retina, is_clean: bool = False) -> View:
    """Draws a view.

    Args:
        rng: Random number generator.
        retina: The retina.
        is_clean: Whether the view must be one that a photographer would have wanted.
    """
    aims = {aim: share for aim, share in _AIMS.items() if _is_possible(aim, retina, is_clean)}
    aim = _choose(rng, aims)
    centre, radius = _draw_disc(rng, retina, aim)
    cut = _choose(rng, {cut: share for cut, share in _CUTS.items() if not (is_clean and cut == "one side")})
    is_tight = bool(rng.random() < 0.25)
    frame = _draw_frame(rng, cut, is_tight)
    angle = rng.normal(0, 0.12) + (np.pi if rng.random() < 0.15 else 0)
    return View(aim, cut, is_tight, centre, radius, float(angle), int(rng.choice([-1, 1])), frame)


def take_shot(retina: Retina, view: View, diameter: float) -> Shot:
    """Takes a photograph of a view.

    Args:
        retina: The retina.
        view: The view.
        diameter: Diameter of the view's disc, in pixels.
    """
    left, top, right, bottom = view.frame
    step = 2 / diameter
    width, height = max(16, round((right - left) / step)), max(16, round((bottom - top) / step))
    place = Place((left + step / 2, top + step / 2), (step, 0.0), (0.0, step))
    to_retina = _to_retina(view)
    half = RETINA_SIDE / 2
    scaled = half * to_retina * step
    origin = half * (np.array(view.centre) + to_retina @ np.array(place.origin) + 1) - 0.5
    transform = np.column_stack([scaled, origin]).astype(np.float64)
    pixels = _warp(_smooth(retina.pixels, half * view.radius * step), transform, (width, height))
    edge = np.asarray(cv2.erode(retina.inside.astype(np.uint8), np.ones((5, 5), np.uint8)) * 255, np.uint8)
    x, y = place.positions((height, width))
    inside = (_warp(edge, transform, (width, height)) > 127) & (x * x + y * y < 1)
    pixels[~inside] = 0
    return Shot(pixels, inside, place, *_find_landmarks(retina, view, inside, place))


def _is_possible(aim: Aim, retina: Retina, is_clean: bool) -> bool:
    landmark = {"macula": retina.landmarks.fovea, "disc": retina.landmarks.disc}
    return not (aim in landmark and landmark[aim] is None) and not (is_clean and aim == "elsewhere")


def _draw_disc(rng: np.random.Generator, retina: Retina, aim: Aim) -> tuple[Position, float]:
    """Draws centre and radius of a view's disc on the retina."""
    centre = np.zeros(2)
    if aim == "whole":
        radius = rng.uniform(0.96, 1.0)
    elif aim == "circle":
        radius = rng.uniform(0.68, 0.84)
        centre = rng.uniform(-1, 1, 2) * (0.9 * (1 - radius), max(0.0, 0.83 - radius))
    elif aim == "elsewhere":
        radius, angle = rng.uniform(0.45, 0.7), rng.uniform(0, 2 * np.pi)
        centre = 0.5 * np.array([np.cos(angle), np.sin(angle)])
    else:
        radius = rng.uniform(0.55, 0.8) if aim == "macula" else rng.uniform(0.5, 0.75)
        landmark = retina.landmarks.fovea if aim == "macula" else retina.landmarks.disc
        centre = np.array(landmark) + rng.normal(0, 0.05, 2)
    return (float(centre[0]), float(centre[1])), float(radius)


def _draw_frame(rng: np.random.Generator, cut: Cut, is_tight: bool) -> tuple[float, float, float, float]:
    wide, high = np.abs(rng.normal(0, 0.18, 2)), np.abs(rng.normal(0, 0.06, 2))
    if rng.random() < 0.08:  # a small disc in a large frame
        wide, high = wide + rng.uniform(0, 1.0), high + rng.uniform(0, 0.6)
    frame = np.array([-1 - wide[0], -1 - high[0], 1 + wide[1], 1 + high[1]])
    if is_tight:
        frame = np.array([-1.0, -1.0, 1.0, 1.0])
    if cut == "top and bottom":
        edge = rng.uniform(0.72, 0.97)
        frame[1], frame[3] = -edge, edge + rng.normal(0, 0.02)
    elif cut == "all sides":
        high_edge, wide_edge = rng.uniform(0.62, 0.9), rng.uniform(0.8, 0.98)
        frame = np.array([-wide_edge, -high_edge, wide_edge, high_edge])
    elif cut == "one side":
        side, edge = int(rng.integers(4)), rng.uniform(-0.35, 0.8)
        frame[side] = -edge if side < 2 else edge
    left, top, right, bottom = frame.tolist()
    return left, top, right, bottom


def _to_retina(view: View) -> NDArray[np.float64]:
    """Returns the matrix (2, 2) from radii of the view's disc to radii of the retina's."""
    cosine, sine = np.cos(view.angle), np.sin(view.angle)
    return np.asarray(view.radius * np.array([[cosine * view.mirror, -sine], [sine * view.mirror, cosine]]))


def _warp(pixels: NDArray[np.uint8], transform: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.warpAffine(pixels, transform, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.uint8)


def _smooth(pixels: NDArray[np.uint8], shrinking: float) -> NDArray[np.uint8]:
    """Smooths pixels before they shrink by that factor."""
    return pixels if shrinking < 1.3 else np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 * shrinking), np.uint8)


def _find_landmarks(retina: Retina, view: View, inside: NDArray[np.bool_], place: Place) -> tuple[float, float, int]:
    """Finds out whether optic disc and macula are visible, and which of them is in the middle."""
    to_view = np.linalg.inv(_to_retina(view))
    found = [
        None if position is None else to_view @ (np.array(position) - view.centre)
        for position in (retina.landmarks.disc, retina.landmarks.fovea)
    ]
    disc, macula = (_visibility(each, margin, inside, place) for each, margin in zip(found, _MARGINS, strict=True))
    if found[0] is None or found[1] is None:
        return disc, macula, -1
    to_disc, to_macula = (float(np.hypot(*each)) for each in found if each is not None)
    near, far = _CENTRED
    if min(to_disc, to_macula) > far:
        return disc, macula, CENTRES.index("neither")
    if min(to_disc, to_macula) > near:
        return disc, macula, -1
    return disc, macula, CENTRES.index("macula" if to_macula < to_disc else "optic disc")


def _visibility(position: NDArray[np.float64] | None, margin: float, inside: NDArray[np.bool_], place: Place) -> float:
    if position is None:
        return float("nan")
    step = place.across[0]
    column, row = (position[0] - place.origin[0]) / step, (position[1] - place.origin[1]) / step
    height, width = inside.shape

    def is_inside(x: float, y: float) -> bool:
        return 0 <= round(y) < height and 0 <= round(x) < width and bool(inside[round(y), round(x)])

    if not is_inside(column, row):
        return 0.0
    far = margin / step
    around = ((far, 0), (-far, 0), (0, far), (0, -far))
    return 1.0 if all(is_inside(column + across, row + down) for across, down in around) else float("nan")


def _choose(rng: np.random.Generator, shares: dict[_Name, float]) -> _Name:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(shares), p=weights / weights.sum()))]
