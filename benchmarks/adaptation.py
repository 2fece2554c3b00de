"""The gain of `retinagrade adapt` in a held-out style of IDRiD: the figures of docs/adaptation.md.

python benchmarks/adaptation.py numbers MAPS FOLDS sharpened sharpened.csv   # lesion numbers in a style
python benchmarks/adaptation.py judge MAPS NUMBERS.csv --draws 5             # MAPS of `outline`, in the look of IDRiD

Each photograph is outlined by the fold that has not seen it. Half of the photographs, in the look of IDRiD, fit the old
grade model. Of the other half, in another style, some photographs are those of the site, and all others judge. All
photographs of a group, such as copies, are on one side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.datasets.stratification import photograph_groups
from retinagrade.evaluation.adaptation import adaptation_gain
from retinagrade.evaluation.fitting.grade_cuts import expected_grade
from retinagrade.evaluation.fitting.ordinal import fit_ordinal
from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa, referable_auc
from retinagrade.evaluation.paired import paired_differences
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.images.camera import Camera, Haze, apply_camera, lit_region
from retinagrade.images.prepare import resize_to_input
from retinagrade.lesion_maps.anatomy import find_anatomy
from retinagrade.lesion_maps.mapped import map_photograph
from retinagrade.lesion_maps.numbers import lesion_numbers, read_maps
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.lesion_maps import LesionMaps
from retinagrade.runs.lesion_numbers import prepared_manifest, read_lesion_numbers

STYLES: Final = {
    "sharpened": Camera(sharpening=1.2, noise=5.0, quality=75),
    "small": Camera(diameter=420.0, quality=50),
    "pale": Camera(
        mean=(190.0, 120.0, 80.0), gamma=(1.2, 1.2, 1.2), rim=0.75, haze=Haze(0.2, 0.1, 0.8, 0.3, (220.0, 200.0, 170.0))
    ),
    "dark": Camera(mean=(95.0, 38.0, 8.0), gamma=(1.0, 1.15, 1.2), rim=0.7, noise=2.5, blur=0.5),
}
"""Cameras that change all photographs alike, as that of one clinic does."""
STRENGTHS: Final = (0.3, 0.3, 0.3, 0.3)
"""scikit-learn's ``C`` of each level of the old model."""
LOCAL_WEIGHT: Final = 3.0
"""Weight of a local photograph in the fit that has the original numbers as well; an original one has 1."""


def write_numbers(maps: LesionMaps, folds: CrossValidation, style: str, out: Path) -> None:
    """Writes the lesion numbers of the graded photographs of a set, as a camera of another style would show them."""
    from retinagrade.training.checkpoints import load_lesion_network
    from retinagrade.training.lesions.predict import lesion_logits

    record = maps.finished_record()
    manifest = prepared_manifest(maps, maps.prepared).graded()
    digests, rows = prepared_digests(manifest.root), {}
    paths = dict(zip(manifest.table["image_id"], manifest.table["path"], strict=True))
    for fold, run in enumerate(folds.runs()):
        network = load_lesion_network(run)
        for image_id in (name for name, number in record.photographs.items() if number == fold and name in paths):
            pixels = read_prepared(manifest.file(paths[image_id]), digests[image_id])
            pixels = resize_to_input(pixels, run.experiment().network.image_size)
            styled = apply_camera(STYLES[style], pixels, lit_region(pixels))
            found = record.calibration.maps(lesion_logits(network, blacken_outside(styled)[0][None])[0])
            mapped = map_photograph(styled, found, record.kinds)
            anatomy = find_anatomy(mapped.photograph, mapped.maps[record.kinds.index("optic_disc")], mapped.inside)
            rows[image_id] = lesion_numbers(read_maps(mapped.maps, record.kinds, mapped.inside), anatomy)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id").sort_index()
    table.to_csv(out, float_format="%.6g")


def judge(own: pd.DataFrame, style: pd.DataFrame, labels: pd.DataFrame, draw: int, size: int) -> Iterator[Any]:
    """Yields the metrics of each way to grade the judging photographs of one draw."""
    generator = np.random.default_rng(draw)
    groups, grades = photograph_groups(labels), labels["grade"].to_numpy(np.int64)
    order = generator.permutation(np.unique(groups))
    is_base = np.isin(groups, order[: len(order) // 2])
    original, local_numbers = own.to_numpy(np.float64), style.to_numpy(np.float64)
    old = fit_ordinal(list(own.columns), original[is_base], grades[is_base], 4, STRENGTHS)
    others = list(generator.permutation(order[len(order) // 2 :]))
    counts = np.cumsum([np.sum(groups == number) for number in others])
    is_local = np.isin(groups, others[: int(np.searchsorted(counts, size)) + 1])
    is_judge = ~is_base & ~is_local
    names = [str(number) for number in groups[is_local]]
    found = adaptation_gain(old, local_numbers[is_local], grades[is_local], names, seed=draw, resamples=500)
    before = GradedPredictions(
        np.arange(is_judge.sum()).astype(str),
        grades[is_judge],
        old.probabilities(local_numbers[is_judge]),
        groups[is_judge].astype(np.int64),
    )

    def row(way: str, probabilities: NDArray[np.float64], predicted: NDArray[np.int64] | None = None) -> dict[str, Any]:
        own_grades = probabilities.argmax(axis=1) if predicted is None else predicted
        kappa = quadratic_weighted_kappa(confusion_matrix(before.grades, own_grades))
        auc = referable_auc(before.grades, probabilities) if predicted is None else np.nan
        return {"photographs": size, "draw": draw, "way": way, "kappa": kappa, "auc": auc}

    adapted = found.model.probabilities(local_numbers[is_judge])
    yield row("as it is", before.probabilities)
    difference = paired_differences(
        GradedPredictions(before.image_ids, before.grades, adapted, before.patients),
        before,
        ["quadratic_weighted_kappa"],
        resamples=500,
    )["quadratic_weighted_kappa"]
    interval = difference.interval
    yield row("fitted", adapted) | {
        "method": found.method,
        "written": found.better,
        "said": found.kappa.difference,
        "low": 0.0 if interval is None else interval.low,
        "high": 0.0 if interval is None else interval.high,
    }
    yield row("as the command leaves it", adapted if found.better else before.probabilities)
    expected = [expected_grade(old.probabilities(local_numbers[part])) for part in (is_local, is_judge)]
    curve = IsotonicRegression(out_of_bounds="clip").fit(expected[0], grades[is_local])
    isotonic = np.clip(np.floor(curve.predict(expected[1]) + 0.5), 0, 4).astype(np.int64)
    yield row("isotonic map of the expected grade", before.probabilities, isotonic)
    weights = np.concatenate([np.ones(is_base.sum()), np.full(is_local.sum(), LOCAL_WEIGHT)])
    both = np.vstack([original[is_base], local_numbers[is_local]])
    together = fit_ordinal(
        list(own.columns), both, np.concatenate([grades[is_base], grades[is_local]]), 4, STRENGTHS, weights
    )
    yield row("fit with the original numbers", together.probabilities(local_numbers[is_judge]))


def report(rows: pd.DataFrame) -> str:
    """Returns the means over draws as Markdown."""
    lines = ["| photographs | way | QWK | referable AUC | written | chosen |", "|---|---|---|---|---|---|"]
    for (size, way), part in rows.groupby(["photographs", "way"], sort=False):
        fitted = part.dropna(subset=["written"])
        written = chosen = change = ""
        if len(fitted):
            written = f"{int(fitted['written'].sum())} of {len(fitted)}"
            chosen = ", ".join(f"{name} {count}" for name, count in fitted["method"].value_counts().items())
            means = fitted[["low", "high"]].mean()
            change = f" (gain {means['low']:+.3f} to {means['high']:+.3f})"
        auc = "" if part["auc"].isna().all() else f"{part['auc'].mean():.3f}"
        lines.append(f"| {size} | {way} | {part['kappa'].mean():.3f}{change} | {auc} | {written} | {chosen} |")
    return "\n".join(lines)


def main() -> None:
    """Runs a part of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    numbers = parts.add_parser("numbers")
    numbers.add_argument("maps", type=Path)
    numbers.add_argument("folds", type=Path)
    numbers.add_argument("style", choices=STYLES)
    numbers.add_argument("out", type=Path)
    judging = parts.add_parser("judge")
    judging.add_argument("maps", type=Path)
    judging.add_argument("style", nargs="?", help="numbers of a style, or a folder of maps; none for no style")
    judging.add_argument("--draws", type=int, default=5)
    judging.add_argument("--sizes", type=int, nargs="+", default=[25, 50, 100])
    judging.add_argument("--rows", type=Path, help="file for the rows of all draws")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    maps = LesionMaps(arguments.maps)
    if arguments.part == "numbers":
        write_numbers(maps, CrossValidation(arguments.folds), arguments.style, arguments.out)
        return
    own = _numbers(maps)
    labels = prepared_manifest(maps, maps.prepared).graded().table.set_index("image_id").loc[own.index].reset_index()
    style = own if arguments.style is None else _styled(Path(arguments.style)).loc[own.index, list(own.columns)]
    rows: list[Any] = []
    for size in arguments.sizes:
        for draw in range(arguments.draws):
            rows += judge(own, style, labels, draw, size)
        print(report(pd.DataFrame(rows)), flush=True)
        if arguments.rows:
            pd.DataFrame(rows).to_csv(arguments.rows, index=False)
    print(f"{len(own)} photographs, {arguments.draws} draws, seeds from 0, {date.today()}")


def _numbers(maps: LesionMaps) -> pd.DataFrame:
    return read_lesion_numbers(maps, prepared_manifest(maps, maps.prepared).graded()).table


def _styled(place: Path) -> pd.DataFrame:
    return pd.read_csv(place, index_col="image_id") if place.is_file() else _numbers(LesionMaps(place))


if __name__ == "__main__":
    main()
