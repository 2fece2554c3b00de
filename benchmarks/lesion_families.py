"""How lesion networks, and the grades that read their maps, hold on a family of cameras that no training has seen.

python benchmarks/lesion_families.py PREPARED FOLDS OUT [--families NAME…]

FOLDS is a cross-validation with five folds of an experiment that outlines lesions. Each of its folds is trained once
more, without one family of camera changes: fold 0 without the first, fold 1 without the second, and so on. The
photographs of a fold are judged as a made-up camera of the family that its network has never seen took them; the grades
are fitted without that family, too. Beside it stands the same judgement of FOLDS, whose networks have seen every
family. A second call continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from outlined import read_outlined

from retinagrade import LesionMaps, Run, outline, train
from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.evaluation.fitting.ordinal import choose_strengths, fit_ordinal
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, count_lesions
from retinagrade.evaluation.metrics import Undefined, confusion_matrix, quadratic_weighted_kappa, referable_auc
from retinagrade.grades import N_GRADES
from retinagrade.images.camera import CAMERA_CHANGES, CameraChange
from retinagrade.manifest import Manifest
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.lesion_numbers import prepared_manifest, read_lesion_numbers
from retinagrade.training.predict import with_split_of

FITTED_ON: tuple[CameraChange, ...] = ("colour", "light", "resolution", "sharpness")
"""The families that `make default-grader` fits grades on."""


@dataclass
class Judgement:
    """What is known of the photographs of one fold, or of all folds.

    Attributes:
        grades: The right grades (N,).
        probabilities: Probabilities (N, 5) of the grades.
        counts: Pixels and lesions of the outlined photographs, by kind.
    """

    grades: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    counts: dict[str, list[LesionCounts]]


def main() -> None:
    """Trains, judges and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--families", nargs="+", choices=CAMERA_CHANGES, default=CAMERA_CHANGES)
    arguments = parser.parse_args()
    full = CrossValidation(arguments.folds)
    maps = arguments.out / "maps"
    own = outline(arguments.prepared, full, maps / "own")
    seen: list[Judgement] = []
    unseen: list[Judgement] = []
    kinds = ", ".join(kind for kind in own.record().kinds if kind != OPTIC_DISC)
    print(f"{date.today():%-d %B %Y}; average precision at the network's resolution, of {kinds}\n")
    print("| family, fold | seen: average precision | AUC, QWK | not seen: average precision | AUC, QWK |")
    print("|---|---|---|---|---|")
    for number, family in enumerate(CAMERA_CHANGES):
        if family not in arguments.families:
            continue
        rest = tuple(each for each in FITTED_ON if each != family)
        fitted = [own, outline(arguments.prepared, full, maps / f"fit-without-{family}", camera=rest)]
        train_on = _numbers(fitted)
        run = train_without(family, full.fold(number), arguments.prepared, arguments.out / f"without-{family}-{number}")
        for judged, network, into in ((seen, full.fold(number), "seen"), (unseen, run, "not-seen")):
            of_fold = outline(arguments.prepared, network, maps / f"{family}-{number}-{into}", camera=[family])
            judged.append(judge(of_fold, train_on, number))
        print(f"| {family}, {number} | {' | '.join(_row(each[-1]) for each in (seen, unseen))} |", flush=True)
    if len(seen) > 1:
        print(f"| all | {' | '.join(_row(_together(each)) for each in (seen, unseen))} |")


def train_without(family: CameraChange, fold: Run, prepared: Path, out: Path) -> Run:
    """Trains the network of a fold without one family of changes."""
    experiment = fold.experiment()
    camera = tuple(each for each in experiment.augmentation.camera if each != family)
    augmentation = experiment.augmentation.model_copy(update={"camera": camera})
    return train(
        prepared,
        experiment.model_copy(update={"augmentation": augmentation}),
        out,
        manifest=with_split_of(fold, Manifest.read(prepared / "manifest.csv")),
    )


def judge(maps: LesionMaps, fitted_on: pd.DataFrame, fold: int) -> Judgement:
    """Grades the photographs of one fold by a model of the other folds, and counts the lesions of the outlined ones."""
    numbers = _numbers([maps])
    names = [str(name) for name in numbers if name not in ("grade", "fold")]
    others = fitted_on[fitted_on["fold"] != fold]
    # Each photograph counts once, whatever the number of its maps.
    weights = 1 / others.groupby(level=0)["grade"].transform("count").to_numpy(np.float64)
    values, grades = others[names].to_numpy(np.float64), others["grade"].to_numpy(np.int64)
    strengths = choose_strengths(values, grades, N_GRADES - 1, others["fold"].to_numpy(np.int64), weights)
    model = fit_ordinal(names, values, grades, N_GRADES - 1, strengths, weights)
    probabilities = model.probabilities(numbers[names].to_numpy(np.float64))
    return Judgement(numbers["grade"].to_numpy(np.int64), probabilities, _count(maps))


def _numbers(folders: Sequence[LesionMaps]) -> pd.DataFrame:
    """Returns the lesion numbers of all graded photographs of folders of maps, with ``grade`` and ``fold``."""
    parts = []
    for maps in folders:
        graded = prepared_manifest(maps, maps.prepared).graded()
        table = read_lesion_numbers(maps, graded).table
        table["grade"] = graded.table.set_index("image_id")["grade"].loc[table.index].astype(int)
        folds = maps.record().photographs
        table["fold"] = [folds[str(image_id)] for image_id in table.index]
        parts.append(table)
    return pd.concat(parts)


def _count(maps: LesionMaps) -> dict[str, list[LesionCounts]]:
    counts: dict[str, list[LesionCounts]] = {kind: [] for kind in maps.record().kinds if kind != OPTIC_DISC}
    for photograph in read_outlined(maps):
        for kind in counts.keys() & photograph.known:
            counts[kind].append(
                count_lesions(photograph.probabilities[kind], photograph.masks[kind], photograph.inside)
            )
    return counts


def _together(judged: Sequence[Judgement]) -> Judgement:
    return Judgement(
        np.concatenate([each.grades for each in judged]),
        np.concatenate([each.probabilities for each in judged]),
        {kind: [count for each in judged for count in each.counts[kind]] for kind in judged[0].counts},
    )


def _row(judged: Judgement) -> str:
    precisions = []
    for counts in judged.counts.values():
        try:
            precisions.append(f"{average_precision(counts):.3f}")
        except Undefined:
            precisions.append("–")
    kappa = quadratic_weighted_kappa(confusion_matrix(judged.grades, judged.probabilities.argmax(axis=1)))
    return f"{' '.join(precisions)} | {referable_auc(judged.grades, judged.probabilities):.3f}, {kappa:.3f}"


if __name__ == "__main__":
    main()
