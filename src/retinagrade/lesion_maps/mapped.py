"""From the maps that a network returns to the maps that are read: their side, and lesions too large for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.images.prepare import resize_to_input
from retinagrade.lesion_maps.large_lesions import complete_large_lesions
from retinagrade.lesion_maps.outline import blacken_outside, enlarge_maps

_READ_AT: Final = 1024
"""Side at which maps are read, in pixels, unless the network's own maps are larger or the photograph is smaller.
Enlarging maps further takes longer, and shows nothing more."""


@dataclass(frozen=True)
class MappedPhotograph:
    """A photograph and its maps, with one side R.

    Attributes:
        square: RGB pixels (R, R, 3), uint8, prepared.
        photograph: The same, black outside the field of view.
        inside: True (R, R) inside the field of view.
        maps: Probabilities (K, R, R), 0 to 255.
    """

    square: NDArray[np.uint8]
    photograph: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    maps: NDArray[np.uint8]


def read_side(maps_side: int, side: int) -> int:
    """Returns the side at which maps of a photograph are read, in pixels.

    Args:
        maps_side: Side of the maps that a network returns.
        side: Side of the photograph.

    Example:
        >>> read_side(512, 1024), read_side(1024, 1536), read_side(384, 768)
        (1024, 1024, 768)
    """
    return min(side, max(maps_side, _READ_AT))


def map_photograph(
    square: NDArray[np.uint8],
    maps: NDArray[np.uint8],
    kinds: Sequence[str],
    blackened: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
) -> MappedPhotograph:
    """Brings a photograph and its maps to one side, and adds the lesions that only the whole photograph shows.

    Args:
        square: RGB pixels (S, S, 3), uint8, prepared.
        maps: Probabilities (K, s, s), 0 to 255, as a network returns them.
        kinds: The kinds of lesions, in the order of the maps.
        blackened: :func:`~retinagrade.lesion_maps.outline.blacken_outside` of the square, if it is known already.
    """
    side = read_side(maps.shape[-1], square.shape[0])
    smaller = resize_to_input(square, side)
    photograph, inside = blacken_outside(smaller) if blackened is None or smaller is not square else blackened
    completed = complete_large_lesions(enlarge_maps(maps, side), kinds, photograph, inside)
    return MappedPhotograph(smaller, photograph, inside, completed)
