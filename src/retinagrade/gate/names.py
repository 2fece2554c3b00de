"""Names of the gate's answers, in the order in which its network gives them."""

from __future__ import annotations

from typing import Final, Literal, get_args

Modality = Literal["no fundus", "colour", "red-free", "fluorescence", "wide-field"]
"""Kind of photograph; ``no fundus`` is anything but one photograph of one fundus."""
MODALITIES: Final[tuple[Modality, ...]] = get_args(Modality)

Fault = Literal["dark", "over-exposed", "blurred", "haze", "flare", "lashes", "uneven", "dirt"]
"""Fault of a photograph."""
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

Landmark = Literal["optic disc", "macula"]
"""Part of the retina that a photograph should show."""
LANDMARKS: Final[tuple[Landmark, ...]] = get_args(Landmark)

Centre = Literal["macula", "optic disc", "neither"]
"""Landmark in the centre of a photograph."""
CENTRES: Final[tuple[Centre, ...]] = get_args(Centre)

Level = Literal["good", "usable", "reject", "unchecked"]
"""Quality of a photograph: graded, graded with a warning, not graded; or graded with the gate off."""

NO_FUNDUS: Final[Modality] = "no fundus"
UNCHECKED: Final = "unchecked"
ADVICE: Final = {
    NO_FUNDUS: "send one colour photograph of one fundus",
    "red-free": "send a colour photograph",
    "fluorescence": "send a colour photograph",
    "wide-field": "send a photograph of 30 to 60 degrees",
    "macula missing": "aim at the macula",
    "optic disc missing": "show the optic disc as well",
    "dark": "use more flash",
    "over-exposed": "use less flash",
    "blurred": "focus again",
    "haze": "widen the pupil; a cataract may be the cause",
    "flare": "centre the pupil and keep the distance",
    "lashes": "open the eye wider",
    "uneven": "centre the pupil",
    "dirt": "clean the lens",
    UNCHECKED: "the gate is off",
}
"""Reasons for a warning or a refusal, and what a photographer can do about each."""


def describe_reason(reason: str) -> str:
    """Returns a reason with its advice, as results and pages state it.

    Example:
        >>> describe_reason("blurred")
        'blurred: focus again'
    """
    return f"{reason}: {ADVICE[reason]}"


def reason_of(description: str) -> str:
    """Returns the reason of a description.

    Example:
        >>> reason_of("blurred: focus again")
        'blurred'
    """
    return description.partition(":")[0]
