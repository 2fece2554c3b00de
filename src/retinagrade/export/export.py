"""Export: a run becomes one file, which is shown to be the same before it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from retinagrade.errors import GraderFileError, ManifestError
from retinagrade.evaluation.fitting.calibration import Calibration, load_calibration
from retinagrade.evaluation.fitting.probability_calibration import Temperature, calibrate_probabilities
from retinagrade.export.card import model_card
from retinagrade.export.exportable import Source, build_graph, list_networks, read_exportable, reference_outputs
from retinagrade.export.graph import CalibratedGraph
from retinagrade.export.metadata import (
    describe_decisions,
    describe_identity,
    describe_use,
    measure_folds,
    measure_split,
)
from retinagrade.export.onnx_file import save_model, to_onnx
from retinagrade.export.precision import to_float16, to_int8
from retinagrade.export.verification import measure_agreement_with_network, measure_change, require_agreement
from retinagrade.files import atomic_path, sha256, write_text
from retinagrade.grader.metadata import (
    AuthorStatements,
    Metadata,
    Precision,
    PreparationMetadata,
    TrainingData,
    Verification,
)
from retinagrade.grader.runtime import Grader
from retinagrade.manifest import Manifest
from retinagrade.provenance import installed_versions
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.run import Run
from retinagrade.training.loading import PhotographDataset

SHOWN: Final = 16
"""Photographs that network and file are both shown."""
CALIBRATION: Final = 64
"""Training photographs that scales of int8 are made of."""


def export(
    run: Run,
    out: Path,
    precision: Precision = "float32",
    tta: bool = False,
    folds: CrossValidation | None = None,
    statements: AuthorStatements | None = None,
) -> Metadata:
    """Makes a grader file of a run or an ensemble, and a model card beside it.

    The graph is first shown to be the network, in float32. Where its weights are then kept in fewer bits, what that
    changes is measured on all validation photographs, or on the training photographs of a run without.

    Args:
        run: A trained run or an ensemble, whose prepared set is still there.
        out: The file, ``.onnx``; the card is the same name with ``.md``.
        precision: How the weights are kept.
        tta: Take the mean over four mirrored views, as ``predict --tta`` does, at four times the cost.
        folds: For a run that was trained on all photographs, a cross-validation of the same experiment: the file takes
            its calibration and figures.
        statements: What is to be said of licence, data and limits.

    Returns:
        What the file says of itself.

    Raises:
        ArtefactError: The file would not be the network: nothing is left then. Or the calibration is no temperature, or
            of other predictions; or members of the ensemble can't be in a file.
        ExperimentError: The run can't be used, or the folds are not of the same experiment and photographs.
        ManifestError: Its prepared set is gone.
    """
    judged, statements = run if folds is None else Run(folds.folder), statements or AuthorStatements()
    record = run.ensemble_record() if run.is_ensemble else run.finished_record()
    fitted, source = _calibration(judged, tta), read_exportable(run)
    temperature = 1.0 if fitted is None or fitted.method == "none" else fitted.temperature.temperature
    manifest = _manifest(run)
    preparation = _preparation(source)
    side = _side(source, preparation)
    compared = manifest.split("val" if record.data.photographs.get("val") else "train")
    photographs, training = (PhotographDataset(part, side) for part in (compared, manifest.split("train")))
    shown = _squares(photographs, range(min(SHOWN, len(photographs))))
    metadata = Metadata(
        **describe_identity(run, source, precision, tta),
        **describe_decisions(fitted),
        **describe_use(statements, folds),
        image_size=side,
        preparation=preparation,
        temperature=temperature,
        training_data=TrainingData(
            datasets=tuple(sorted(manifest.table["dataset"].dropna().astype(str).unique())),
            photographs=record.data.photographs,
            source=statements.data_source,
            manifest_sha256=record.data.manifest_sha256,
        ),
        validation=measure_split(run, "val" + "-tta" * tta),
        cross_validation=None if folds is None else measure_folds(run, folds, manifest),
        test=measure_split(run, "test" + "-tta" * tta),
        verification=Verification(
            photographs=1, max_probability_difference=0.0, min_saliency_correlation=1.0
        ),  # until it is proven
        versions={
            "training": record.versions,
            "export": {
                **installed_versions(),
                **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")},
            },
        },
    )
    with atomic_path(out) as temporary:
        model = to_onnx(CalibratedGraph(build_graph(source, side, tta), temperature).eval(), shown[:2])
        exact = save_model(model, metadata, temporary)
        as_seen = _squares(PhotographDataset(compared, preparation.size), range(len(shown)))
        probabilities, heat = reference_outputs(source, as_seen, tta)
        expected = calibrate_probabilities(Temperature(temperature=temperature), probabilities), heat.numpy()
        metadata = metadata.model_copy(
            update={"verification": require_agreement(measure_agreement_with_network(exact.network(shown), expected))}
        )
        if precision != "float32":
            model = to_float16(model) if precision == "float16" else to_int8(model, _batches(training, CALIBRATION))
            written = save_model(model, metadata, temporary)
            found = [np.concatenate(each) for each in zip(*_answers((exact, written), photographs), strict=True)]
            metadata = metadata.model_copy(
                update={
                    "verification": measure_agreement_with_network(written.network(shown), expected),
                    "change_from_float32": measure_change(compared.table, *found),
                }
            )
        save_model(model, metadata, temporary)
    write_text(out.with_suffix(".md"), model_card(metadata, out.name))
    return metadata


def _calibration(run: Run, tta: bool) -> Calibration | None:
    """What was fitted on the predictions that the file will make."""
    if not run.calibration_file.is_file():
        return None
    fitted = load_calibration(run.calibration_file)
    if fitted.method == "isotonic":
        raise GraderFileError(
            f"{run.calibration_file} is isotonic, and a file calibrates by a temperature: "
            f"`retinagrade calibrate {run.folder}` without --method"
        )
    if Path(fitted.source.file).stem.endswith("-tta") != tta:
        predictions = run.predictions_file("val-tta") if tta else run.folder
        raise GraderFileError(
            f"{run.calibration_file} was fitted on {fitted.source.file}, and {'with' if tta else 'without'} --tta "
            f"probabilities are others: `retinagrade calibrate {predictions}`"
        )
    return fitted


def _preparation(source: Source) -> PreparationMetadata:
    """How the photographs of all networks were prepared.

    Raises:
        ArtefactError: In several ways.
    """
    ways = {name: one.run.preparation() for name, _, one in list_networks(source)}
    first, *others = ways.items()
    for name, settings in others:
        if settings != first[1]:
            raise GraderFileError(
                f"{first[0]} learnt from photographs prepared with {first[1]}, {name} with {settings}: a file prepares "
                "a photograph once; train the members on one prepared set"
            )
    return PreparationMetadata.model_validate(asdict(first[1]))


def _side(source: Source, preparation: PreparationMetadata) -> int:
    """The side of the photographs that a file takes: what all networks see, or else what all of them are made of.

    Raises:
        ArtefactError: Of several sizes, one is larger than the photographs were prepared.
    """
    sizes = {one.image_size: name for name, _, one in list_networks(source)}
    if len(sizes) == 1:
        return next(iter(sizes))
    if max(sizes) > preparation.size:
        raise GraderFileError(
            f"{sizes[max(sizes)]} sees photographs of {max(sizes)} px, others of {min(sizes)}, and all were prepared "
            f"at {preparation.size}: a graph shrinks photographs exactly as `prepare` does, but can't enlarge them so. "
            f"Prepare at {max(sizes)} px or more, and train again; or combine networks of one size"
        )
    return preparation.size


def _squares(photographs: PhotographDataset, rows: Iterable[int]) -> np.ndarray:
    return np.stack([photographs[row][0] for row in rows])


def _batches(photographs: PhotographDataset, count: int) -> Iterator[np.ndarray]:
    """Photographs from all over the manifest, in batches."""
    rows = np.unique(np.linspace(0, len(photographs) - 1, count).round().astype(int))
    for start in range(0, len(rows), SHOWN):
        yield _squares(photographs, rows[start : start + SHOWN].tolist())


def _answers(graders: Sequence[Grader], photographs: PhotographDataset) -> Iterator[list[np.ndarray]]:
    """Probabilities of photographs, batch by batch, by each of some files."""
    for batch in _batches(photographs, len(photographs)):
        yield [grader.network(batch)[0] for grader in graders]


def _manifest(run: Run) -> Manifest:
    """The photographs with the split that the run was trained on; paths are those of its prepared set."""
    file = run.split_file
    if not file.is_file() or sha256(file) != run.record().data.manifest_sha256:
        raise ManifestError(
            f"{file} is not there, or was changed since {run.folder} was trained on it: a file is only written when "
            "it was shown to grade the run's photographs as the network does"
        )
    return Manifest(Manifest.read(file).table, run.prepared)
