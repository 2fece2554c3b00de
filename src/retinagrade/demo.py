"""The demo: from synthetic photographs to two networks, evaluated on held-out patients."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retinagrade.arguments import check_arguments
from retinagrade.datasets.prepare import prepare
from retinagrade.datasets.split import split
from retinagrade.datasets.synthetic.patients import synthesize
from retinagrade.evaluation.report.page import render_report
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.runs.evaluate import evaluate
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import Output, guard_outputs
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
"""Experiments of the demo, with the settings that let them finish in minutes on two processors."""


@dataclass(frozen=True)
class DemoResult:
    """The results of the demo.

    Attributes:
        report: The page with matrices, curves and photographs.
        qwk: Quadratic weighted kappa on held-out patients, by experiment; ``None`` where it is undefined.
        needs_attention: Whether an integrity check found something in the predictions of a network.
    """

    report: Path
    qwk: dict[str, float | None]
    needs_attention: bool


@check_arguments()
def run_demo(out: str | os.PathLike[str], *, progress: Progress | None = None) -> DemoResult:
    """Makes photographs, prepares and splits them, trains two networks, and evaluates both on held-out patients.

    The same call again continues a demo that was cut off.

    Args:
        out: The folder to write.
        progress: Receives the progress of every step.

    Returns:
        The report and its main metrics.

    Raises:
        UsageError: The folder holds something else.
    """
    folder = Path(out)
    guard_outputs([Output(folder, True, (folder / "source" / "synthesize.json").is_file)], [])
    source, prepared = folder / "source", folder / "prepared"
    if not (source / "labels.csv").is_file():
        synthesize(source, COUNT, size=2 * SIZE, seed=SEED, progress=progress)
    prepare(source, prepared, size=SIZE, progress=progress)
    if not (prepared / "split.json").is_file():
        split(prepared, val=0.15, test=0.25, seed=SEED)
    evaluations = []
    for name, settings in NETWORKS.items():
        begin_stage(progress, f"training {name} ({', '.join(settings)})")
        run = train(prepared, name, folder / "runs" / name, settings=settings, progress=progress)
        evaluation = evaluate(predict(prepared, run, split="test", progress=progress))
        evaluation.write(run.folder / "evaluation" / "test")
        evaluations.append(evaluation)
    report = folder / "report.html"
    write_text(report, render_report("retinagrade demo: synthetic photographs", evaluations))
    return DemoResult(
        report,
        {evaluation.context.name: evaluation.quadratic_weighted_kappa for evaluation in evaluations},
        any(evaluation.findings for evaluation in evaluations),
    )
