"""Measurement of the agreement of saliency maps with lesion masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from retinagrade.arguments import NOT_NEGATIVE, check_arguments
from retinagrade.datasets.masks import read_masked_photographs
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.explanations.lesions.masked_inputs import find_copies_in_run
from retinagrade.explanations.lesions.measurements import join_measurements, measure_network
from retinagrade.explanations.lesions.report import COMMAND, write_lesions
from retinagrade.explanations.lesions.summary import LesionComparison, summarise_measurements
from retinagrade.explanations.runs import RunOrFolder, name_runs
from retinagrade.explanations.saliency import METHODS
from retinagrade.storage.output_guard import folder_output, guard_outputs

COMPARED_METHODS: Final = ("gradcam", "hirescam", "layercam", "integrated-gradients")
"""The methods that are compared by default."""


@check_arguments(methods=METHODS, seed=NOT_NEGATIVE)
def measure_lesion_agreement(
    masks: str | os.PathLike[str],
    runs: RunOrFolder | Sequence[RunOrFolder],
    out: str | os.PathLike[str],
    *,
    methods: Sequence[str] = COMPARED_METHODS,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> LesionComparison:
    """Measures how well saliency maps for referable retinopathy agree with lesions that people outlined.

    Args:
        masks: IDRiD with its folder ``A. Segmentation``, or a synthetic data set.
        runs: Trained runs, ensembles or cross-validations, or their folders. Every network of an ensemble or a
            cross-validation is measured.
        out: A folder for ``lesions.html``, ``lesions.json``, ``regions.csv``, ``maps.csv`` and figures.
        methods: Methods of :data:`~retinagrade.explanations.saliency.METHODS`; random maps are added as a baseline.
        seed: Seed of random maps and shuffled weights.
        overwrite: Whether ``out`` may hold other files, which are replaced where they have the same names.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        The agreement of each method and network with the outlines, and the methods' differences.

    Raises:
        UsageError: A method is unknown; or ``out`` is, holds or lies in an input, or holds other files.
        LayoutError: The data set has no masks.
        ExperimentError: A run can't be read.
        ImageError: A photograph or mask can't be read.
    """
    methods = list(dict.fromkeys(methods))
    named = name_runs(runs)
    sources = [*(run.folder for run in named.values()), Path(masks)]
    guard_outputs([folder_output(Path(out), COMMAND, sources)], sources, overwrite)
    masked = read_masked_photographs(Path(masks))
    measurements = []
    for name, run in named.items():
        step = begin_stage(progress, f"measuring the maps of {name}", len(methods) + 1)
        measurements.append(measure_network(run, masked, methods, name=name, seed=seed, on_done=step))
    joined = join_measurements(measurements)
    begin_stage(progress, "summarising the measurements")
    copies = {name: find_copies_in_run(run, masked) for name, run in named.items()}
    comparison = summarise_measurements(joined, copies)
    write_lesions(Path(out), joined, comparison, sources)
    return comparison
