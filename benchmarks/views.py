"""How many augmented views of a photograph need be kept of a frozen base? Cross-validated, many times over.

    python benchmarks/views.py PREPARED EXPERIMENT [KEY=VALUE …]

``features.py`` asks the same of whole trainings, whose one validation split leaves differences of ±0.05 in QWK. Here
the features of all photographs of the splits train and val are computed once, as many views as there are epochs, and
heads are trained on V of them, drawn each time, with the experiment's rate, batches and balancing: five folds by
patient, REPEATS times. The most views, one an epoch, are what a new augmentation in every draw is; all others are
compared with them, repeat by repeat.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
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
    """Features (EPOCHS, N, F) of augmented photographs and (N, F) of plain ones."""
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
    experiment: Experiment, features: Tensor, grades: np.ndarray, rows: np.ndarray, views: int, seed: int
) -> nn.Module:
    """A head after EPOCHS epochs on so many views of features (EPOCHS, N, F), of the photographs in ``rows``."""
    settings, rng = experiment.training, np.random.default_rng(seed)
    torch.manual_seed(seed)
    head = make_head(experiment.network, features.shape[2])
    kept = rng.choice(EPOCHS, views, replace=False)
    optimizer = torch.optim.Adam(head.parameters(), settings.learning_rate)
    for _ in range(EPOCHS):
        drawn = rows if settings.balance is None else rows[balance(grades[rows], settings.balance, rng)]
        drawn = rng.permutation(drawn)
        seen = features[torch.from_numpy(rng.choice(kept, len(drawn))), torch.from_numpy(drawn)]
        for start in range(0, len(drawn) - settings.batch_size + 1, settings.batch_size):
            part = slice(start, start + settings.batch_size)
            optimizer.zero_grad()
            F.cross_entropy(head(seen[part]), torch.from_numpy(grades[drawn[part]])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return head.eval()


def figures(grades: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Figures of probabilities (N, 5), each by a head that has not seen the photograph."""
    matrix = confusion_matrix(grades, probabilities.argmax(1))
    loss = float(-np.log(probabilities[np.arange(len(grades)), grades]).mean())
    return {"QWK": quadratic_weighted_kappa(matrix), "accuracy": accuracy(matrix), "log loss": loss}


def study(manifest: Manifest, experiment: Experiment) -> pd.DataFrame:
    """One row a number of views and repeat: the figures of all photographs."""
    features, plain = all_features(manifest, experiment)
    grades = manifest.table["grade"].to_numpy(dtype=np.int64)
    found = []
    for repeat in range(REPEATS):
        validated = [(part.table["split"] == "val").to_numpy() for part in fold_splits(manifest, FOLDS, repeat)]
        for views in (*VIEWS, EPOCHS):
            probabilities = np.empty((len(grades), 5))
            for others in validated:
                head = trained_head(experiment, features, grades, np.flatnonzero(~others), views, repeat)
                with torch.inference_mode():
                    probabilities[others] = head(plain[torch.from_numpy(others)]).double().softmax(1).numpy()
            found.append({"views": views, "repeat": repeat, **figures(grades, probabilities)})
    return pd.DataFrame(found)


def main() -> None:
    """Measures and prints."""
    prepared, name, *overrides = sys.argv[1:]
    graded = Manifest.read(Path(prepared) / "manifest.csv").graded()
    divided = Manifest(graded.table[graded.table["split"].isin(["train", "val"])].reset_index(drop=True), graded.root)
    table = study(divided, load_experiment(name, overrides))
    print(f"{name} {' '.join(overrides)}: {REPEATS} × {FOLDS} folds, {EPOCHS} epochs; less what {EPOCHS} views give")
    for figure in ("QWK", "accuracy", "log loss"):
        values = table.pivot_table(figure, "views", "repeat")
        less = values - values.loc[EPOCHS]
        for views in values.index:
            mean, error = less.loc[views].mean(), less.loc[views].sem()
            print(f"{figure:10}{views:4} views {values.loc[views].mean():8.3f}{mean:+8.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
