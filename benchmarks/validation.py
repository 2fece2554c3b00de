"""How often `validate` gives each verdict, on simulated sites: the figures of docs/validation.md.

python benchmarks/validation.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, Final

from retinagrade.grader.metadata import Metadata
from retinagrade.sites.card_comparison import compare_with_card
from retinagrade.sites.verdict import judge, weigh_evidence

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.sites.simulated import card_of, simulated

SIZES: Final = (50, 100, 200, 400)
"""Numbers of photographs at a site, two of each patient."""
SITES: Final[dict[str, dict[str, Any]]] = {
    "works as on its card": {},
    "scale moved by half a grade": {"shift": -0.5},
    "scale moved by a whole grade": {"shift": -1.0},
    "errors half as large again": {"noise": 1.2},
    "errors twice as large": {"noise": 1.6},
}
"""Graders at a site, by their name."""
CARD: Final = 400
"""Number of photographs of a card."""
CARDS: Final = 40
"""Number of cards; each serves several sites."""
RESAMPLES: Final = 200


def main() -> None:
    """Prints a row for each grader: the shares of the verdicts at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="simulated sites for each cell")
    runs = parser.parse_args().runs
    began = time.process_time()
    cards = [card_of(simulated(CARD, 2 * number + 1)) for number in range(CARDS)]
    print(f"| grader | {' | '.join(map(str, SIZES))} |\n|---|{'---|' * len(SIZES)}")
    for name, changed in SITES.items():
        cells = [_verdicts(size, changed, cards, runs) for size in SIZES]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"{date.today():%d %B %Y}, {runs} sites for each cell, {time.process_time() - began:.0f} s")


def _verdicts(photographs: int, changed: dict[str, Any], cards: list[Metadata], runs: int) -> str:
    """Returns the shares of the verdicts "as on its card", "worse" and "too few"."""
    counts: Counter[str] = Counter()
    for run in range(runs):
        site, card = simulated(photographs, 2 * run, eyes=2, **changed), cards[run % CARDS]
        figures = compare_with_card(site, card, resamples=RESAMPLES)
        counts[judge(figures, weigh_evidence(site, card.referable), (), photographs).outcome] += 1
    shares = (counts[outcome] / runs for outcome in ("as on its card", "worse", "too few photographs"))
    return ", ".join(f"{share:.0%}" for share in shares)


if __name__ == "__main__":
    main()
