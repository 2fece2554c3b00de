"""Lesion maps compared with masks at the resolution of the photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from retinagrade.datasets.lesion_set import mask_digests, read_masks
from retinagrade.datasets.masks import LESIONS, read_mask, read_masked_photographs
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.prepared_set import PreparationRecord
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ExperimentError, JoinError, UsageError
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.manifest import Manifest
from retinagrade.runs.evaluate_lesions import evaluate_lesions
from retinagrade.runs.lesion_maps import LesionMaps, MapsRecord
from retinagrade.storage.files import sha256
from tests.cli.command_line import run

SIDE = 160


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    synthesize(folder, 6, size=320, seed=3)
    return folder


@pytest.fixture(scope="module")
def maps(source: Path, tmp_path_factory: pytest.TempPathFactory) -> LesionMaps:
    """Maps as a perfect network of 160 px makes them: the share of each pixel that a lesion covers."""
    folder = tmp_path_factory.mktemp("maps")
    prepare(source, folder / "set", size=SIDE, masks=True, workers=1)
    made = LesionMaps(folder / "maps")
    ids = Manifest.read(folder / "set" / "manifest.csv").table["image_id"].tolist()
    digests = mask_digests(folder / "set")
    for image_id in ids:
        made.write(image_id, read_masks(folder / "set", image_id, LESIONS, SIDE, digests[image_id]), LESIONS)
    made.write_record(
        MapsRecord(
            status="finished",
            experiment="perfect",
            kinds=LESIONS,
            prepared="../set",
            manifest_sha256=sha256(folder / "set" / "manifest.csv"),
            run="../run",
            networks=("0" * 64,),
            split="all",
            camera=(),
            calibration=MapCalibration.identity(LESIONS),
            photographs=dict.fromkeys(ids, 0),
        )
    )
    return made


def test_average_precision_is_that_of_all_pixels_of_the_photographs(source: Path, maps: LesionMaps) -> None:
    evaluation = evaluate_lesions(maps.folder, masks_from=source, resamples=20, workers=1)
    preparation = PreparationRecord.read(maps.prepared)
    prepared = {outcome.sha256: outcome for outcome in preparation.photographs}
    for index, kind in enumerate(LESIONS):
        true, predicted = [], []
        for masked in read_masked_photographs(source):
            outcome = prepared[sha256(masked.photograph)]
            values = maps.read(outcome.image_id, LESIONS)[index].astype(np.float32) / 255
            mask = np.zeros((320, 480), bool)
            if kind in masked.masks:
                mask = read_mask(masked.masks[kind], masked.photograph)
            place = outcome.place(480, preparation.settings)
            predicted.append(np.minimum(place.project(values, 320, 480), 1).ravel())
            true.append(mask.ravel())
        of_kind = evaluation.kinds[kind]
        assert of_kind.photographs == len(true)
        expected = average_precision_score(np.concatenate(true), np.concatenate(predicted))
        assert of_kind.average_precision.value == pytest.approx(expected, abs=0.01)
        assert expected > 0.9  # the maps lie on their lesions to the pixel


def test_maps_beside_their_lesions_are_worse(source: Path, maps: LesionMaps, tmp_path: Path) -> None:
    moved = LesionMaps(tmp_path / "maps")
    record = maps.record()
    for image_id in record.photographs:
        moved.write(image_id, np.roll(maps.read(image_id, LESIONS), 4, axis=2), LESIONS)
    moved.write_record(record.model_copy(update={"prepared": str(maps.prepared)}))
    good, bad = (evaluate_lesions(each.folder, masks_from=source, resamples=0, workers=1) for each in (maps, moved))
    for kind in LESIONS:
        assert (bad.kinds[kind].average_precision.value or 0) < 0.8 * (good.kinds[kind].average_precision.value or 0)


def test_a_camera_that_moves_no_lesion_is_compared(source: Path, maps: LesionMaps, tmp_path: Path) -> None:
    copy = LesionMaps(tmp_path / "maps")
    record = maps.record()
    for image_id in record.photographs:
        copy.write(image_id, maps.read(image_id, LESIONS), LESIONS)
    copy.write_record(record.model_copy(update={"prepared": str(maps.prepared), "camera": ("colour", "resolution")}))
    own, changed = (evaluate_lesions(each.folder, masks_from=source, resamples=0, workers=1) for each in (maps, copy))
    assert changed.to_json()["kinds"] == own.to_json()["kinds"]


def test_maps_without_masks_and_of_a_cut_are_refused(source: Path, maps: LesionMaps, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--masks-from"):
        evaluate_lesions(maps.folder)
    other = tmp_path / "other"
    synthesize(other, 2, size=96, seed=9)
    with pytest.raises(JoinError, match="no photograph"):
        evaluate_lesions(maps.folder, masks_from=other)
    changed = LesionMaps(tmp_path / "changed")
    changed.write_record(maps.record().model_copy(update={"camera": ("cut",)}))
    with pytest.raises(ExperimentError, match="camera"):
        evaluate_lesions(changed.folder, masks_from=source)


def test_the_command_prints_and_writes_the_metrics(source: Path, maps: LesionMaps, tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("evaluate", maps.folder, "--masks-from", source, "--resamples", 200, "--out", out)
    assert "haemorrhages" in printed
    assert (out / "lesions.json").is_file()
    assert "--masks-from" in run("evaluate", maps.folder, code=2)
