"""One synthetic fundus photograph: retina, vessels and lesions, seen by a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.synthetic.lesions import BEADING, draw_lesions
from retinagrade.datasets.synthetic.vessels import draw_vessels, vessel_tree
from retinagrade.grades import Grade

ASPECT: Final = 1.5
"""Width of a photograph divided by its height."""
# Mean colours of retinas, RGB, from dark red to orange to pale yellow.
_COLOURS: Final = np.array([(150, 58, 26), (190, 92, 30), (205, 120, 45), (172, 105, 78), (196, 130, 62)], np.float32)
_DISC_RADIUS: Final = 0.135
_SMOOTH_BELOW: Final = 1100
"""Side in pixels below which vessels and lesions are drawn at twice the size, because they are thin."""


@dataclass(frozen=True)
class CameraModel:
    """The framing of a camera.

    Attributes:
        cut: Part of the field of view that the sensor cuts off at top and bottom, in radii.
        notch: True if the camera's mask has a notch at its upper right.
        radius: Radius of the field of view without a cut, as a share of the photograph's height.
        tint: Factors (3,) of the colours.
    """

    cut: float
    notch: bool
    radius: float
    tint: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> CameraModel:
        """Draws a random camera, because data sets mix several."""
        cut = float(rng.choice((0.0, 0.17)))
        return cls(cut, bool(rng.random() < 0.5), float(rng.uniform(0.46, 0.495)), rng.uniform(0.92, 1.06, 3))


@dataclass(frozen=True)
class Complexion:
    """The colours that both eyes of a patient share.

    Attributes:
        colour: Mean colour (3,) of the retina, RGB 0 to 255.
        texture: Contrast of the choroid's pattern, 0 to 1.
    """

    colour: NDArray[np.float64]
    texture: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Complexion:
        """Draws the complexion of a random patient."""
        first, second = rng.choice(len(_COLOURS), 2, replace=False)
        colour = _COLOURS[first] + rng.random() * (_COLOURS[second] - _COLOURS[first])
        return cls(colour, float(rng.beta(1.5, 5)))


@dataclass(frozen=True)
class SyntheticPhotograph:
    """A photograph and the lesions in it.

    Attributes:
        pixels: RGB (H, W, 3), uint8; W is :data:`ASPECT` times H.
        masks: Masks (H, W) by kind of lesion, True in the lesion.
    """

    pixels: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]


def draw_photograph(
    rng: np.random.Generator, grade: Grade, is_left: bool, size: int, complexion: Complexion, camera: CameraModel
) -> SyntheticPhotograph:
    """Draws a photograph of one eye.

    Args:
        rng: Generator of the draws.
        grade: The grade to show.
        is_left: True for a left eye, with the disc on the left.
        size: Height of the photograph, in pixels.
        complexion: The patient's complexion.
        camera: The camera's framing.

    Returns:
        The photograph, with masks of the visible lesions.
    """
    radius = size * camera.radius / (1 - camera.cut)
    side = round(2 * radius)
    disc = np.array([rng.normal(0.62, 0.07), rng.normal(-0.03, 0.05)])
    fovea = disc + np.array([-rng.uniform(0.58, 0.66), rng.normal(0.06, 0.03)])
    drawing_side = 2 * side if side < _SMOOTH_BELOW else side
    vessels = vessel_tree(rng, disc, fovea, BEADING if grade == Grade.SEVERE else 0.0)
    arteries, veins = (
        _coverage(draw_vessels([vessel for vessel in vessels if vessel.is_vein == veins], drawing_side), side)
        for veins in (False, True)
    )
    drawings = draw_lesions(rng, grade, drawing_side, disc, fovea)
    lesions = {kind: _coverage(drawing, side) for kind, drawing in drawings.items()}
    retina = _background(rng, side, complexion, disc, fovea)
    _draw_disc(rng, retina, disc, side)
    _darken(retina, _soft(arteries, 800), (0.08, 0.34, 0.32))
    _darken(retina, _soft(veins, 800), (0.22, 0.50, 0.40))
    _draw_lesions_on(retina, lesions)
    if is_left:
        retina = retina[:, ::-1]
        lesions = {kind: mask[:, ::-1] for kind, mask in lesions.items()}
    return _expose(rng, retina, lesions, size, camera)


def _background(
    rng: np.random.Generator,
    side: int,
    complexion: Complexion,
    disc: NDArray[np.float64],
    fovea: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Draws the retina's colour (side, side, 3), 0 to 255, with illumination, choroid and macula."""
    coarse = 64  # the colours are smooth, so a small picture is enough
    x, y = np.meshgrid(*[np.linspace(-1, 1, coarse, dtype=np.float32)] * 2)
    lit = rng.normal(0, 0.2, 2)
    from_light = np.hypot(x - lit[0], y - lit[1])
    illumination = 1.1 - rng.uniform(0.08, 0.24) * from_light**2
    haze = rng.uniform(-0.1, 0.35) * np.clip(np.hypot(x, y) - 0.75, 0, 1) ** 2 * 8
    macula = np.exp(-((x - fovea[0]) ** 2 + (y - fovea[1]) ** 2) / (2 * 0.14**2))
    fovea_dip = np.exp(-((x - fovea[0]) ** 2 + (y - fovea[1]) ** 2) / (2 * 0.055**2))
    shade = illumination * (1 - rng.uniform(0.12, 0.3) * macula - rng.uniform(0.05, 0.2) * fovea_dip)
    near_disc = np.exp(-((x - disc[0]) ** 2 + (y - disc[1]) ** 2) / (2 * 0.2**2))
    colour = complexion.colour * (shade + 0.12 * near_disc)[..., None]
    colour += _float(40, 50, 45) * haze[..., None]
    drift = rng.normal(0, 0.05, (3, 3, 3)).astype(np.float32)  # slow changes of colour across the field
    colour *= 1 + cv2.resize(drift, (coarse, coarse), interpolation=cv2.INTER_CUBIC)
    mottle: NDArray[np.float32] = np.sum([_noise(rng, cells) / cells**0.5 for cells in (5, 9, 17, 33)], axis=0)
    retina: NDArray[np.float32] = cv2.resize(colour.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    choroid = cv2.resize(mottle.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    fibres = cv2.resize(_noise(rng, 61), (side, side), interpolation=cv2.INTER_CUBIC)
    choroid = 1 + (0.03 + 0.3 * complexion.texture) * choroid + 0.02 * fibres
    retina *= choroid[..., None]
    return retina


def _float(*values: float) -> NDArray[np.float32]:
    """Returns a colour in single precision; double precision would take 1.5 times as long."""
    return np.array(values, dtype=np.float32)


def _noise(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Draws smooth noise (64, 64) of a number of cells per side; from 61 cells on, the cells themselves."""
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    if cells >= 61:
        return noise
    return np.asarray(cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC), np.float32)


def _draw_disc(rng: np.random.Generator, retina: NDArray[np.float32], disc: NDArray[np.float64], side: int) -> None:
    """Draws the optic disc, with its cup, on the retina (side, side, 3)."""
    half = round(0.25 * side / 2) + 2
    centre = np.rint((disc + 1) * side / 2).astype(int)
    top, left = np.maximum(centre[::-1] - half, 0)
    patch = retina[top : centre[1] + half, left : centre[0] + half]
    if patch.size == 0:
        return
    y, x = np.mgrid[top : top + patch.shape[0], left : left + patch.shape[1]].astype(np.float32)
    x, y = (x + 0.5) * 2 / side - 1 - disc[0], (y + 0.5) * 2 / side - 1 - disc[1]
    oval = np.hypot(x * 1.08, y) / (_DISC_RADIUS * rng.uniform(0.9, 1.1))
    head = (1 / (1 + np.exp((oval - 1) * 14)))[..., None]
    cup = np.exp(-((oval / rng.uniform(0.35, 0.6)) ** 2) * 1.5)[..., None]
    colour = _float(236, 178, 104) * rng.uniform(0.92, 1.06) + cup * _float(22, 48, 66)
    patch += head * (0.85 * colour + 0.25 * patch - patch) * np.float32(0.9)


def _darken(retina: NDArray[np.float32], coverage: NDArray[np.float32], absorbed: tuple[float, float, float]) -> None:
    """Darkens covered pixels by the absorbed shares of red, green and blue."""
    retina *= 1 - coverage[..., None] * _float(*absorbed)


def _soft(coverage: NDArray[np.float32], sharpness: float) -> NDArray[np.float32]:
    """Blurs edges as the eye's optics do; the blur in pixels is the side divided by ``sharpness``."""
    return np.asarray(cv2.GaussianBlur(coverage, (0, 0), max(0.4, coverage.shape[0] / sharpness)), np.float32)


def _draw_lesions_on(retina: NDArray[np.float32], lesions: dict[str, NDArray[np.float32]]) -> None:
    """Draws lesions on the retina: dark blood and vessels, bright exudates."""
    brightness = retina.mean() / 90
    for kind in ("microaneurysms", "haemorrhages"):
        if kind in lesions:
            _darken(retina, _soft(lesions[kind], 450), (0.34, 0.62, 0.50))
    if "neovascularisation" in lesions:
        _darken(retina, _soft(lesions["neovascularisation"], 900), (0.14, 0.56, 0.44))
    paints = {"hard_exudates": ((240, 208, 90), 0.85, 700), "soft_exudates": ((214, 190, 138), 0.6, 90)}
    for kind, (colour, opacity, sharpness) in paints.items():
        if kind in lesions:
            soft = _soft(lesions[kind], sharpness)[..., None]
            retina += soft * opacity * (_float(*colour) * min(1.15, max(0.7, brightness)) - retina)


def _expose(
    rng: np.random.Generator,
    retina: NDArray[np.float32],
    lesions: dict[str, NDArray[np.float32]],
    size: int,
    camera: CameraModel,
) -> SyntheticPhotograph:
    """Places the retina in the frame, with the camera's mask, focus, exposure and sensor noise."""
    side, width = retina.shape[0], round(ASPECT * size)
    if (blur := rng.gamma(1.2, 0.35) * side / 900) > 0.3:
        retina = np.asarray(cv2.GaussianBlur(retina, (0, 0), blur), np.float32)
    visible = cv2.GaussianBlur(_camera_mask(side, camera), (0, 0), max(0.5, side / 500))
    exposure = rng.uniform(0.68, 1.15) * camera.tint.astype(np.float32)
    noise = rng.standard_normal((side, side), dtype=np.float32) * rng.uniform(0.8, 2.5)
    exposed = (retina * exposure + noise[..., None]) * (visible[..., None] * np.float32(1 / 255)) + np.float32(2)
    # The frame shows the retina in its middle, cut at top and bottom if the field of view is higher than the sensor.
    top, left = (size - side) // 2, (width - side) // 2
    inner_top = max(0, -top)
    rows = slice(inner_top, min(side, inner_top + size))
    placed = slice(max(0, top), max(0, top) + rows.stop - rows.start), slice(left, left + side)
    frame = np.full((size, width, 3), 2, np.uint8)
    frame[placed] = np.clip(exposed[rows], 0, 255)
    masks = {}
    for kind, coverage in lesions.items():
        mask = np.zeros((size, width), bool)
        mask[placed] = ((coverage > 0.5) & (visible > 127))[rows]
        if mask.any():
            masks[kind] = mask
    return SyntheticPhotograph(frame, masks)


def _camera_mask(side: int, camera: CameraModel) -> NDArray[np.uint8]:
    """Draws the camera's mask (side, side): 255 in the field of view, 0 outside."""
    mask = np.zeros((side, side), np.uint8)
    middle = round((side - 1) / 2 * 16)
    cv2.circle(mask, (middle, middle), middle - 16, 255, cv2.FILLED, cv2.LINE_AA, shift=4)
    if camera.notch:
        x, y, tooth = side * 0.925, side * 0.235, side * 0.022
        outline = np.array([(x - tooth, y - tooth), (x + tooth, y - tooth), (x + tooth, y + tooth)])
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255)
    return mask


def _coverage(drawing: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Returns a drawing of 0 to 255 at the photograph's scale (side, side), 0 to 1."""
    if drawing.shape[0] != side:
        drawing = np.asarray(cv2.resize(drawing, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return drawing.astype(np.float32) / np.float32(255)
