"""Members made up: scores as arrays, and runs' folders as a training leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from retinagrade.ensembles.scores import MemberScores
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.experiments.experiment import load_experiment
from retinagrade.grades import N_GRADES
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.records import FinishedFolds
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256, write_text
from tests.evaluation.tables import predictions
from tests.runs.trainings import finished_training

SETTINGS = (
    "name: tiny\ndescription: d\nsource: s\nnetwork:\n  backbone: scratch\n  scratch: {filters: [4], pools: [2]}\n"
)


def some_scores(count: int, members: int, seed: int = 0, skill: float = 1.0) -> MemberScores:
    """Members of one skill whose mistakes have nothing to do with each other; patients with two photographs."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, N_GRADES, count)
    tables = [predictions(grades, skill, seed=seed * 1000 + member + 1) for member in range(members)]
    probabilities = np.stack([table.filter(regex="^p").to_numpy(float) for table in tables], axis=1)
    return MemberScores(grades, probabilities, np.arange(count) // 2)


@st.composite
def any_scores(draw: st.DrawFn) -> MemberScores:
    """Any grades, absent ones included, with probabilities that are often equal, or 0."""
    count, members = draw(st.integers(2, 25)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grades = rng.integers(0, draw(st.integers(1, N_GRADES)), count)
    steps = draw(st.sampled_from([2, 5, 20, 10**6]))
    parts = rng.multinomial(steps, rng.dirichlet(np.ones(N_GRADES)), (count, members))
    return MemberScores(grades, parts / steps, np.arange(count))


def prepared_set(folder: Path, count: int = 120, seed: int = 0) -> Manifest:
    """A prepared set's manifest, of two eyes a patient: 60 % to train on, 20 % to validate, 20 % to test."""
    rng = np.random.default_rng(seed)
    patients = np.arange(count) // 2
    severity = rng.integers(0, N_GRADES, count // 2).repeat(2)
    grades = np.clip(severity + rng.integers(-1, 2, count) * (rng.random(count) < 0.3), 0, 4)
    ids = [f"i{row:05d}" for row in range(count)]
    table = pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"photographs/{name}.jpg" for name in ids],
            "grade": grades,
            "patient_id": [f"p{patient}" for patient in patients],
            "laterality": np.where(np.arange(count) % 2 == 0, "L", "R"),
            "split": np.array(["train", "train", "train", "val", "test"])[patients % 5],
        }
    )
    manifest = Manifest.from_table(table, folder, "made up")
    manifest.write(folder / "manifest.csv")
    return manifest


def simulated_run(folder: Path, manifest: Manifest, skill: float = 1.0, seed: int = 0, fold: bool = False) -> Path:
    """A finished run's folder, but for its network: predictions of val and test.

    Args:
        folder: The run's folder.
        manifest: A set's photographs, as :func:`prepared_set` makes them; of a fold, with its own split.
        skill: How much the predictions have to do with the grades.
        seed: Of the predictions.
        fold: Whether the run keeps the manifest.
    """
    file = manifest.root / "manifest.csv"
    if fold:
        file = folder / "manifest.csv"
        manifest.write(file)
    write_text(folder / "experiment.yaml", load_experiment("scratch-2").to_yaml())
    Run(folder).write_record(finished_training(manifest, sha256(file), experiment=folder.name, own_split=fold))
    grades = manifest.table["grade"].to_numpy(dtype=int)
    table = predictions(grades, skill, seed).assign(image_id=manifest.table["image_id"])
    for split in ("val", "test"):
        rows = (manifest.table["split"] == split).to_numpy()
        if rows.any():
            write_predictions(table[rows], folder / "predictions" / f"{split}.csv")
    return folder


def simulated_folds(folder: Path, manifest: Manifest, skill: float = 1.0, seed: int = 0, folds: int = 3) -> Path:
    """The folder of a finished cross-validation, of all photographs but those of the split ``test``."""
    table = manifest.table
    patients = pd.factorize(table["patient_id"])[0]
    parts = []
    for number in range(folds):
        split = table["split"].where(table["split"] == "test", np.where(patients % folds == number, "val", "train"))
        run = simulated_run(
            folder / f"fold-{number}", Manifest(table.assign(split=split), manifest.root), skill, seed, True
        )
        parts.append(pd.read_csv(run / "predictions" / "val.csv", dtype={"image_id": str}))
    write_predictions(pd.concat(parts), folder / "predictions" / "val.csv")
    CrossValidation(folder).write_record(
        FinishedFolds(experiment=folder.name, folds=folds, seed=0, kept=(), over_folds={})
    )
    return folder
