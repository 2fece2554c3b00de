"""Measures how much single photographs change the average precision of lesions.

python benchmarks/lesion_photographs.py FOLDS

FOLDS is a cross-validation of an experiment that outlines lesions. The table gives for each kind the average precision
over the pixels of all outlined photographs, at the network's resolution, and the photographs without which it is
highest.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Final

from retinagrade.datasets.masks import OPTIC_DISC
from retinagrade.evaluation.lesion_metrics import average_precision
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.evaluate_lesions import read_run_counts

_SHOWN: Final = 2
"""Photographs of each kind that the table names."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", type=Path)
    by_photograph = read_run_counts(CrossValidation(parser.parse_args().folds).lesion_counts_file)
    kinds = {kind for of_photograph in by_photograph.values() for kind in of_photograph} - {OPTIC_DISC}
    print(f"{date.today():%-d %B %Y}, {len(by_photograph)} photographs\n")
    print("| kind | average precision | without one photograph | its share of the pixels |\n|---|---|---|---|")
    for kind in sorted(kinds):
        counts = {image_id: each[kind] for image_id, each in by_photograph.items() if kind in each}
        whole = average_precision(list(counts.values()))
        pixels = sum(int(each.inside.sum()) for each in counts.values())
        without = {
            image_id: average_precision([each for other, each in counts.items() if other != image_id])
            for image_id in counts
        }
        for image_id in sorted(without, key=lambda each: -without[each])[:_SHOWN]:
            share = int(counts[image_id].inside.sum()) / pixels
            print(f"| {kind} | {whole:.3f} | {without[image_id]:.3f} without {image_id} | {share:.1%} |")


if __name__ == "__main__":
    main()
