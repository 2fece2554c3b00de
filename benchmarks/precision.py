"""Measures the change of probabilities, grades and QWK of trained runs by ``predict --fast``.

    python benchmarks/precision.py PREPARED RUN…

It predicts the validation photographs of the prepared set with and without ``--fast``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.runs.run import Run
from retinagrade.training.checkpoints import load_network
from retinagrade.training.predict import predict_network


def main() -> None:
    """Predicts and prints."""
    prepared, *folders = map(Path, sys.argv[1:])
    manifest = Manifest.read(prepared / "manifest.csv").graded().split("val")
    print(
        f"{len(manifest)} photographs: |difference| of a probability, grades that change, QWK without and with --fast"
    )
    for run in map(Run, folders):
        network, experiment = load_network(run), run.experiment()
        tables = [predict_network(network, experiment, manifest, fast=fast) for fast in (False, True)]
        exact, rounded = (table[list(PROBABILITY_COLUMNS)].to_numpy() for table in tables)
        grades = tables[0]["grade"].to_numpy(dtype=np.int64)
        kappas = [quadratic_weighted_kappa(confusion_matrix(grades, p.argmax(1))) for p in (exact, rounded)]
        difference, changed = np.abs(exact - rounded), int((exact.argmax(1) != rounded.argmax(1)).sum())
        print(
            f"{run.folder.name:24} mean {difference.mean():.4f}, at most {difference.max():.3f}; {changed:3} grades; "
            f"QWK {kappas[0]:.3f} {kappas[1]:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
