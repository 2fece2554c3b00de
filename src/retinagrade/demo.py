"""The demo: the whole way on photographs made on the spot, judged on held-out patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.evaluation.evaluate import evaluate_predictions
from retinagrade.evaluation.examples import example_photographs
from retinagrade.evaluation.report.page import render_report
from retinagrade.evaluation.results import EvaluationContext
from retinagrade.evaluation.subgroups import default_subgroup_columns
from retinagrade.experiments.experiment import load_experiment
from retinagrade.files import file_digests, write_text
from retinagrade.manifest import Manifest
from retinagrade.runs.predictions import Predictions
from retinagrade.training.predict import predict
from retinagrade.training.train import train

COUNT: Final = 300
SIZE: Final = 192
SEED: Final = 0

NETWORKS: Final = {
    "efficientnet-lite0": ["network.image_size=160", "training.epochs=8", "training.learning_rate=5e-4"],
    "scratch-2": [
        "network.image_size=160",
        "training.balance=40",
        "training.epochs=30",
        "training.batch_size=16",
        "training.learning_rate=1e-3",
    ],
}
"""Experiments that the demo trains, with what makes them fit into minutes on two processors."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        report: The page to look at.
        qwk: Quadratic weighted kappa on held-out patients, by experiment; ``None`` where it is undefined.
        needs_attention: Whether an integrity check fired on any network.
    """

    report: Path
    qwk: dict[str, float | None]
    needs_attention: bool


def run_demo(out: Path, announce: Callable[[str], None] = lambda line: None) -> DemoResult:
    """Makes photographs up, prepares and splits them, trains two networks, and judges both on held-out patients.

    The same call again continues a demo that was cut off.

    Args:
        out: The folder to make.
        announce: Told, in a line, what happens next.

    Returns:
        The report and its main figures.
    """
    source, prepared = out / "source", out / "prepared"
    if not (source / "labels.csv").is_file():
        announce(f"drawing {COUNT} made-up fundus photographs of {COUNT // 2} patients")
        synthesize(source, COUNT, size=2 * SIZE, seed=SEED)
    announce("preparing them: decode, find the field of view, crop, resize")
    prepare(source, prepared, size=SIZE)
    if not (prepared / "split.json").is_file():
        split(prepared, val=0.15, test=0.25, seed=SEED)
    manifest = Manifest.read(prepared / "manifest.csv")
    evaluations = []
    for name, overrides in NETWORKS.items():
        announce(f"training {name} ({', '.join(overrides)})")
        run = train(prepared, load_experiment(name, overrides), out / "runs" / name)
        predictions_file = predict(prepared, run, split="test").file
        known = Predictions.read(predictions_file)
        context = EvaluationContext(
            name,
            f"Held-out made-up patients; {len(manifest.split('train'))} photographs of others for training.",
            run.history(),
            examples=example_photographs(known.table, manifest),
            sources=file_digests(known.sources),
        )
        columns = default_subgroup_columns(known.table)
        evaluation = evaluate_predictions(known.table, findings=known.findings, by=columns, context=context)
        evaluation.write(run.folder / "evaluation" / "test")
        evaluations.append(evaluation)
    report = out / "report.html"
    write_text(report, render_report("retinagrade demo: made-up photographs", evaluations))
    return DemoResult(
        report,
        {one.context.name: one.quadratic_weighted_kappa for one in evaluations},
        any(one.findings for one in evaluations),
    )
