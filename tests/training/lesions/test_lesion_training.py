"""Training of networks that outline lesions, as `train` does it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from retinagrade.cli import app
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.errors import ExperimentError, ManifestError
from retinagrade.evaluation.lesion_counts import read_counts
from retinagrade.evaluation.lesion_metrics import average_precision
from retinagrade.manifest import Manifest
from retinagrade.runs.evaluate_lesions import evaluate_lesions
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_lesion_network, load_network
from retinagrade.training.cross_validate import cross_validate
from retinagrade.training.lesions.crops import WholePhotographs
from retinagrade.training.lesions.module import lesion_loss
from retinagrade.training.lesions.predict import lesion_logits
from retinagrade.training.train import train
from tests.training.lesions.lesion_sets import SIDE, tiny_lesions, write_lesion_set


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in which one photograph has masks and no grade, as 12 of IDRiD's have."""
    folder = write_lesion_set(tmp_path_factory.mktemp("lesion-training"))
    table = pd.read_csv(folder / "manifest.csv")
    outlined = table.index[table["outlined"].notna() & (table["split"] == "train")]
    table.loc[outlined[0], "grade"] = np.nan
    table.assign(grade=table["grade"].astype("Int64")).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(prepared, tiny_lesions(), tmp_path_factory.mktemp("runs") / "lesions", workers=0)


def test_a_run_has_history_record_and_counts_of_its_validation_photographs(run: Run, prepared: Path) -> None:
    history = run.history()
    assert history["train_loss"].notna().all()
    assert history["val_average_precision"].between(0, 1).all()
    kept = run.finished_record().kept
    assert kept.val_average_precision is not None
    assert kept.val_qwk is None
    counts = read_counts(run.lesion_counts_file("val"))
    table = Manifest.read(prepared / "manifest.csv").split("val").table
    assert set(counts) == set(table.loc[table["outlined"].notna(), "image_id"])
    # The counts are those of the kept network's maps of whole photographs.
    whole = WholePhotographs(Manifest.read(prepared / "manifest.csv").split("val"), ("haemorrhages",))
    pixels, masks, _, inside, image_id = whole[0]
    logits = lesion_logits(load_lesion_network(run), pixels[None])
    assert logits.shape[:2] == (1, 4)
    of_haemorrhages = counts[image_id]["haemorrhages"]
    assert of_haemorrhages.inside.sum() == ((masks[0] > 127) & inside).sum()
    assert of_haemorrhages.inside.sum() + of_haemorrhages.outside.sum() == inside.sum()
    assert 0 <= average_precision([each["haemorrhages"] for each in counts.values()]) <= 1


def test_all_photographs_of_a_set_that_nobody_has_split_are_for_training(tmp_path: Path) -> None:
    synthesize(tmp_path / "source", 4, size=128, seed=0, workers=1)
    unsplit = prepare(tmp_path / "source", tmp_path / "prepared", size=SIDE, masks=True, workers=1).folder
    experiment = tiny_lesions("training.epochs=1", "crops.an_epoch=4")
    run = train(unsplit, experiment, tmp_path / "run", workers=0)
    assert Manifest.read(run.manifest_file).table["split"].tolist() == ["train"] * 4
    assert Manifest.read(unsplit / "manifest.csv").table["split"].isna().all()
    again = train(unsplit, experiment, tmp_path / "run", workers=0)
    assert again.record() == run.record()
    with pytest.raises(ManifestError, match="split"):
        train(unsplit, tiny_lesions("training.keep=best"), tmp_path / "best", workers=0)


def test_a_network_that_outlines_lesions_grades_nothing(run: Run) -> None:
    with pytest.raises(ExperimentError, match="outlines lesions"):
        load_network(run)


def test_an_interrupted_training_continues_to_the_same_history(run: Run, prepared: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int | None) -> None:
        if done == 6:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(prepared, tiny_lesions(), tmp_path / "cut", workers=0, progress=interrupt)
    again = train(prepared, tiny_lesions(), tmp_path / "cut", workers=0)
    pd.testing.assert_frame_equal(
        again.history().drop(columns="seconds"), run.history().drop(columns="seconds"), rtol=1e-4
    )


def test_the_loss_falls_for_better_maps_and_ignores_unknown_kinds() -> None:
    rng = np.random.default_rng(0)
    masks = torch.tensor((rng.random((2, 2, 32, 32)) < 0.05).astype(np.uint8) * 255)
    known, weights = torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([4.0, 1.0])
    signs = masks.float() / 127.5 - 1
    losses = [float(lesion_loss(scale * signs, masks, known, weights)) for scale in (-2.0, 0.5, 3.0, 9.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5
    changed = masks.clone()
    changed[1, 1] = 255 - changed[1, 1]
    logits = torch.zeros(2, 2, 32, 32)
    assert lesion_loss(logits, masks, known, weights) == lesion_loss(logits, changed, known, weights)
    assert lesion_loss(logits, masks, known, weights) != lesion_loss(logits, 255 - masks, known, weights)


def test_the_loss_is_the_formula_over_all_photographs_at_once() -> None:
    rng = np.random.default_rng(1)
    small = rng.normal(0, 2, (3, 2, 16, 16)).astype(np.float32)
    covered = rng.random((3, 2, 32, 32)) * (rng.random((3, 2, 32, 32)) < 0.1)
    masks, known, weights = np.rint(255 * covered), np.array([[1, 1], [1, 0], [0, 1]]), np.array([3.0, 1.0])
    loss = lesion_loss(*map(torch.tensor, (small, masks.astype(np.uint8), known.astype(np.float32), weights)))

    large = np.array([[cv2.resize(each, (32, 32), interpolation=cv2.INTER_LINEAR) for each in few] for few in small])
    p, y, k, w = 1 / (1 + np.exp(-large.astype(float))), masks / 255, known[..., None, None], weights[:, None, None]
    entropy = -(k * (w * y * np.log(p) + (1 - y) * np.log(1 - p))).mean((2, 3)).sum() / known.sum()
    dice = (2 * (k * p * y).sum((0, 2, 3)) + 100) / ((k * p).sum((0, 2, 3)) + (k * y).sum((0, 2, 3)) + 100)
    assert float(loss) == pytest.approx(10 * entropy + (1 - dice).mean(), rel=1e-5)


@pytest.mark.slow
def test_lesions_of_synthetic_eyes_are_learnt(prepared: Path, tmp_path: Path) -> None:
    run = train(prepared, tiny_lesions("training.epochs=25", "crops.an_epoch=64"), tmp_path / "long", workers=0)
    averages = run.history()["val_average_precision"]
    assert averages.iloc[-1] > 0.3 > averages.iloc[0]


def test_folds_evaluate_every_outlined_photograph_once(prepared: Path, tmp_path: Path) -> None:
    settings = ["training.epochs=1", "crops.an_epoch=8"]
    folds = cross_validate(prepared, tiny_lesions(*settings), tmp_path / "folds", 2, workers=0)
    table = Manifest.read(prepared / "manifest.csv").table
    outlined = set(table.loc[table["outlined"].notna(), "image_id"])
    assert set(read_counts(folds.lesion_counts_file)) == outlined
    assert "val_average_precision" in folds.metrics()
    result = CliRunner().invoke(app, ["evaluate", str(folds.lesion_counts_file), "--out", str(tmp_path / "evaluation")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "evaluation" / "lesions.json").is_file()
    assert evaluate_lesions(folds.lesion_counts_file, resamples=20).kinds["haemorrhages"].photographs == len(outlined)
