"""Pictures to learn from and to judge with: a pure function of seed and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.gate.inputs import gate_inputs
from retinagrade.gate.names import MODALITIES
from retinagrade.images.field_of_view import find_field_of_view, whole_frame
from retinagrade.training.gate.fundus import draw_fundus
from retinagrade.training.gate.modalities import draw_other_modality
from retinagrade.training.gate.no_fundus import Material, draw_no_fundus
from retinagrade.training.gate.picture import Picture
from retinagrade.training.gate.picture_folder import FolderPicture
from retinagrade.training.gate.retinas import Retina, RetinaSource, draw_synthetic_retina

Part = Literal["train", "held-out"]
"""Pictures to learn from, or pictures to judge with, which share no photograph and no sub-folder."""
Sort = Literal["fundus", "clean", "synthetic", "other modality", "no fundus"]
SHARES: Final[dict[Part, dict[Sort, float]]] = {
    "train": {"fundus": 0.5, "clean": 0.07, "synthetic": 0.06, "other modality": 0.06, "no fundus": 0.31},
    "held-out": {"fundus": 0.4, "clean": 0.2, "synthetic": 0.05, "other modality": 0.07, "no fundus": 0.28},
}
"""Shares of the sorts of pictures."""
_SYNTHETIC_RETINAS: Final = 150
_OTHER_MODALITIES: Final = tuple(each for each in MODALITIES if each not in ("no fundus", "colour"))


@dataclass(frozen=True)
class PictureSource:
    """Where pictures of one part come from; a picture is a function of this and its index.

    Attributes:
        part: The part.
        retinas: Prepared photographs.
        image_ids: Ids of the photographs of this part.
        pictures: Pictures of the folder without a fundus, of this part.
        seed: Seed.
    """

    part: Part
    retinas: RetinaSource
    image_ids: Sequence[str]
    pictures: Sequence[FolderPicture]
    seed: int

    def draw(self, index: int) -> Picture:
        """Draws a picture.

        Args:
            index: Its index, from 0.
        """
        rng = np.random.default_rng((self.seed, self.part == "held-out", index))
        shares = SHARES[self.part]
        sort = list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]
        if sort == "no fundus":
            return draw_no_fundus(rng, Material(self.pictures, self._draw_retina))
        if sort == "synthetic":
            seed = (self.seed, self.part == "held-out", int(rng.integers(_SYNTHETIC_RETINAS)))
            is_clean = self.part == "held-out" or bool(rng.random() < 0.5)
            return draw_fundus(rng, draw_synthetic_retina(seed), is_clean=is_clean)
        retina = self._draw_retina(rng)
        if sort == "other modality":
            return draw_other_modality(rng, retina, _OTHER_MODALITIES[int(rng.integers(len(_OTHER_MODALITIES)))])
        return draw_fundus(rng, retina, is_clean=sort == "clean")

    def _draw_retina(self, rng: np.random.Generator) -> Retina:
        return self.retinas.read(self.image_ids[int(rng.integers(len(self.image_ids)))])


def inputs_of(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the gate's inputs of a picture, as grading prepares them.

    Args:
        pixels: RGB (H, W, 3), uint8.

    Returns:
        The whole picture and its field of view, see :func:`~retinagrade.gate.inputs.gate_inputs`.
    """
    try:
        fov = find_field_of_view(pixels)
    except ImageError:
        fov = whole_frame(pixels)
    return gate_inputs(pixels, fov)
