"""Measures how much of the lost average precision of red lesions is a confusion of one kind with the other.

python benchmarks/lesion_confusion.py MAPS

MAPS is a folder of lesion maps of a prepared set with masks. The table gives the average precision of microaneurysms
and of haemorrhages over all pixels; without the pixels that people outlined as the other kind; and that of both kinds
together. All are at the size of the prepared photographs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
from outlined import read_outlined

from retinagrade import LesionMaps
from retinagrade.evaluation.lesion_metrics import LesionCounts, average_precision, count_lesions
from retinagrade.lesion_maps.numbers import RED_KINDS


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path)
    counts: dict[str, list[LesionCounts]] = defaultdict(list)
    for photograph in read_outlined(LesionMaps(parser.parse_args().maps)):
        if not photograph.known.issuperset(RED_KINDS):
            continue
        probabilities, masks, inside = photograph.probabilities, photograph.masks, photograph.inside
        for kind, other in (RED_KINDS, RED_KINDS[::-1]):
            counts[kind].append(count_lesions(probabilities[kind], masks[kind], inside))
            own = inside & ~(masks[other] & ~masks[kind])
            counts[f"{kind}, without pixels of {other}"].append(count_lesions(probabilities[kind], masks[kind], own))
        together = np.maximum(*(probabilities[kind] for kind in RED_KINDS))
        counts["both"].append(count_lesions(together, masks[RED_KINDS[0]] | masks[RED_KINDS[1]], inside))
    print(f"{date.today():%-d %B %Y}, {len(counts['both'])} photographs\n\n| | average precision |\n|---|---|")
    for name, each in counts.items():
        print(f"| {name} | {average_precision(each):.3f} |")


if __name__ == "__main__":
    main()
