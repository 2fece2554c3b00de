"""Quiet years without an alarm, and changes that are found in their month: the figures of docs/monitoring.md.

python benchmarks/drift.py                    simulated screening programmes
python benchmarks/drift.py --results FOLDER   results of real photographs: quiet.csv, and a table for each change
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retinagrade.grades import N_GRADES
from retinagrade.gradings.grading import GRADED_KINDS, Grading
from retinagrade.gradings.table import read_gradings
from retinagrade.sites.control_charts import PERIODS, Sample, draw_charts
from retinagrade.sites.watched_numbers import WATCHED, make_samples, patient_numbers, value_table

SIZES: Final = (100, 300, 1_000)
"""Photographs of a month."""
REFERENCE: Final = 3
"""Months of the reference."""
MONTH: Final = 6
"""Place of the month of the change: month 7."""
POOL: Final = 6_000
"""Simulated patients, from whom months are drawn; both eyes of each are photographed."""
SHARES: Final = (0.68, 0.09, 0.16, 0.04, 0.03)
"""Shares of the grades of a screening programme."""
_REASONS: Final = (
    "haze: widen the pupil",
    "blurred: focus again",
    "lashes: open the eye wider",
    "dark: use more flash",
)


@dataclass(frozen=True)
class Change:
    """What changes in a simulated programme; the default changes nothing.

    Attributes:
        quality: Factor of the odds that a photograph has a fault.
        refusals: Factor of the share of ungradable photographs.
        severity: Grades that are added to what the network sees.
        exudates: Factor of the hard exudates.
        missed: Share of the diseased eyes in which the network sees nothing.
    """

    quality: float = 1.0
    refusals: float = 1.0
    severity: float = 0.0
    exudates: float = 1.0
    missed: float = 0.0


CHANGES: Final = {
    "quality falls (twice the faults)": Change(quality=2),
    "refusals double (8 % to 16 %)": Change(refusals=2),
    "expected grade 0.16 higher": Change(severity=0.27),
    "referral share from 26 % to 37 %": Change(severity=0.5),
    "twice the hard exudates": Change(exudates=2),
    "a third of the disease unseen": Change(missed=1 / 3),
}
Pool = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Values of all numbers (photographs, numbers), and the patient of each photograph."""


def simulate(change: Change, patients: int, seed: int) -> list[Grading]:
    """Simulates the results of a programme: both eyes of each patient, which are alike."""
    rng, count = np.random.default_rng(seed), 2 * patients
    pairs, alike = np.arange(count) // 2 * 2, rng.random(count) < 0.7
    grades = rng.choice(N_GRADES, count, p=SHARES)
    grades = np.where(alike, grades[pairs], grades)
    shared, own = rng.standard_normal(count)[pairs], rng.standard_normal(count)
    seen = np.where(rng.random(count)[pairs] < change.missed, 0, grades) + 0.75 * (shared + own) / np.sqrt(2)
    logits = -((seen[:, None] + change.severity - np.arange(N_GRADES)) ** 2) / (2 * 0.75**2) + 0.5 * np.log(SHARES)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    faults = rng.random(count) ** (1 / change.quality) * rng.random(count)[pairs] ** (0.5 / change.quality)
    quality = 1 - faults**6
    refused = np.where(alike, rng.random(count)[pairs], rng.random(count)) < 0.08 * change.refusals
    load = rng.gamma(0.6, 2.5, (count, len(GRADED_KINDS))) * np.clip(seen, 0, 4)[:, None]
    load[:, GRADED_KINDS.index("hard_exudates")] *= change.exudates
    counts = rng.poisson(load)
    rows = []
    for row in range(count):
        common = Grading(
            f"{row}", None, study=f"{row // 2}", quality=float(quality[row]), gradable=not refused[row], digest=f"{row}"
        )
        if refused[row]:
            rows.append(replace(common, quality=0.1, quality_reasons=(_REASONS[row // 2 % len(_REASONS)],)))
            continue
        grade = int(probabilities[row].argmax())
        confidence = float(probabilities[row, grade])
        lesions = {
            name: value
            for kind, number in zip(GRADED_KINDS, counts[row].tolist(), strict=True)
            for name, value in ((kind, number), (f"{kind}_area", 1e-4 * number * (1 + own[row] ** 2)))
        }
        rows.append(
            replace(
                common,
                predicted_grade=grade,
                expected_grade=float(probabilities[row] @ np.arange(N_GRADES)),
                referable=bool(probabilities[row, 2:].sum() >= 0.4),
                confidence=confidence,
                needs_review=confidence < 0.45,
                **lesions,
            )
        )
    return rows


def pool_of(gradings: list[Grading]) -> Pool:
    """Returns the values and patients of gradings, from which months are drawn."""
    return value_table(gradings), patient_numbers(gradings)


def draw_year(before: Pool, after: Pool, photographs: int, rng: np.random.Generator) -> list[set[str]]:
    """Draws a reference and twelve months of patients; from month 7 on, they come from another pool.

    Returns:
        The numbers that have an alarm, for each month.
    """
    reference = _draw(before, REFERENCE * photographs, rng)
    months = [_draw(before if month < MONTH else after, photographs, rng) for month in range(PERIODS)]
    charts = draw_charts([each.number for each in WATCHED], reference, months)
    return [{chart.name for chart in charts if chart.points[month].is_alarm} for month in range(PERIODS)]


def _draw(pool: Pool, photographs: int, rng: np.random.Generator) -> dict[str, Sample]:
    values, patients = pool
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.diff(patients[order], prepend=patients[order[0]] - 1))
    sizes = np.diff(starts, append=len(order))
    chosen = rng.integers(0, len(starts), photographs)
    last = int(np.searchsorted(np.cumsum(sizes[chosen]), photographs)) + 1
    rows = [order[starts[one] : starts[one] + sizes[one]] for one in chosen[:last]]
    numbers = np.repeat(np.arange(last), [len(each) for each in rows])
    return make_samples(values[np.concatenate(rows)[:photographs]], numbers[:photographs])


def measure(name: str, before: Pool, after: Pool, sizes: tuple[int, ...], years: int, seed: int) -> None:
    """Prints a row: for each number of photographs, the share of years found in month 7, by month 8 and by month 9."""
    cells = []
    for size in sizes:
        rng = np.random.default_rng([seed, size])
        found = np.zeros(3)
        for _ in range(years):
            alarms = draw_year(before, after, size, rng)
            found += [any(alarms[MONTH : MONTH + 1 + later]) for later in range(3)]
        cells.append(" / ".join(f"{share:.0%}" for share in found / years))
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measure_quiet(before: Pool, sizes: tuple[int, ...], years: int, seed: int) -> None:
    """Prints a row: for each number of photographs, the share of quiet years without an alarm."""
    cells = []
    for size in sizes:
        rng = np.random.default_rng([seed, size, 1])
        quiet = sum(not any(draw_year(before, before, size, rng)) for _ in range(years))
        cells.append(f"{quiet} of {years}")
    print("| nothing: quiet years | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="folder of quiet.csv and tables of changes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", type=int, default=200, help="quiet years for each number of photographs")
    parser.add_argument("--years", type=int, default=40, help="years with a change")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="photographs of a month")
    options = parser.parse_args()
    start, sizes = time.perf_counter(), tuple(options.sizes)
    make: Callable[[Change], Pool] = lambda change: pool_of(simulate(change, POOL, options.seed))  # noqa: E731
    if options.results is None:
        before, changes = make(Change()), {name: make(change) for name, change in CHANGES.items()}
    else:
        tables = {file.stem: pool_of(read_gradings(file)) for file in sorted(options.results.glob("*.csv"))}
        before, changes = tables.pop("quiet"), tables
    print("| change in month 7 | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    measure_quiet(before, sizes, options.quiet, options.seed)
    for name, after in changes.items():
        measure(name, before, after, sizes, options.years, options.seed)
    print(f"\nSeed {options.seed}, {date.today():%-d %B %Y}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
