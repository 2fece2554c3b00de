"""``retinagrade ensemble``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retinagrade.cli.console import JsonOption, console, print_json

if TYPE_CHECKING:
    from retinagrade.ensembles.ensemble import Ensemble
    from retinagrade.evaluation.comparison import NetworkComparison


class EnsembleMethod(StrEnum):
    """How members are combined."""

    MAJORITY = "majority"
    ACCURACY = "accuracy"
    RECALL = "recall"
    STACKING = "stacking"
    LOGISTIC = "logistic"
    MEAN = "mean"
    GEOMETRIC = "geometric"
    QWK = "qwk"
    EYES = "eyes"


def register(app: typer.Typer) -> None:
    """Adds this module's commands."""
    app.command("ensemble")(ensemble)


def ensemble(
    members: Annotated[
        list[Path], typer.Argument(help="Folders of runs, cross-validations or ensembles, trained on the same split.")
    ],
    out: Annotated[Path, typer.Option(help="The ensemble's folder: a run like any other.")],
    method: Annotated[
        EnsembleMethod,
        typer.Option(
            help="majority: one vote each. mean, geometric: averages of the probabilities. accuracy, recall, qwk: "
            "means weighted by validation accuracy, by recalls in which rare grades count for more, or for the highest "
            "QWK. logistic, stacking: a regression, or the report's network, on all probabilities. eyes: of one run, a "
            "regression on the probabilities of both eyes of a patient."
        ),
    ] = EnsembleMethod.MEAN,
    resamples: Annotated[int, typer.Option(min=200, help="Resamples of patients that intervals are made of.")] = 2000,
    json: JsonOption = False,
) -> None:
    """Combine saved predictions of several runs; fitted on the validation photographs, for every other common split."""
    from retinagrade.ensembles.contributions import contributions_csv, contributions_table
    from retinagrade.ensembles.ensemble import ALL
    from retinagrade.ensembles.ensemble import ensemble as combine
    from retinagrade.evaluation.comparison import compare_predictions
    from retinagrade.evaluation.report.tables import rich_table
    from retinagrade.files import write_text

    made = combine(members, method.value, out)
    record = made.run.ensemble_record()
    compared: dict[str, NetworkComparison] = {}
    for split, networks in made.networks.items():
        if networks[ALL]["grade"].isna().all():
            continue
        files = {f"{one.folder}/predictions/{split}.csv": one.predictions[split] for one in record.members}
        compared[split] = compare_predictions(
            networks, findings={name: [] for name in networks}, sources=files, resamples=resamples
        )
        compared[split].write(out / "members" / split)
    write_text(out / "members.csv", contributions_csv(compared))
    if json:
        print_json(
            {
                "run": record.model_dump(mode="json"),
                "combination": _numbers(made),
                "members": {split: shown.to_json() for split, shown in compared.items()},
            }
        )
        return
    printed = console()
    printed.print(_says(made), highlight=False)
    for split, shown in compared.items():
        how = "out of fold" if split == "val" else "fitted on the validation photographs"
        photographs = shown.evaluations[shown.first].photographs
        printed.print(rich_table(contributions_table(shown, f"{split}: {photographs} photographs, {how}")))
    for split, reason in made.skipped.items():
        printed.print(f"{split} was left out: {reason}", highlight=False)
    printed.print(f"wrote {out / 'members.csv'}, and a page a split in {out / 'members'}", highlight=False)
    for split in made.networks:
        printed.print(f"next: retinagrade evaluate {made.run.predictions_file(split)}", highlight=False)


def _numbers(made: Ensemble) -> dict[str, object]:
    """How members are combined, but for the coefficients of a second stage, which are in ``ensemble.json``."""
    return made.fitted.combination.model_dump(mode="json", exclude={"layers"})


def _says(made: Ensemble) -> str:
    """How members are combined, in a line."""
    from retinagrade.ensembles.combination import MajorityVote, WeightedMean

    combination, names = made.fitted.combination, [source.name for source in made.fitted.members]

    def listed(numbers: tuple[float, ...]) -> str:
        return ", ".join(f"{name} {number:.3f}" for name, number in zip(names, numbers, strict=True))

    if isinstance(combination, MajorityVote):
        return f"majority: a tie goes by validation accuracy: {listed(combination.accuracies)}"
    if not isinstance(combination, WeightedMean):
        return f"{combination.method}: {', '.join(names)}"
    counted = combination.class_weights
    recalls = "" if counted is None else f" (recalls count for {' '.join(f'{weight:.5f}' for weight in counted)})"
    return f"{combination.method}: weights {listed(combination.weights)}{recalls}"
