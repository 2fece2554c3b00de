"""Made-up colour photographs of a fundus: a view of a retina, faults, a camera and its look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.images.camera import Camera, apply_camera, channel_histogram, draw_camera
from retinagrade.images.degradation import DEGRADATION_KINDS, Degradation, DegradationKind, degrade
from retinagrade.training.gate.drawing import store
from retinagrade.training.gate.looks import Look, apply_look, draw_look
from retinagrade.training.gate.picture import Picture
from retinagrade.training.gate.retinas import Retina
from retinagrade.training.gate.views import Shot, View, draw_view, take_shot

DIAMETERS: Final = (270.0, 420.0)
"""Smallest and largest diameter, in pixels, of the disc in a made-up photograph."""
LOOKS: Final = ("grey-green", "deep red", "cut on all sides", "tight", "small", "zoomed")
"""Looks that come from the view, the camera's colours and the size; those around the disc are ``looks.PARTS``."""
_SMALL: Final = 310.0
_ZOOMED: Final = 0.66
_GREY_GREEN: Final = 1.35
_DEEP_RED: Final = 2.5
_FAULTS: Final = (0.3, 0.45, 0.2, 0.05)
"""Shares of photographs with 0, 1, 2 and 3 degradations."""
_BY_THE_CAMERA: Final[tuple[DegradationKind, ...]] = (
    "flare", "cover", "clutter", "dust", "dark", "over-exposed",
)  # fmt: skip
"""Faults of light, lens and exposure, in this order, whose colours don't depend on those that the camera gives."""
_LEAST_INSIDE: Final = 0.15
_DARK: Final = (80.0, 3.0)
"""Mean luminance from which a photograph isn't dark, and the number of halvings to strength 1."""
_CLIPPED: Final = 0.35
"""Share of white pixels from which a photograph is over-exposed."""
_NOTICED: Final = 0.25
"""Strength from which a fault that nobody drew counts as one."""
_LUMINANCE: Final = np.array([0.3, 0.59, 0.11])


def draw_fundus(
    rng: np.random.Generator,
    retina: Retina,
    *,
    is_clean: bool = False,
    kinds: Sequence[DegradationKind] = DEGRADATION_KINDS,
    diameter: float | None = None,
) -> Picture:
    """Draws a colour photograph of a retina.

    Args:
        rng: Random number generator.
        retina: The retina.
        is_clean: Whether the photograph has no degradation, and a view that a photographer would have wanted.
        kinds: Kinds of degradations to draw from.
        diameter: Diameter of the disc, in pixels; by default any of :data:`DIAMETERS`.
    """
    size = float(np.exp(rng.uniform(*np.log(DIAMETERS)))) if diameter is None else diameter
    for _ in range(30):
        view = draw_view(rng, retina, is_clean)
        shot = take_shot(retina, view, size)
        if shot.inside.mean() > _LEAST_INSIDE:
            break
    look, camera = draw_look(rng), draw_camera(rng, ("colour", "light", "sharpness"))
    faults = [] if is_clean else _draw_faults(rng, kinds)
    pixels = _expose(shot, camera, faults)
    strengths = {fault.kind: fault.strength for fault in faults}
    strengths.update(_exposure_strengths(pixels, shot.inside, strengths))
    return Picture(
        pixels=store(rng, apply_look(look, pixels, shot)),
        modality="colour",
        kind="clean" if is_clean else "fundus",
        families=_fault_families(faults, strengths) | _families(view, look, size, pixels, shot.inside),
        source=retina.image_id,
        strengths=strengths,
        is_graded=True,
        disc=shot.disc,
        macula=shot.macula,
        centre=shot.centre,
    )


def _draw_faults(rng: np.random.Generator, kinds: Sequence[DegradationKind]) -> list[Degradation]:
    count = int(rng.choice(len(_FAULTS), p=_FAULTS))
    faults = []
    for place in rng.permutation(len(kinds))[:count]:
        strength = rng.random() if rng.random() < 0.8 else rng.beta(2, 1)
        faults.append(Degradation(kinds[int(place)], float(strength), int(rng.integers(2**31))))
    if {"dark", "over-exposed"} <= {fault.kind for fault in faults}:
        faults = [fault for fault in faults if fault.kind != "dark"]
    return faults


def _expose(shot: Shot, camera: Camera, faults: Sequence[Degradation]) -> NDArray[np.uint8]:
    """Takes the photograph: faults of the retina, colours and light of the camera, its own faults, sharpness."""
    histogram, pixels = channel_histogram(shot.pixels, shot.inside), shot.pixels
    for fault in faults:
        if fault.kind not in _BY_THE_CAMERA:
            pixels = degrade(fault, pixels, shot.inside, shot.place)
    colours = replace(camera, blur=0.0, sharpening=0.0, noise=0.0, diameter=None, quality=None)
    pixels = apply_camera(colours, pixels, shot.inside, shot.place, histogram)
    for kind in _BY_THE_CAMERA:
        for fault in (each for each in faults if each.kind == kind):
            pixels = degrade(fault, pixels, shot.inside, shot.place)
    sharpness = Camera(blur=camera.blur, sharpening=camera.sharpening, noise=camera.noise, seed=camera.seed)
    return apply_camera(sharpness, pixels, shot.inside, shot.place)


def _exposure_strengths(
    pixels: NDArray[np.uint8], inside: NDArray[np.bool_], strengths: dict[DegradationKind, float]
) -> dict[DegradationKind, float]:
    """Measures how dark a photograph has become, whatever made it dark, and how much of it the light has clipped."""
    lit = pixels[::3, ::3][inside[::3, ::3]]
    luminance = float(lit.mean(axis=0) @ _LUMINANCE) if len(lit) else 0.0
    dark = float(np.clip(np.log2(_DARK[0] / max(luminance, 1.0)) / _DARK[1], 0, 1))
    clipped = float((lit.min(axis=1) > 250).mean()) if len(lit) else 0.0
    measured: dict[DegradationKind, float] = {"dark": dark} if dark > strengths.get("dark", 0.0) else {}
    if clipped > _CLIPPED and not strengths.keys() & {"flare", "cover"}:
        measured["over-exposed"] = max(strengths.get("over-exposed", 0.0), min(1.0, 0.5 + clipped / 2))
    return measured


def _fault_families(faults: Sequence[Degradation], strengths: dict[DegradationKind, float]) -> frozenset[str]:
    """Returns the kinds of faults that were drawn, and of those that the camera made."""
    return frozenset(fault.kind for fault in faults) | {kind for kind, value in strengths.items() if value > _NOTICED}


def _families(
    view: View, look: Look, diameter: float, pixels: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> frozenset[str]:
    lit = pixels[::3, ::3][inside[::3, ::3]]
    red, green, _ = lit.mean(axis=0) + 1e-3 if len(lit) else np.ones(3)
    found = (
        red / green < _GREY_GREEN,
        red / green > _DEEP_RED,
        view.cut == "all sides",
        view.is_tight,
        diameter < _SMALL,
        view.radius < _ZOOMED,
    )
    return look.parts | {name for name, is_there in zip(LOOKS, found, strict=True) if is_there}
