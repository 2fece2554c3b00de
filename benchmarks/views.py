"""Measures how the number of cached augmentations of a frozen backbone affects metrics, by repeated cross-validation.

    python benchmarks/views.py PREPARED EXPERIMENT [KEY=VALUE …]

``features.py`` measures the same by whole trainings, but one validation split leaves differences of ±0.05 in QWK. Here,
the features of all photographs of the splits train and val are computed once, with one view for each epoch. Heads are
then trained on V of the views, drawn each time, with the experiment's rate, batches and balancing: five folds by
patient, REPEATS times. One view for each epoch equals a new augmentation in every draw; smaller numbers of views are
compared with it, repeat by repeat.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from retinagrade.datasets.balance import balance
from retinagrade.datasets.split import fold_splits
from retinagrade.evaluation.metrics import accuracy, confusion_matrix, quadratic_weighted_kappa
from retinagrade.experiments.experiment import Experiment, load_experiment
from retinagrade.manifest import Manifest
from retinagrade.models.heads import make_head
from retinagrade.models.inference import inference_copy
from retinagrade.models.network import build_network
from retinagrade.training.devices import weights_dtype
from retinagrade.training.loading import Draw, PhotographDataset, collate_photographs

VIEWS = (1, 2, 3, 4, 8, 16)
EPOCHS = 40
FOLDS = 5
REPEATS = 10


@torch.inference_mode()
def all_features(manifest: Manifest, experiment: Experiment) -> tuple[Tensor, Tensor]:
    """Computes features (EPOCHS, N, F) of augmented photographs and (N, F) of photographs without augmentation."""
    size, batch = experiment.network.image_size, experiment.training.batch_size
    network = inference_copy(build_network(experiment.network), weights_dtype(experiment.training.precision), size)
    shown, plain = PhotographDataset(manifest, size, experiment.augmentation, 0), PhotographDataset(manifest, size)

    def view(photographs: PhotographDataset, number: int) -> Tensor:
        draws = [Draw(row, number, row) for row in range(len(photographs))]
        parts = (draws[start : start + batch] for start in range(0, len(draws), batch))
        return torch.cat(
            [network.features(collate_photographs([photographs[d] for d in part])["photographs"]) for part in parts]
        )

    return torch.stack([view(shown, number) for number in range(EPOCHS)]), view(plain, 0)


def trained_head(
    experiment: Experiment,
    features: Tensor,
    grades: NDArray[np.int64],
    rows: NDArray[np.int64],
    views: int,
    seed: int,
) -> nn.Module:
    """Trains a head for EPOCHS epochs on some views of features (EPOCHS, N, F), of the photographs in ``rows``."""
    settings, rng = experiment.training, np.random.default_rng(seed)
    torch.manual_seed(seed)
    head = make_head(experiment.network, features.shape[2])
    kept = rng.choice(EPOCHS, views, replace=False)
    optimizer = torch.optim.Adam(head.parameters(), settings.learning_rate)
    for _ in range(EPOCHS):
        drawn = rows if settings.balance is None else rows[balance(grades[rows], settings.balance, rng)]
        drawn = rng.permutation(drawn)
        batch_features = features[torch.from_numpy(rng.choice(kept, len(drawn))), torch.from_numpy(drawn)]
        for start in range(0, len(drawn) - settings.batch_size + 1, settings.batch_size):
            part = slice(start, start + settings.batch_size)
            optimizer.zero_grad()
            F.cross_entropy(head(batch_features[part]), torch.from_numpy(grades[drawn[part]])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return head.eval()


def metrics(grades: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Computes metrics of probabilities (N, 5), each by a head that was trained without the photograph."""
    matrix = confusion_matrix(grades, probabilities.argmax(1))
    loss = float(-np.log(probabilities[np.arange(len(grades)), grades]).mean())
    return {"QWK": quadratic_weighted_kappa(matrix), "accuracy": accuracy(matrix), "log loss": loss}


def measure(manifest: Manifest, experiment: Experiment) -> pd.DataFrame:
    """Computes the metrics of all photographs, one row for each number of views and repeat."""
    features, plain = all_features(manifest, experiment)
    grades = manifest.table["grade"].to_numpy(dtype=np.int64)
    rows = []
    for repeat in range(REPEATS):
        validated = [(part.table["split"] == "val").to_numpy() for part in fold_splits(manifest, FOLDS, repeat)]
        for views in (*VIEWS, EPOCHS):
            probabilities = np.empty((len(grades), 5))
            for held_out in validated:
                head = trained_head(experiment, features, grades, np.flatnonzero(~held_out), views, repeat)
                with torch.inference_mode():
                    probabilities[held_out] = head(plain[torch.from_numpy(held_out)]).double().softmax(1).numpy()
            rows.append({"views": views, "repeat": repeat, **metrics(grades, probabilities)})
    return pd.DataFrame(rows)


def main() -> None:
    """Measures and prints."""
    prepared, name, *overrides = sys.argv[1:]
    graded = Manifest.read(Path(prepared) / "manifest.csv").graded()
    divided = Manifest(graded.table[graded.table["split"].isin(["train", "val"])].reset_index(drop=True), graded.root)
    table = measure(divided, load_experiment(name, overrides))
    print(f"{name} {' '.join(overrides)}: {REPEATS} × {FOLDS} folds, {EPOCHS} epochs; difference to {EPOCHS} views")
    for metric in ("QWK", "accuracy", "log loss"):
        values = table.pivot_table(metric, "views", "repeat")
        less = values - values.loc[EPOCHS]
        for views in values.index:
            mean, error = less.loc[views].mean(), less.loc[views].sem()
            print(f"{metric:10}{views:4} views {values.loc[views].mean():8.3f}{mean:+8.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
