"""Photographs with masks are prepared like those of a run, and copies in its prepared set are found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retinagrade.datasets.masks import read_masked_photographs
from retinagrade.errors import ImageError
from retinagrade.explanations.lesions.masked_inputs import find_copies_in_run, prepare_masked
from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.loading import PhotographDataset


def test_masked_photographs_equal_the_input_of_the_network(prepared: Path) -> None:
    masked = {one.image_id: one for one in read_masked_photographs(prepared.parent / "source")}
    manifest = Manifest.read(prepared / "manifest.csv")
    compared = 0
    for pixels, _, image_id in (PhotographDataset(manifest, 48)[row] for row in range(len(manifest))):
        if image_id in masked:
            masked_input = prepare_masked(masked[image_id], PreparationSettings(64), 48)
            np.testing.assert_array_equal(masked_input.pixels, pixels)
            assert masked_input.retina.shape == (48, 48)
            assert all(mask.any() for mask in masked_input.masks.values())
            dark = masked_input.pixels.max(axis=2) < 20
            assert (masked_input.retina ^ ~dark).mean() < 0.05
            compared += 1
    assert compared > 10


def test_a_mask_of_a_different_photograph_is_refused(prepared: Path, tmp_path: Path) -> None:
    one = read_masked_photographs(prepared.parent / "source")[0]
    cv2.imwrite(str(tmp_path / "square.png"), np.full((96, 96), 255, np.uint8))
    one.masks["optic_disc"] = tmp_path / "square.png"
    with pytest.raises(ImageError, match="can't belong to"):
        prepare_masked(one, PreparationSettings(64), 48)


def test_copies_in_the_prepared_set_of_a_run_are_found(trained: Run, prepared: Path) -> None:
    masked = read_masked_photographs(prepared.parent / "source")
    table = Manifest.read(prepared / "manifest.csv").table.set_index("image_id")
    copies = find_copies_in_run(trained, masked)
    assert copies is not None
    assert len(copies) >= 0.9 * len(masked)  # at 64 px, a few copies are uncertain
    assert all(split == table.loc[image_id, "split"] for image_id, split in copies.items())
