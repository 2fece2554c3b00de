"""Export of a run as one grader file, which is compared with the network before it is written."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from retinagrade.arguments import check_arguments
from retinagrade.errors import GraderFileError, UsageError
from retinagrade.execution.progress import Progress, begin_stage
from retinagrade.exporting.card import model_card
from retinagrade.exporting.exportable import Exportable, OutliningNetwork, read_exportable
from retinagrade.exporting.lesion_export import build_lesion_model
from retinagrade.exporting.metadata import collect_metadata, network_version
from retinagrade.exporting.onnx_file import open_model, to_onnx, write_grader
from retinagrade.exporting.outputs import build_graph, reference_outputs
from retinagrade.exporting.precision import to_float16, to_int8
from retinagrade.exporting.verification import (
    GradeOutputs,
    measure_agreement_with_network,
    measure_change,
    require_agreement,
)
from retinagrade.gate.session import Gate
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.metadata import KEY, AuthorStatements, MeasuredMetrics, Metadata, Precision, Verification
from retinagrade.grader.sessions import Outputs
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.storage.files import write_text
from retinagrade.storage.output_guard import Output, guard_outputs
from retinagrade.storage.paths import read_bytes
from retinagrade.training.loading import PhotographDataset

VERIFIED: Final = 16
"""Photographs on which the file and the network are compared, at most."""
INT8_CALIBRATION: Final = 64
"""Training photographs from which the value ranges of int8 are measured, at most."""


@dataclass(frozen=True)
class ExportedGrader:
    """A grader file that was written.

    Attributes:
        file: The grader file.
        card: The model card.
        metadata: The metadata of the file.
    """

    file: Path
    card: Path
    metadata: Metadata

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.file.stat().st_size

    def __repr__(self) -> str:
        """Names the file, the experiment, the version and the size."""
        return (
            f"ExportedGrader({str(self.file)!r}: {self.metadata.name}, version {self.metadata.version}, "
            f"{self.size / 1e6:.1f} MB)"
        )

    def _repr_html_(self) -> str:
        """Shows the file's metrics in a notebook."""
        measured = {
            "validation": self.metadata.validation,
            "cross-validation": self.metadata.cross_validation,
            "test": self.metadata.test,
        }
        columns = {
            split: {name.replace("_", " "): metric.value for name, metric in metrics.metrics.items()}
            for split, metrics in measured.items()
            if metrics is not None
        }
        table: str = pd.DataFrame(columns).to_html(float_format="{:.3f}".format)
        return f"<p>{html.escape(repr(self))}</p>{table}"


@check_arguments()
def export(
    run: Run | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    precision: Precision = "float32",
    tta: bool = False,
    cross_validation: CrossValidation | str | os.PathLike[str] | None = None,
    statements: AuthorStatements | str | os.PathLike[str] | None = None,
    prepared: str | os.PathLike[str] | None = None,
    gate: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportedGrader:
    """Exports a run or an ensemble as a grader file, with a model card beside it.

    The graph is first compared with the network in float32. If the weights are then stored in a smaller format, the
    resulting change of the metrics is measured on all validation photographs, or on the training photographs of a run
    without validation photographs.

    Args:
        run: A trained run or an ensemble, or its folder. Its prepared set must still exist.
        out: The grader file, ``.onnx``. The model card has the same name with the suffix ``.md``.
        precision: Number format of the stored weights.
        tta: Whether to average over four mirrored views, as ``predict`` does with ``tta``. Grading takes four times as
            long.
        cross_validation: For a run that was trained on all photographs, a cross-validation of the same experiment, or
            its folder, which provides calibration and metrics. For a run that outlines lesions, its grade model, which
            :func:`~retinagrade.runs.fit_grades.fit_grades` fitted on a cross-validation.
        statements: Statements on licence, data source, limitations and metrics elsewhere, or a YAML file with them.
        prepared: The prepared set of the run, where it was moved without the run.
        gate: ONNX file of a gate that ``export`` wrote of a run of ``train_gate``; by default the bundled gate.
        overwrite: Whether to replace a file or a card that is no earlier export of the same network.
        progress: Receives reports of progress; ``None`` for none.

    Returns:
        The grader file, its model card and its metadata.

    Raises:
        UsageError: ``out`` does not end in ``.onnx``, is or lies in an input, or exists and is no earlier export of the
            same network.
        GraderFileError: The file would not agree with the network, or the networks or the calibration can't be in one
            file. No file is written then.
        ExperimentError: The run can't be read, or the cross-validation does not belong to it.
        ManifestError: The prepared set is missing or was changed.
    """
    run, out = run if isinstance(run, Run) else Run(Path(run)), Path(out)
    if prepared is not None:
        run = replace(run, moved_set=Path(prepared))
    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of a grader file must end in .onnx")
    if cross_validation is not None and not isinstance(cross_validation, CrossValidation):
        cross_validation = CrossValidation(Path(cross_validation))
    inputs = [run.folder, *([] if cross_validation is None else [cross_validation.folder])]
    if statements is not None and not isinstance(statements, AuthorStatements):
        inputs.append(Path(statements))
    if gate is not None:
        inputs.append(Path(gate))
    card = out.with_suffix(".md")
    guard_outputs(_outputs(run, out, card), inputs, overwrite)
    if not isinstance(statements, AuthorStatements):
        statements = AuthorStatements() if statements is None else AuthorStatements.read(Path(statements))
    network = None if gate is None else _read_gate(Path(gate))
    exportable = read_exportable(run, tta=tta, cross_validation=cross_validation)
    model, verification, change = _build_and_verify(exportable, precision, out, progress)
    metadata = write_grader(
        model, collect_metadata(exportable, precision, statements, verification, change), out, network
    )
    write_text(card, model_card(metadata, out.name))
    return ExportedGrader(out, card, metadata)


def _read_gate(file: Path) -> bytes:
    network = read_bytes(file)
    Gate.open(network, GateSettings(), file)  # which refuses anything but a gate
    return network


def _outputs(run: Run, file: Path, card: Path) -> list[Output]:
    """Returns the outputs of an export, which both name the version of the network."""

    def is_of_this_network(version_in: Callable[[Path], str | None], path: Path) -> bool:
        try:
            return network_version(run) in (version_in(path) or "")
        except OSError:
            return False

    return [
        Output(file, False, lambda: is_of_this_network(_version_of, file), inside=run.folder),
        Output(card, False, lambda: is_of_this_network(_text_of, card), inside=run.folder),
    ]


def _text_of(card: Path) -> str:
    return card.read_text(encoding="utf-8", errors="replace")


def _version_of(file: Path) -> str | None:
    """Returns the version of an existing grader file; ``None`` where the file is something else."""
    try:
        properties = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        return str(json.loads(properties[KEY])["version"])
    except Exception:  # a damaged file raises errors of many types
        return None


def _build_and_verify(
    exportable: Exportable, precision: Precision, file: Path, progress: Progress | None
) -> tuple[onnx.ModelProto, Verification, MeasuredMetrics | None]:
    """Builds the model and compares it with the network, and its compressed form with itself.

    Raises:
        GraderFileError: The model in float32 does not agree with the network, or outlines lesions in another precision.
    """
    if isinstance(exportable.networks, OutliningNetwork):
        if precision != "float32":
            raise GraderFileError(
                f"{exportable.run.folder} outlines lesions, and the files of such small networks are in float32 only: "
                "leave out --precision"
            )
        return *build_lesion_model(exportable, exportable.networks, file, progress), None
    begin_stage(progress, "building the graph")
    photographs = PhotographDataset(exportable.comparison, exportable.image_size)
    rows = range(min(VERIFIED, len(photographs)))
    inputs = _load(photographs, rows)
    model = to_onnx(build_graph(exportable), inputs[:2])
    begin_stage(progress, "comparing the graph with the network")
    expected = reference_outputs(
        exportable, _load(PhotographDataset(exportable.comparison, exportable.preparation.size), rows)
    )
    compute = open_model(model, file)
    verification = require_agreement(measure_agreement_with_network(_unpack(compute(inputs)), expected))
    if precision == "float32":
        return model, verification, None
    begin_stage(progress, f"converting the weights to {precision}")
    compressed = to_float16(model) if precision == "float16" else to_int8(model, _int8_calibration(exportable))
    compute_compressed = open_model(compressed, file)
    verification = measure_agreement_with_network(_unpack(compute_compressed(inputs)), expected)
    probabilities = _probabilities((compute, compute_compressed), photographs, progress)
    return compressed, verification, measure_change(exportable.comparison.table, *probabilities)


def _unpack(outputs: Outputs) -> GradeOutputs:
    return outputs["probabilities"], outputs["saliency"]


def _load(photographs: PhotographDataset, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Loads photographs (N, S, S, 3)."""
    return np.stack([photographs[row][0] for row in rows])


def _batches(photographs: PhotographDataset, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(rows), VERIFIED):
        yield _load(photographs, rows[start : start + VERIFIED])


def _int8_calibration(exportable: Exportable) -> Iterator[NDArray[np.uint8]]:
    """Training photographs, evenly spread over the manifest, in batches."""
    photographs = PhotographDataset(exportable.manifest.split("train"), exportable.image_size)
    rows = np.unique(np.linspace(0, len(photographs) - 1, INT8_CALIBRATION).round().astype(int))
    return _batches(photographs, rows.tolist())


def _probabilities(
    models: Sequence[Callable[[NDArray[np.uint8]], Outputs]],
    photographs: PhotographDataset,
    progress: Progress | None,
) -> list[NDArray[np.floating]]:
    """Probabilities (N, 5) of all photographs by each of the models."""
    step = begin_stage(progress, "measuring the change of metrics", -(-len(photographs) // VERIFIED))
    batches = []
    for batch in _batches(photographs, range(len(photographs))):
        batches.append([model(batch)["probabilities"] for model in models])
        step()
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]
