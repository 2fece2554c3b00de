"""Lesions of diabetic retinopathy, in the numbers and kinds that make an ICDR grade."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.vessels import Vessel, draw_vessels, fill_outline, random_curve
from retinagrade.grades import Grade

BEADING: Final = 0.45
"""Venous beading of severe retinopathy: amplitude of the swelling and narrowing, as a share of a vein's width."""


def draw_lesions(
    rng: np.random.Generator, grade: Grade, side: int, disc: NDArray[np.float64], fovea: NDArray[np.float64]
) -> dict[str, NDArray[np.uint8]]:
    """Draws the lesions that define a grade.

    Mild: microaneurysms only. Moderate: haemorrhages and exudates as well. Severe: more than 20 haemorrhages in each
    of the four quadrants; the beaded veins belong to the vessels. Proliferative: new vessels on the disc or elsewhere,
    and in every second eye a haemorrhage in front of the retina.

    Source: C. P. Wilkinson et al., Ophthalmology 110(9), 2003, table 1.

    Args:
        rng: Generator of the draws.
        grade: The grade to show.
        side: Side of the picture in pixels.
        disc: Centre (2,) of the optic disc, in radii of the field of view.
        fovea: Centre (2,) of the macula, in radii of the field of view.

    Returns:
        The coverage of each pixel (side, side), 0 to 255, by kind of lesion; kinds that the grade does not have are
        absent.
    """
    drawn: dict[str, NDArray[np.uint8]] = {}

    def canvas(kind: str) -> NDArray[np.uint8]:
        return drawn.setdefault(kind, np.zeros((side, side), np.uint8))

    if grade == Grade.NONE:
        return drawn
    few = grade == Grade.MILD
    for _ in range(rng.integers(4, 12) if few else rng.integers(12, 35)):
        draw_blob(rng, canvas("microaneurysms"), random_point(rng, disc), rng.uniform(0.006, 0.011), roughness=0.1)
    if few:
        return drawn
    if grade == Grade.MODERATE:
        _draw_haemorrhages(rng, canvas("haemorrhages"), int(rng.integers(5, 15)), disc)
    if grade == Grade.SEVERE:
        for quadrant in range(4):
            _draw_haemorrhages(rng, canvas("haemorrhages"), int(rng.integers(21, 30)), disc, quadrant)
    if grade == Grade.PROLIFERATIVE:
        _draw_haemorrhages(rng, canvas("haemorrhages"), int(rng.integers(8, 30)), disc)
        _draw_new_vessels(rng, canvas("neovascularisation"), disc)
        if rng.random() < 0.5:
            _draw_preretinal_haemorrhage(rng, canvas("haemorrhages"))
    for _ in range(rng.integers(1, 6)):
        _draw_exudates(rng, canvas("hard_exudates"), fovea)
    if grade >= Grade.SEVERE or rng.random() < 0.4:
        for _ in range(rng.integers(1, 5)):
            draw_blob(rng, canvas("soft_exudates"), random_point(rng, disc), rng.uniform(0.03, 0.055), roughness=0.3)
    return drawn


def random_point(
    rng: np.random.Generator, disc: NDArray[np.float64], quadrant: int | None = None
) -> NDArray[np.float64]:
    """Draws a point (2,) of the retina outside the disc; quadrants are counted clockwise from the lower right."""
    while True:
        angle = rng.uniform(0, 2 * np.pi) if quadrant is None else (quadrant + rng.random()) * np.pi / 2
        point: NDArray[np.float64] = 0.88 * np.sqrt(rng.random()) * np.array([np.cos(angle), np.sin(angle)])
        if np.linalg.norm(point - disc) > 0.18:
            return point


def draw_blob(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    centre: NDArray[np.float64],
    radius: float,
    roughness: float,
    stretch: float = 1.0,
    heading: float = 0.0,
) -> None:
    """Draws a filled blob.

    Args:
        rng: Generator of the draws.
        canvas: The picture (side, side) to draw on.
        centre: Centre (2,) of the blob.
        radius: Mean radius across its heading.
        roughness: Largest deviation of the outline, as a share of the radius.
        stretch: Length along the heading by length across it.
        heading: Direction of the longer axis, in radians.
    """
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    radii = radius * (1 + roughness * rng.uniform(-1, 1, len(angles)))
    x, y = radii * np.cos(angles) * stretch, radii * np.sin(angles)
    turned = np.stack([x * np.cos(heading) - y * np.sin(heading), x * np.sin(heading) + y * np.cos(heading)], axis=1)
    fill_outline(canvas, centre + turned)


def _draw_haemorrhages(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    count: int,
    disc: NDArray[np.float64],
    quadrant: int | None = None,
) -> None:
    """Draws round and flame-shaped haemorrhages, in one quadrant or all."""
    for _ in range(count):
        centre = random_point(rng, disc, quadrant)
        if rng.random() < 0.25:  # flame-shaped, along the nerve fibres, which start at the disc's side
            heading = np.arctan2(centre[1], centre[0] - 0.6) + rng.normal(0, 0.2)
            draw_blob(rng, canvas, centre, rng.uniform(0.007, 0.012), 0.4, rng.uniform(2.5, 4), heading)
        else:
            draw_blob(rng, canvas, centre, 0.009 + rng.exponential(0.006), 0.3, rng.uniform(1, 1.5), rng.uniform(0, 3))


def _draw_exudates(rng: np.random.Generator, canvas: NDArray[np.uint8], fovea: NDArray[np.float64]) -> None:
    """Draws a cluster of hard exudates, often a ring, around the macula."""
    centre = fovea + rng.normal(0, 0.25, 2)
    ring = rng.uniform(0.06, 0.14)
    start, arc = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 5.5)
    for _ in range(rng.integers(10, 40)):
        angle = start + arc * rng.random()
        point = centre + ring * rng.normal(1, 0.3) * np.array([np.cos(angle), np.sin(angle)])
        draw_blob(rng, canvas, point, 0.004 + rng.exponential(0.0045), 0.4, rng.uniform(1, 1.6), rng.uniform(0, 3))


def _draw_new_vessels(rng: np.random.Generator, canvas: NDArray[np.uint8], disc: NDArray[np.float64]) -> None:
    """Draws a network of fine, winding vessels on the disc, or at one or two other points of the retina."""
    on_disc = rng.random() < 0.5
    for centre in [disc] if on_disc else [random_point(rng, disc) * 0.8 for _ in range(rng.integers(1, 3))]:
        threads = []
        for _ in range(rng.integers(26, 42)):
            start = centre + rng.normal(0, 0.06, 2)
            points = random_curve(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.38), curl=0.45)
            threads.append(Vessel(points, np.full(len(points), rng.uniform(0.006, 0.011)), True))
        np.maximum(canvas, draw_vessels(threads, canvas.shape[0]), out=canvas)


def _draw_preretinal_haemorrhage(rng: np.random.Generator, canvas: NDArray[np.uint8]) -> None:
    """Draws blood in front of the retina in its typical boat shape: level above and round below."""
    centre, half_width = rng.uniform((-0.5, 0.2), (0.3, 0.6)), rng.uniform(0.2, 0.4)
    angles = np.linspace(0, np.pi, 24)
    keel = np.stack([np.cos(angles), rng.uniform(0.35, 0.6) * np.sin(angles)], axis=1)
    rough = 1 + 0.06 * cv2.GaussianBlur(rng.normal(size=(24, 1)), (1, 5), 0)
    fill_outline(canvas, centre + half_width * keel * rough)
