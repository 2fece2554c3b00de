"""From runs and masks to figures, and the command from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from retinagrade.datasets.masks import read_masked_photographs
from retinagrade.errors import ImageError
from retinagrade.explain.lesions.masked_inputs import find_copies_in_run, prepare_masked
from retinagrade.explain.lesions.measure import (
    ALL,
    OTHER,
    OWN,
    RANDOM,
    SHUFFLED,
    LesionMeasurements,
    mean_with_interval,
    summarise_measurements,
)
from retinagrade.explain.lesions.report import agreement_tables, summarise_agreement, training_copies_lines
from retinagrade.images.prepare import PreparationSettings
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.loading import PhotographDataset
from retinagrade.training.train import train
from tests.cli.command_line import run as command
from tests.training.tiny_experiments import tiny


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny("training.epochs=1"), tmp_path_factory.mktemp("runs") / "tiny")


def test_photographs_are_what_the_run_was_given_to_the_bit(prepared: Path) -> None:
    masked = {one.image_id: one for one in read_masked_photographs(prepared.parent / "source")}
    manifest = Manifest.read(prepared / "manifest.csv")
    seen = 0
    for pixels, _, image_id in (PhotographDataset(manifest, 48)[row] for row in range(len(manifest))):
        if image_id in masked:
            found = prepare_masked(masked[image_id], PreparationSettings(64), 48)
            np.testing.assert_array_equal(found.pixels, pixels)
            assert found.retina.shape == (48, 48)
            assert all(mask.any() for mask in found.masks.values())
            dark = found.pixels.max(axis=2) < 20
            assert (found.retina ^ ~dark).mean() < 0.05
            seen += 1
    assert seen > 10


def test_a_mask_of_another_photograph_is_an_error(prepared: Path, tmp_path: Path) -> None:
    one = read_masked_photographs(prepared.parent / "source")[0]
    cv2.imwrite(str(tmp_path / "square.png"), np.full((96, 96), 255, np.uint8))
    one.masks["optic_disc"] = tmp_path / "square.png"
    with pytest.raises(ImageError, match="is no mask of"):
        prepare_masked(one, PreparationSettings(64), 48)


def test_copies_in_the_runs_set_are_found(trained: Run, prepared: Path) -> None:
    masked = read_masked_photographs(prepared.parent / "source")
    table = Manifest.read(prepared / "manifest.csv").table.set_index("image_id")
    found = find_copies_in_run(trained, masked)
    assert found is not None
    assert len(found) >= 0.9 * len(masked)  # prepared at 64 px, so a few copies aren't sure
    assert all(split == table.loc[image_id, "split"] for image_id, split in found.items())


def test_a_ratio_is_of_sums_with_an_interval_over_photographs() -> None:
    heat, area = np.array([0.4, 0.1, np.nan, 0.1]), np.array([0.1, 0.1, 0.3, 0.1])
    found = mean_with_interval(heat, area)
    assert found.value == pytest.approx(0.6 / 0.3)
    assert found.photographs == 3
    assert found.interval is not None
    assert found.interval.low == pytest.approx(1)
    assert found.interval.high == pytest.approx(4)
    assert mean_with_interval(heat).value == pytest.approx(0.2)
    assert mean_with_interval(np.full(4, np.nan)).value is None


def test_figures_of_known_maps() -> None:
    """Heat that is twice as dense in lesions, and maps that stay the same with shuffled weights."""
    ids = [f"{number}" for number in range(8)]
    near = {"near_area": 0.5, "near_heat": 0.5, "near_hit": 1.0}
    region = {"network": "n", "region": ALL, "area": 0.1, "hit": 0.0, **near}
    regions = pd.DataFrame(
        [
            {**region, "image_id": name, "method": method, "heat_of": whose, "heat": heat}
            for name in ids
            for method, whose, heat in (("m", OWN, 0.2), ("m", OTHER, 0.1), ("m", SHUFFLED, 0.1), (RANDOM, OWN, 0.1))
        ]
    )
    row = {"network": "n", "same_others": 0.1}
    maps = pd.DataFrame(
        [{**row, "image_id": name, "method": "m", "deletion": 0.3, "insertion": 0.8, "same": 0.9} for name in ids]
        + [
            {**row, "image_id": name, "method": RANDOM, "deletion": 0.5, "insertion": 0.6, "same": np.nan}
            for name in reversed(ids)
        ]
    )
    found = summarise_agreement(LesionMeasurements(regions, maps), {"n": {"0": "train", "1": "val", "2": "train"}})
    figures = found.select(OWN)["n", "m"]
    assert figures["ratio"].value == pytest.approx(2)
    assert found.select(OTHER)["n", "m"]["ratio"].value == pytest.approx(1)
    assert figures["deletion_gain"].value == pytest.approx(0.2)
    assert figures["insertion_gain"].value == pytest.approx(0.2)
    assert "hardly change when the weights are shuffled (rank correlation 0.90" in found.messages[0]
    assert training_copies_lines(found) == ["n: of the 8 photographs, copies in its own set: 2 in train, 1 in val."]
    assert [table.rows[0][0] for table in agreement_tables(found)] == ["n: m"] * 4
    assert len(list(summarise_measurements(LesionMeasurements(regions, maps)))) == 4


def test_the_command(trained: Run, prepared: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "out", prepared.parent / "source"
    arguments = ("lesions", trained.folder, "--masks", source, "--out", out, "--method", "gradcam", "--json")
    try:
        answer = json.loads(command(*arguments))
    except AssertionError:  # one epoch teaches little, and maps may be empty: that needs a person
        answer = json.loads(command(*arguments, code=1))
        assert answer["messages"]
    masked = read_masked_photographs(source)
    assert answer["photographs"] == len(masked)
    assert {row["heat_of"] for row in answer["rows"]} == {OWN, OTHER, SHUFFLED}
    page = (out / "lesions.html").read_text(encoding="utf-8")
    assert "A heat map is no evidence of reasoning" in page
    assert "not a medical device" in page
    assert 'src="http' not in page
    regions = pd.read_csv(out / "regions.csv", dtype={"image_id": str})
    assert set(regions["method"]) == {"gradcam", RANDOM}
    assert len(regions[regions["region"] == ALL]) == len(masked) * 4
    assert {"agreement.png", "agreement.svg", "kinds.png", "kinds.svg", "lesions.json", "maps.csv", "run.json"} <= {
        path.name for path in out.iterdir()
    }
    wrong = ("lesions", trained.folder, "--masks", source, "--out", out, "--method", "saliency")
    assert "no method 'saliency'" in command(*wrong, code=2)
