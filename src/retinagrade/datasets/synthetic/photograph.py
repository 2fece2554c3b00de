"""One made-up fundus photograph: retina, lesions, and what a camera makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from retinagrade.datasets.synthetic.lesions import BEADING, draw_lesions
from retinagrade.datasets.synthetic.vessels import draw_vessels, vessel_tree
from retinagrade.grades import Grade

ASPECT: Final = 1.5
"""Width of a photograph by its height."""
# Mean colours of retinas, RGB, from dark and red over orange to pale and yellow.
_COLOURS: Final = np.array([(150, 58, 26), (190, 92, 30), (205, 120, 45), (172, 105, 78), (196, 130, 62)], np.float32)
_DISC_RADIUS: Final = 0.135
_SMOOTH_BELOW: Final = 1100
"""Sides under which thin vessels and lesions are drawn at twice the size, in pixels."""


@dataclass(frozen=True)
class Camera:
    """How a camera frames the retina.

    Attributes:
        cut: How much of the field of view, in radii, the sensor cuts off at top and bottom.
        notch: Whether the mask has a notch at its upper right.
        radius: Radius of the field of view where nothing is cut, as a share of the photograph's height.
        tint: Factor of the colours (3,).
    """

    cut: float
    notch: bool
    radius: float
    tint: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Camera:
        """Draws one of the cameras that a data set may mix."""
        cut = float(rng.choice((0.0, 0.17)))
        return cls(cut, bool(rng.random() < 0.5), float(rng.uniform(0.46, 0.495)), rng.uniform(0.92, 1.06, 3))


@dataclass(frozen=True)
class Complexion:
    """What both eyes of one patient share.

    Attributes:
        colour: Mean colour (3,) of the retina, RGB 0 to 255.
        texture: Contrast of the choroid's pattern, 0 to 1.
    """

    colour: np.ndarray
    texture: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Complexion:
        """Draws a patient."""
        first, second = rng.choice(len(_COLOURS), 2, replace=False)
        colour = _COLOURS[first] + rng.random() * (_COLOURS[second] - _COLOURS[first])
        return cls(colour, float(rng.beta(1.5, 5)))


@dataclass(frozen=True)
class SyntheticPhotograph:
    """A photograph and the lesions in it.

    Attributes:
        pixels: RGB (H, W, 3), uint8; W is :data:`ASPECT` times H.
        masks: True (H, W) where a lesion is, by kind.
    """

    pixels: np.ndarray
    masks: dict[str, np.ndarray]


def draw_photograph(
    rng: np.random.Generator, grade: Grade, is_left: bool, size: int, complexion: Complexion, camera: Camera
) -> SyntheticPhotograph:
    """Draws a photograph of one eye.

    Args:
        rng: Where the draws come from.
        grade: The grade to show.
        is_left: A left eye, with the disc on the left; else a right one.
        size: Height, in pixels.
        complexion: The patient's.
        camera: The camera's framing.

    Returns:
        The photograph; masks only of lesions that can be seen.
    """
    radius = size * camera.radius / (1 - camera.cut)
    side = round(2 * radius)
    disc = np.array([rng.normal(0.62, 0.07), rng.normal(-0.03, 0.05)])
    fovea = disc + np.array([-rng.uniform(0.58, 0.66), rng.normal(0.06, 0.03)])
    drawing = 2 * side if side < _SMOOTH_BELOW else side
    vessels = vessel_tree(rng, disc, fovea, BEADING if grade == Grade.SEVERE else 0.0)
    arteries, veins = (
        _share(draw_vessels([vessel for vessel in vessels if vessel.is_vein == which], drawing), side)
        for which in (False, True)
    )
    lesions = {kind: _share(drawn, side) for kind, drawn in draw_lesions(rng, grade, drawing, disc, fovea).items()}
    retina = _background(rng, side, complexion, disc, fovea)
    _put_disc(rng, retina, disc, side)
    _darken(retina, _soft(arteries, 800), (0.08, 0.34, 0.32))
    _darken(retina, _soft(veins, 800), (0.22, 0.50, 0.40))
    _put_lesions(retina, lesions)
    if is_left:
        retina = retina[:, ::-1]
        lesions = {kind: mask[:, ::-1] for kind, mask in lesions.items()}
    return _expose(rng, retina, lesions, size, camera)


def _background(
    rng: np.random.Generator, side: int, complexion: Complexion, disc: np.ndarray, fovea: np.ndarray
) -> np.ndarray:
    """The retina's colour with illumination, choroid and macula, as float32 (side, side, 3), 0 to 255."""
    coarse = 64  # all of it is smooth, so it's computed small
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
    drift = rng.normal(0, 0.05, (3, 3, 3)).astype(np.float32)  # colours wander across the field
    colour *= 1 + cv2.resize(drift, (coarse, coarse), interpolation=cv2.INTER_CUBIC)
    mottle: np.ndarray = np.sum([_noise(rng, cells) / cells**0.5 for cells in (5, 9, 17, 33)], axis=0)
    retina: np.ndarray = cv2.resize(colour.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    choroid = cv2.resize(mottle.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    fibres = cv2.resize(_noise(rng, 61), (side, side), interpolation=cv2.INTER_CUBIC)
    choroid = 1 + (0.03 + 0.3 * complexion.texture) * choroid + 0.02 * fibres
    retina *= choroid[..., None]
    return retina


def _float(*values: float) -> np.ndarray:
    """A colour that keeps single precision: double would cost half as much time again."""
    return np.array(values, dtype=np.float32)


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC) if cells < 61 else noise


def _put_disc(rng: np.random.Generator, retina: np.ndarray, disc: np.ndarray, side: int) -> None:
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


def _darken(retina: np.ndarray, share: np.ndarray, absorbed: tuple[float, float, float]) -> None:
    retina *= 1 - share[..., None] * _float(*absorbed)


def _soft(share: np.ndarray, sharpness: float) -> np.ndarray:
    """Edges as soft as the eye's optics make them: the side over ``sharpness``, in pixels."""
    return cv2.GaussianBlur(share, (0, 0), max(0.4, share.shape[0] / sharpness))


def _put_lesions(retina: np.ndarray, lesions: dict[str, np.ndarray]) -> None:
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
    rng: np.random.Generator, retina: np.ndarray, lesions: dict[str, np.ndarray], size: int, camera: Camera
) -> SyntheticPhotograph:
    """Lays the retina into the frame: camera mask, focus, exposure, sensor noise."""
    side, width = retina.shape[0], round(ASPECT * size)
    if (blur := rng.gamma(1.2, 0.35) * side / 900) > 0.3:
        retina = cv2.GaussianBlur(retina, (0, 0), blur)
    seen = cv2.GaussianBlur(_camera_mask(side, camera), (0, 0), max(0.5, side / 500))
    exposure = rng.uniform(0.68, 1.15) * camera.tint.astype(np.float32)
    noise = rng.standard_normal((side, side), dtype=np.float32) * rng.uniform(0.8, 2.5)
    exposed = (retina * exposure + noise[..., None]) * (seen[..., None] * np.float32(1 / 255)) + np.float32(2)
    # The frame: its middle shows the retina, cut at top and bottom where the sensor is lower than the disc.
    top, left = (size - side) // 2, (width - side) // 2
    inner_top = max(0, -top)
    rows = slice(inner_top, min(side, inner_top + size))
    placed = slice(max(0, top), max(0, top) + rows.stop - rows.start), slice(left, left + side)
    frame = np.full((size, width, 3), 2, np.uint8)
    frame[placed] = np.clip(exposed[rows], 0, 255)
    masks = {}
    for kind, share in lesions.items():
        mask = np.zeros((size, width), bool)
        mask[placed] = ((share > 0.5) & (seen > 127))[rows]
        if mask.any():
            masks[kind] = mask
    return SyntheticPhotograph(frame, masks)


def _camera_mask(side: int, camera: Camera) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    middle = round((side - 1) / 2 * 16)
    cv2.circle(mask, (middle, middle), middle - 16, 255, cv2.FILLED, cv2.LINE_AA, shift=4)
    if camera.notch:
        x, y, tooth = side * 0.925, side * 0.235, side * 0.022
        outline = np.array([(x - tooth, y - tooth), (x + tooth, y - tooth), (x + tooth, y + tooth)])
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255)
    return mask


def _share(drawn: np.ndarray, side: int) -> np.ndarray:
    """A drawing of 0 to 255 at the photograph's scale, as float32 0 to 1."""
    if drawn.shape[0] != side:
        drawn = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return drawn.astype(np.float32) / 255
