"""False alarms and power of the integrity checks, on simulated tables: the figures of docs/evaluation.md.

python benchmarks/integrity.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from retinagrade.evaluation.integrity.checks import check_predictions
from retinagrade.evaluation.predictions import GRADES_LINE_COLUMN, LINE_COLUMN
from retinagrade.grades import N_GRADES, PROBABILITY_COLUMNS

PREVALENCES: Final = {
    "screening": (0.73, 0.07, 0.15, 0.03, 0.02),
    "clinic": (0.33, 0.05, 0.33, 0.18, 0.11),
    "balanced": (0.2, 0.2, 0.2, 0.2, 0.2),
}
"""Shares of the grades: as in EyePACS, as in IDRiD, and all alike."""
SIZES: Final = {50: 210, 200: 210, 1_000: 105, 5_000: 56, 50_000: 7}
"""Numbers of photographs, and of honest tables of each prevalence and strength."""
MISALIGNED: Final = {200: 60, 1_000: 20, 5_000: 5, 50_000: 1}
"""Numbers of photographs, and of misaligned tables of each kind and prevalence."""
NOISES: Final = {
    "chance": (np.inf, np.inf, np.inf),
    "QWK 0.1": (4.1, 8.0, 9.0),
    "QWK 0.2": (3.2, 5.2, 5.6),
    "QWK 0.4": (2.1, 2.85, 3.0),
    "QWK 0.6": (1.3, 1.65, 1.8),
    "QWK 0.8": (0.8, 0.97, 1.05),
    "QWK 0.95": (0.45, 0.48, 0.45),
}
"""Standard deviation of a network's errors, in grades, for each prevalence."""
LAYOUTS: Final = ("random", "eyes", "folders", "by expected grade", "by predicted grade", "referable first", "results")
"""Orders of the rows of honest tables; ``results`` has the columns that `retinagrade grade` writes."""
BATCHES: Final = (8, 32)
STRENGTHS: Final = ("QWK 0.4",)
"""Strengths of the misaligned networks."""


@dataclass(frozen=True)
class Simulation:
    """One simulated network on the photographs of one population.

    Attributes:
        prevalence: Name of the shares of the grades.
        strength: Name of the strength of the network.
        photographs: Number of photographs.
    """

    prevalence: str
    strength: str
    photographs: int

    def honest(self, generator: np.random.Generator, layout: str) -> pd.DataFrame:
        """Returns a table whose predictions stand beside the right photographs."""
        shares, count = np.array(PREVALENCES[self.prevalence]), self.photographs
        grades = generator.choice(N_GRADES, count, p=shares)
        noise = generator.standard_normal(count)
        if layout == "eyes":  # of four patients in five, both eyes have one grade, and the errors are alike
            pairs, alike = np.arange(count) // 2 * 2, generator.random(count) < 0.8
            grades, noise = np.where(alike, grades[pairs], grades), (noise[pairs] + noise) / np.sqrt(2)
            noise[::2] = generator.standard_normal(len(noise[::2])) / np.sqrt(2) + noise[::2] / 2
        scale = NOISES[self.strength][tuple(PREVALENCES).index(self.prevalence)]
        probabilities = _probabilities(grades, noise, scale, shares)
        table = pd.DataFrame(probabilities, columns=list(PROBABILITY_COLUMNS))
        table.insert(0, "image_id", [f"{number:06d}" for number in range(count)])
        table["grade"] = pd.array(grades, dtype="Int64")
        return _laid_out(table, layout, generator)


def _probabilities(
    grades: NDArray[Any], noise: NDArray[np.float64], scale: float, shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns what a network makes of grades that it sees with errors, trained with softened class weights."""
    seen, spread = (2 + 2 * noise, 2.0) if np.isinf(scale) else (grades + scale * noise, scale)
    logits = -((seen[:, None] - np.arange(N_GRADES)) ** 2) / (2 * spread**2) + 0.5 * np.log(shares)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _laid_out(table: pd.DataFrame, layout: str, generator: np.random.Generator) -> pd.DataFrame:
    values = table[list(PROBABILITY_COLUMNS)].to_numpy()
    expected, count = values @ np.arange(N_GRADES), len(table)
    keys = {
        "folders": table["grade"].to_numpy(dtype=float) + generator.random(count),
        "by expected grade": expected,
        "by predicted grade": values.argmax(axis=1) + generator.random(count),
        "referable first": (values[:, 2:].sum(axis=1) < generator.uniform(0.2, 0.8)) + generator.random(count),
    }
    ranks = np.argsort(np.argsort(keys[layout])) if layout in keys else np.arange(count)
    table = table.assign(**{LINE_COLUMN: ranks + 2, GRADES_LINE_COLUMN: generator.permutation(count) + 2})
    if layout == "folders":  # the names, too
        table["image_id"] = [f"{number:06d}" for number in ranks]
    if layout == "results":
        columns = {
            "expected_grade": expected, "confidence": values.max(axis=1), "quality": 1 - values.min(axis=1),
            "severity": expected,
        }  # fmt: skip
        for name, numbers in columns.items():
            table[name] = pd.array([repr(number) for number in numbers.round(9).tolist()], dtype="string")
        table["rank"] = pd.array([str(rank) for rank in np.argsort(np.argsort(expected))], dtype="string")
    return table


def _give(table: pd.DataFrame, sources: NDArray[Any]) -> pd.DataFrame:
    """Returns the table in which photograph k has the prediction of photograph ``sources[k]``."""
    columns = list(PROBABILITY_COLUMNS)
    return table.assign(**{column: table[column].to_numpy()[sources] for column in columns})


def _shifted(table: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    steps = int(generator.choice([1, -1, 2, 17]))
    return _give(table, np.roll(np.arange(len(table)), steps))


def _reversed(table: pd.DataFrame, _generator: np.random.Generator) -> pd.DataFrame:
    return _give(table, np.arange(len(table))[::-1])


def _by_folders(table: pd.DataFrame, _generator: np.random.Generator) -> pd.DataFrame:
    """The network read folders of grades; its predictions are listed in the order of the names."""
    return _give(table, np.argsort(table["grade"].to_numpy(dtype=int), kind="stable"))


def _in_batches(size: int) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    def shuffled(table: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
        count = len(table)
        return _give(table, np.lexsort((generator.random(count), np.arange(count) // size)))

    return shuffled


def _wholly_shuffled(table: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    return _give(table, generator.permutation(len(table)))


def _relabelled(order: tuple[int, ...]) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    def renumbered(table: pd.DataFrame, _generator: np.random.Generator) -> pd.DataFrame:
        columns = list(PROBABILITY_COLUMNS)
        return table.assign(**dict(zip(columns, table[columns].to_numpy().T[list(order)], strict=True)))

    return renumbered


MISALIGNMENTS: Final[dict[str, Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]]] = {
    "shifted": _shifted,
    "reversed": _reversed,
    "folder-ordered": _by_folders,
    **{f"shuffled in batches of {size}": _in_batches(size) for size in BATCHES},
    "shuffled": _wholly_shuffled,
    "relabelled, worst to best": _relabelled((4, 3, 2, 1, 0)),
    "relabelled, alphabetical": _relabelled((1, 2, 0, 4, 3)),
}


@dataclass
class Rates:
    """Counts of verdicts.

    Attributes:
        tables: Number of tables.
        accused: Tables that are called impossible or misaligned.
        found: Tables that are called so, or can't be told from chance.
    """

    tables: int = 0
    accused: int = 0
    found: int = 0

    def add(self, table: pd.DataFrame) -> None:
        """Checks a table, and counts its verdicts."""
        verdicts = {finding.verdict for finding in check_predictions(table) if finding.code != "few-cases"}
        self.tables += 1
        self.accused += bool(verdicts & {"impossible", "misaligned"})
        self.found += bool(verdicts)

    def __add__(self, other: Rates) -> Rates:
        """Returns the sum of two counts."""
        return Rates(self.tables + other.tables, self.accused + other.accused, self.found + other.found)


def false_alarms(sizes: dict[int, int], seed: int = 0) -> dict[Simulation, Rates]:
    """Checks honest tables of every size, prevalence and strength, with each layout in turn."""
    rates = {}
    for number, simulation in enumerate(_simulations(sizes, tuple(NOISES))):
        generator = np.random.default_rng([seed, 0, number])
        rates[simulation] = Rates()
        for table in range(sizes[simulation.photographs]):
            rates[simulation].add(simulation.honest(generator, LAYOUTS[table % len(LAYOUTS)]))
    return rates


def power(sizes: dict[int, int], strengths: tuple[str, ...], seed: int = 0) -> dict[tuple[str, Simulation], Rates]:
    """Checks misaligned tables of every kind, size and prevalence."""
    rates = {}
    for number, simulation in enumerate(_simulations(sizes, strengths)):
        for kind, misalign in MISALIGNMENTS.items():
            generator = np.random.default_rng([seed, 1, number])
            rates[kind, simulation] = Rates()
            for _ in range(sizes[simulation.photographs]):
                rates[kind, simulation].add(misalign(simulation.honest(generator, "random"), generator))
    return rates


def _simulations(sizes: dict[int, int], strengths: tuple[str, ...]) -> Iterator[Simulation]:
    for size in sizes:
        for strength in strengths:
            for prevalence in PREVALENCES:
                yield Simulation(prevalence, strength, size)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="number of tables, as a multiple of the usual one")
    options = parser.parse_args()
    sizes, misaligned = (
        {size: max(1, round(tables * options.scale)) for size, tables in numbers.items()}
        for numbers in (SIZES, MISALIGNED)
    )
    start = time.perf_counter()
    honest = false_alarms(sizes, options.seed)
    _print_false_alarms(honest, tuple(sizes))
    _print_power(power(misaligned, STRENGTHS, options.seed), tuple(misaligned), STRENGTHS)
    print(f"\nSeed {options.seed}, {date.today():%-d %B %Y}, {time.perf_counter() - start:.0f} s")


def _print_false_alarms(rates: dict[Simulation, Rates], sizes: tuple[int, ...]) -> None:
    print("| network | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for strength in NOISES:
        cells = []
        for size in sizes:
            chosen = [one for key, one in rates.items() if (key.strength, key.photographs) == (strength, size)]
            total = sum(chosen, Rates())
            cells.append(f"{total.accused} of {total.tables}; {total.found / total.tables:.0%}")
        print(f"| {strength} | " + " | ".join(cells) + " |")
    total = sum(rates.values(), Rates())
    limit = beta.ppf(0.95, total.accused + 1, total.tables - total.accused)
    print(f"\nAll: {total.accused} of {total.tables}, at most {limit:.2%} with a confidence of 95 %.", flush=True)


def _print_power(
    rates: dict[tuple[str, Simulation], Rates], sizes: tuple[int, ...], strengths: tuple[str, ...]
) -> None:
    print("\n| misalignment | network | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 2) + "|")
    for kind in MISALIGNMENTS:
        for strength in strengths:
            cells = []
            for size in sizes:
                chosen = [
                    one
                    for (name, key), one in rates.items()
                    if (name, key.strength, key.photographs) == (kind, strength, size)
                ]
                total, least = sum(chosen, Rates()), min(one.found / one.tables for one in chosen)
                cells.append(f"{total.found / total.tables:.0%}, {least:.0%} ({total.accused / total.tables:.0%})")
            print(f"| {kind} | {strength} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
