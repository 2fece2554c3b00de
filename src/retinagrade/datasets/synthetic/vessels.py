"""The retinal vessel tree: arcades around the macula, and their branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_STEP: Final = 0.02
_SUBPIXEL_BITS: Final = 4
_TRUNK_WIDTH: Final = 0.028
_FOVEAL_ZONE: Final = 0.13
"""Radius of the zone around the fovea that has no vessels."""


@dataclass(frozen=True)
class Vessel:
    """A vessel between two branchings.

    Attributes:
        points: The middle line (n, 2), x and y in radii of the field of view.
        widths: The width (n,) at these points, in radii.
        is_vein: True for a vein, which is wider and darker than an artery.
    """

    points: NDArray[np.float64]
    widths: NDArray[np.float64]
    is_vein: bool


def vessel_tree(
    rng: np.random.Generator, disc: NDArray[np.float64], fovea: NDArray[np.float64], beading: float = 0.0
) -> list[Vessel]:
    """Grows arteries and veins: two temporal and two nasal trunks each, with two generations of branches.

    Args:
        rng: Generator of the draws.
        disc: Centre (2,) of the optic disc.
        fovea: Centre (2,) of the macula.
        beading: Amplitude of the swelling and narrowing of veins (severe retinopathy), as a share of their width.

    Returns:
        The vessels, trunks before their branches.
    """
    vessels = []
    for is_vein in (False, True):
        for up in (-1, 1):
            for temporal in (True, False):
                trunk = _trunk(rng, disc, up, temporal, is_vein)
                vessels.append(_beaded(trunk, rng, beading))
                for branch in _branches(rng, trunk, fovea, count=9 if temporal else 5):
                    vessels.append(_beaded(branch, rng, beading))
                    vessels += _branches(rng, branch, fovea, count=3)
    return vessels


def random_curve(
    rng: np.random.Generator, start: NDArray[np.float64], heading: float, length: float, curl: float = 0.12
) -> NDArray[np.float64]:
    """Draws a curve whose direction changes gradually.

    Args:
        rng: Generator of the draws.
        start: First point (2,) of the curve.
        heading: Direction at that point, in radians.
        length: Length of the curve, in radii.
        curl: Standard deviation of the turn at each step, in radians.

    Returns:
        Points (n, 2), a hundredth of the field of view apart.
    """
    steps = max(3, round(length / _STEP))
    bend = rng.normal(0, curl / 3)
    headings = heading + np.cumsum(rng.normal(bend, curl, steps))
    moves = _STEP * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return start + np.vstack([np.zeros(2), np.cumsum(moves, axis=0)])


def draw_vessels(vessels: list[Vessel], side: int) -> NDArray[np.uint8]:
    """Draws vessels as filled, tapering outlines with smooth edges.

    Args:
        vessels: The vessels.
        side: Side of the picture in pixels; the field of view touches its edges.

    Returns:
        The coverage of each pixel by vessels (side, side), 0 to 255.
    """
    canvas = np.zeros((side, side), np.uint8)
    for vessel in vessels:
        directions = np.gradient(vessel.points, axis=0)
        normals = np.stack([-directions[:, 1], directions[:, 0]], axis=1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        offset = normals * vessel.widths[:, None] / 2
        fill_outline(canvas, np.vstack([vessel.points + offset, (vessel.points - offset)[::-1]]))
    return canvas


def fill_outline(canvas: NDArray[np.uint8], outline: NDArray[np.float64]) -> None:
    """Fills an outline (n, 2), given in radii of the field of view, with 255 and smooth edges."""
    side = canvas.shape[0]
    pixels = np.rint(((outline + 1) * side / 2 - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)


def _trunk(rng: np.random.Generator, disc: NDArray[np.float64], up: int, temporal: bool, is_vein: bool) -> Vessel:
    """Grows a trunk out of the disc: temporal trunks are parabolas around the macula, nasal ones are straighter."""
    reach, height, power = (1.75, rng.uniform(0.62, 0.76), 0.5) if temporal else (0.9, rng.uniform(0.5, 0.9), 0.75)
    if is_vein:
        height *= rng.uniform(0.86, 0.95)
    along = np.linspace(0, 1, 60) ** 1.6 * reach  # close together where the parabola is steep
    away = height * along**power
    wiggle = np.cumsum(rng.normal(0, 0.006, len(along))) * np.minimum(1, along * 4)
    points = disc + np.stack([-along if temporal else along, up * (away + wiggle)], axis=1)
    width = _TRUNK_WIDTH * (1.15 if is_vein else 0.8) * rng.uniform(0.85, 1.1) * (1 if temporal else 0.75)
    return Vessel(points, np.linspace(width, width * 0.35, len(points)), is_vein)


def _branches(rng: np.random.Generator, parent: Vessel, fovea: NDArray[np.float64], count: int) -> list[Vessel]:
    """Grows branches at random points of a vessel; they end before the zone around the fovea."""
    branches = []
    last = len(parent.points) - 2
    for index in rng.integers(min(4, last), last + 1, size=count):
        start = parent.points[index]
        if np.linalg.norm(start) > 1.05:
            continue
        ahead = parent.points[index + 1] - start
        turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
        points = random_curve(rng, start, float(np.arctan2(ahead[1], ahead[0])) + turn, rng.uniform(0.2, 0.7))
        too_near = np.linalg.norm(points - fovea, axis=1) < _FOVEAL_ZONE
        if too_near.any():
            points = points[: int(too_near.argmax())]
        if len(points) >= 3:
            width = parent.widths[index] * rng.uniform(0.4, 0.65)
            branches.append(Vessel(points, np.linspace(width, width * 0.3, len(points)), parent.is_vein))
    return branches


def _beaded(vessel: Vessel, rng: np.random.Generator, beading: float) -> Vessel:
    """Returns a vein that swells and narrows; arteries stay unchanged."""
    if not (beading and vessel.is_vein):
        return vessel
    points = np.arange(len(vessel.points))
    fine = np.linspace(0, points[-1], 4 * len(points))  # beads are shorter than the steps of a vessel
    line = np.stack([np.interp(fine, points, vessel.points[:, axis]) for axis in (0, 1)], axis=1)
    travelled = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    swell = 1 + beading * np.sin(2 * np.pi * travelled / rng.uniform(0.07, 0.1))
    return Vessel(line, np.interp(fine, points, vessel.widths) * swell, True)
