"""What averages of lesion maps are worth: of mirror images, and of several networks.

python benchmarks/lesion_averages.py PREPARED FOLDS [FOLDS…]

Each FOLDS is a cross-validation of an experiment that outlines lesions, all on the same folds; folds that aren't
trained in all of them are left out. Prints the average precision, at the networks' resolution, of the maps of each
network, of the mean over a photograph and its mirror images, and of the mean over all networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, count_lesions
from retinagrade.lesion_maps.outline import enlarge_maps
from retinagrade.manifest import Manifest
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.training.checkpoints import load_lesion_network
from retinagrade.training.lesions.crops import WholePhotographs
from retinagrade.training.lesions.predict import lesion_logits
from retinagrade.training.predict import with_split_of

SAME, MIRRORED = slice(None), slice(None, None, -1)
ALL = "all, mean of the networks and mirror images"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path, nargs="+")
    arguments = parser.parse_args()
    validations = [CrossValidation(folder) for folder in arguments.folds]
    numbers = range(validations[0].record().folds)
    common = [number for number in numbers if all(each.fold(number).is_finished for each in validations)]
    kinds = [kind for kind in validations[0].fold(common[0]).experiment().network.lesions if kind != OPTIC_DISC]
    counts: dict[str, dict[str, list[LesionCounts]]] = {}
    for number in common:
        for name, of_photograph in judge_fold(arguments.prepared, validations, number):
            for kind, count in of_photograph.items():
                counts.setdefault(name, {}).setdefault(kind, []).append(count)
    print(f"{date.today():%-d %B %Y}, folds {', '.join(map(str, common))}\n\n| maps | {' | '.join(kinds)} | mean |")
    print("|---" * (len(kinds) + 2) + "|")
    for name, of_kinds in counts.items():
        precisions = [average_precision(of_kinds[kind]) for kind in kinds]
        print(f"| {name} | {' | '.join(f'{each:.3f}' for each in [*precisions, float(np.mean(precisions))])} |")


def judge_fold(
    prepared: Path, validations: list[CrossValidation], number: int
) -> Iterator[tuple[str, dict[str, LesionCounts]]]:
    """Yields the name of a way to make maps, and the counts of one photograph."""
    runs = [each.fold(number) for each in validations]
    networks = {each.folder.name: load_lesion_network(run) for each, run in zip(validations, runs, strict=True)}
    manifest = with_split_of(runs[0], Manifest.read(prepared / "manifest.csv")).split("val")
    kinds = runs[0].experiment().network.lesions
    photographs = WholePhotographs(manifest, kinds)
    for index in range(len(photographs)):
        pixels, masks, known, inside, _ = photographs[index]
        maps = {}
        for name, network in networks.items():
            maps[name] = compute_maps(network, pixels)
            mirrored = [
                compute_maps(network, pixels, rows=MIRRORED),
                compute_maps(network, pixels, columns=MIRRORED),
            ]
            maps[f"{name}, mean with two mirror images"] = np.mean([maps[name], *mirrored], axis=0)
        if len(networks) > 1:
            maps[ALL] = np.mean([maps[f"{name}, mean with two mirror images"] for name in networks], axis=0)
        for name, each in maps.items():
            yield (
                name,
                {
                    kind: count_lesions(each[channel].astype(np.float32), masks[channel] > 127, inside)
                    for channel, kind in enumerate(kinds)
                    if known[channel] and kind != OPTIC_DISC
                },
            )


def compute_maps(
    network: LesionNetwork, pixels: NDArray[np.uint8], rows: slice = SAME, columns: slice = SAME
) -> NDArray[np.float32]:
    """Computes the maps (kinds, H, W) of a photograph that is mirrored first, mirrored back."""
    logits = lesion_logits(network, np.ascontiguousarray(pixels[rows, columns])[None])[0]
    maps = 1 / (1 + np.exp(-logits[:, rows, columns]))
    return enlarge_maps(np.ascontiguousarray(maps), pixels.shape[0])


if __name__ == "__main__":
    main()
