"""Compares the speed of all intervals with a plain loop over scikit-learn on the same resamples.

    python benchmarks/evaluation.py

The data are made-up predictions of 53,576 photographs of 26,788 patients, the size of EyePACS's test set. The loop
repeats the rows of each resample in memory and asks scikit-learn for every metric that it has. 2,000 of its resamples
take many minutes, so the benchmark times a few, in turns with ours, and scales the time. It also compares the metrics
of the same resamples. Ratios are ratios of processor time, with one thread each. The last measurement is the whole
command `retinagrade evaluate`: 2,000 resamples of all metrics, a calibration, both eyes as subgroups, the page and its
pictures.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.metrics as reference

from retinagrade.evaluation.fitting.calibration import fit_calibration, save_calibration
from retinagrade.evaluation.named_metrics import METRIC_NAMES, TASKS
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.resampling import RESAMPLES, patient_weights, resampled_metrics
from retinagrade.grades import PROBABILITY_COLUMNS

PATIENTS = 26_788
LOOPED = 3
OURS = 200  # so that sorting the scores once counts for about as little as it does in 2,000
SHARES = ("precision", "recall", "f1")
TIMES_FASTER = 50
SECONDS = 20
GIGABYTES = 1.5
LABELS = list(range(5))


def made_up_photographs(patients: int = PATIENTS, seed: int = 0) -> GradedPredictions:
    """Photographs of both eyes of patients, in EyePACS's proportions of grades."""
    rng = np.random.default_rng(seed)
    count = 2 * patients
    grades = rng.choice(5, count, p=[0.73, 0.07, 0.15, 0.03, 0.02])
    logits = rng.normal(0, 1, (count, 5)) - 1.2 * np.abs(np.arange(5) - grades[:, None])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.array([f"{seed}-{row:05d}" for row in range(count)])
    return GradedPredictions(ids, grades, probabilities, np.repeat(np.arange(patients), 2))


def by_scikit_learn(photographs: GradedPredictions) -> dict[str, float]:
    """Computes the metrics that scikit-learn has a function for."""
    grades, given, probabilities = photographs.grades, photographs.predicted, photographs.probabilities
    found = {
        "accuracy": reference.accuracy_score(grades, given),
        "quadratic_weighted_kappa": reference.cohen_kappa_score(grades, given, labels=LABELS, weights="quadratic"),
        "linear_weighted_kappa": reference.cohen_kappa_score(grades, given, labels=LABELS, weights="linear"),
        "unweighted_kappa": reference.cohen_kappa_score(grades, given, labels=LABELS),
        "balanced_accuracy": reference.balanced_accuracy_score(grades, given),
        "mean_absolute_grade_error": reference.mean_absolute_error(grades, given),
        "macro_auc": reference.roc_auc_score(grades, probabilities, multi_class="ovr", average="macro"),
        "brier": reference.brier_score_loss(grades, probabilities, labels=LABELS, scale_by_half=False),
        "log_loss": reference.log_loss(grades, probabilities, labels=LABELS),
    }
    for average in ("macro", "weighted"):
        shares = reference.precision_recall_fscore_support(grades, given, labels=LABELS, average=average)
        found |= {
            f"{average}_{name}": value for name, value in zip(("precision", "recall", "f1"), shares, strict=False)
        }
    each = reference.precision_recall_fscore_support(grades, given, labels=LABELS)
    for grade in LABELS:
        found |= {f"grade_{grade}_{name}": value[grade] for name, value in zip(SHARES, each[:3], strict=True)}
        found[f"grade_{grade}_specificity"] = reference.recall_score(grades != grade, given != grade)
    for task, worse in TASKS.items():
        truths, decided, scores = grades >= worse, given >= worse, probabilities[:, worse:].sum(axis=1)
        found |= {
            f"{task}_auc": reference.roc_auc_score(truths, scores),
            f"{task}_average_precision": reference.average_precision_score(truths, scores),
            f"{task}_sensitivity": reference.recall_score(truths, decided),
            f"{task}_specificity": reference.recall_score(~truths, ~decided),
            f"{task}_ppv": reference.precision_score(truths, decided),
            f"{task}_npv": reference.precision_score(~truths, ~decided),
        }
    return {name: float(value) for name, value in found.items()}


def repeated(photographs: GradedPredictions, resample: int) -> GradedPredictions:
    """A resample as rows in memory."""
    weights = patient_weights(PATIENTS, resample)[photographs.patients].astype(int)
    return photographs.rows(np.repeat(np.arange(len(photographs)), weights))


def loop_beside_ours(photographs: GradedPredictions) -> None:
    """Times both in turns, compares their metrics and prints the ratio."""
    names = sorted(by_scikit_learn(photographs))
    ours, loop, furthest = [], [], 0.0
    for resample in range(LOOPED):
        start = time.process_time()
        others = by_scikit_learn(repeated(photographs, resample))
        loop.append(time.process_time() - start)
        start = time.process_time()
        values = resampled_metrics(photographs, names, resamples=OURS)
        ours.append((time.process_time() - start) / OURS)
        furthest = max(furthest, *(abs(values[name][resample] - others[name]) for name in names))
    ratio = min(loop) / min(ours)
    print(
        f"{len(names)} of {len(METRIC_NAMES)} metrics, processor time of a resample, best of {LOOPED} rounds in turns:"
    )
    print(
        f"  a loop over scikit-learn {min(loop) * 1e3:6.1f} ms, so {min(loop) * RESAMPLES / 60:.0f} min for {RESAMPLES}"
    )
    print(f"  ours                     {min(ours) * 1e3:6.1f} ms")
    print(f"  {ratio:.0f} times as fast, bar {TIMES_FASTER}: {'pass' if ratio >= TIMES_FASTER else 'FAIL'}")
    print(f"  metrics differ by {furthest:.0e} at most, bar 1e-12: {'pass' if furthest < 1e-12 else 'FAIL'}")


def the_command(folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and gigabytes, of `retinagrade evaluate`."""
    photographs, others = made_up_photographs(), made_up_photographs(2_000, seed=1)
    table = pd.DataFrame(photographs.probabilities, columns=list(PROBABILITY_COLUMNS))
    table = table.assign(image_id=photographs.image_ids, grade=photographs.grades, patient_id=photographs.patients)
    table.assign(laterality=["L", "R"] * PATIENTS).to_csv(folder / "test.csv", index=False)
    save_calibration(fit_calibration(others, folder / "test.csv"), folder / "calibration.json")
    command = [sys.executable, "-m", "retinagrade", "evaluate", str(folder / "test.csv"), "--out", str(folder / "out")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "--calibration", str(folder / "calibration.json")], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy, after.ru_maxrss / 1e6


def main() -> None:
    """Measures and prints."""
    warnings.simplefilter("ignore")
    loop_beside_ours(made_up_photographs())
    with tempfile.TemporaryDirectory() as folder:
        seconds, busy, memory = the_command(Path(folder))
    print(f"retinagrade evaluate, {RESAMPLES} resamples of {2 * PATIENTS} photographs:")
    print(
        f"  {seconds:.1f} s ({busy:.1f} s of processor time), bar {SECONDS}: {'pass' if seconds < SECONDS else 'FAIL'}"
    )
    print(f"  {memory:.2f} GB, bar {GIGABYTES}: {'pass' if memory < GIGABYTES else 'FAIL'}")


if __name__ == "__main__":
    main()
