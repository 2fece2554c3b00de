"""Export: a run becomes one file, which is shown to be the same before it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from retinagrade.errors import ArtefactError, ManifestError
from retinagrade.evaluation.fitting.calibration import Temperature, calibrate
from retinagrade.evaluation.fitting.fitted import Fitted, load
from retinagrade.export.about import cross_validated, decisions, identity, measured, statements
from retinagrade.export.card import model_card
from retinagrade.export.graph import Calibrated
from retinagrade.export.onnx_file import saved, to_onnx
from retinagrade.export.precision import halved, quantized
from retinagrade.export.proof import change, demanded, likeness
from retinagrade.export.source import Source, graph_of, networks, read_source, says
from retinagrade.files import atomic_path, sha256, write_text
from retinagrade.grader.artefact import About, Metadata, Precision, Preparation, Proof, TrainingData
from retinagrade.grader.runtime import Grader
from retinagrade.manifest import Manifest
from retinagrade.provenance import versions
from retinagrade.training.loading import Photographs
from retinagrade.training.run import CrossValidation, Run

SHOWN: Final = 16
"""Photographs that network and file are both shown."""
CALIBRATION: Final = 64
"""Training photographs that scales of int8 are made of."""


def export(
    run: Run,
    out: Path,
    precision: Precision = "float32",
    flips: bool = False,
    folds: CrossValidation | None = None,
    about: About | None = None,
) -> Metadata:
    """Makes a grader file of a run or an ensemble, and a model card beside it.

    The graph is first shown to be the network, in float32. Where its weights are then kept in fewer bits, what that
    changes is measured on all validation photographs, or on the training photographs of a run without.

    Args:
        run: A trained run or an ensemble, whose prepared set is still there.
        out: The file, ``.onnx``; the card is the same name with ``.md``.
        precision: How the weights are kept.
        flips: Take the mean over four mirrored views, as ``predict --tta`` does, at four times the cost.
        folds: For a run that was trained on all photographs, a cross-validation of the same experiment: the file takes
            its calibration and figures.
        about: What is to be said of licence, data and limits.

    Returns:
        What the file says of itself.

    Raises:
        ArtefactError: The file would not be the network: nothing is left then. Or the calibration is no temperature, or
            of other predictions; or members of the ensemble can't be in a file.
        ExperimentError: The run can't be used, or the folds are not of the same experiment and photographs.
        ManifestError: Its prepared set is gone.
    """
    judged, about = run if folds is None else Run(folds.folder), about or About()
    record, fitted, source = run.record(), _calibration(judged, flips), read_source(run)
    temperature = 1.0 if fitted is None or fitted.method == "none" else fitted.temperature.temperature
    manifest = _manifest(run, record)
    preparation = _preparation(source)
    side = _side(source, preparation)
    compared = manifest.split("val" if record["data"]["photographs"].get("val") else "train")
    photographs, training = (Photographs(part, side) for part in (compared, manifest.split("train")))
    shown = _squares(photographs, range(min(SHOWN, len(photographs))))
    metadata = Metadata(
        **identity(run, source, precision, flips),
        **decisions(fitted),
        **statements(about, folds),
        image_size=side,
        preparation=preparation,
        temperature=temperature,
        training_data=TrainingData(
            datasets=tuple(sorted(manifest.table["dataset"].dropna().astype(str).unique())),
            photographs=record["data"]["photographs"],
            source=about.data,
            manifest_sha256=record["data"]["manifest_sha256"],
        ),
        validation=measured(run, "val" + "-tta" * flips),
        cross_validated=None if folds is None else cross_validated(run, folds, manifest),
        test=measured(run, "test" + "-tta" * flips),
        proof=Proof(photographs=1, probabilities=0.0, evidence=1.0),  # until it is proven
        versions={
            "training": record["versions"],
            "export": {**versions(), **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}},
        },
    )
    with atomic_path(out) as temporary:
        model = to_onnx(Calibrated(graph_of(source, side, flips), temperature).eval(), shown[:2])
        exact = saved(model, metadata, temporary)
        as_seen = _squares(Photographs(compared, preparation.size), range(len(shown)))
        probabilities, heat = says(source, as_seen, flips)
        expected = calibrate(Temperature(temperature=temperature), probabilities), heat.numpy()
        metadata = metadata.model_copy(update={"proof": demanded(likeness(exact.network(shown), expected))})
        if precision != "float32":
            model = halved(model) if precision == "float16" else quantized(model, _batches(training, CALIBRATION))
            written = saved(model, metadata, temporary)
            found = [np.concatenate(each) for each in zip(*_answers((exact, written), photographs), strict=True)]
            metadata = metadata.model_copy(
                update={
                    "proof": likeness(written.network(shown), expected),
                    "change": change(compared.table, *found),
                }
            )
        saved(model, metadata, temporary)
    write_text(out.with_suffix(".md"), model_card(metadata, out.name))
    return metadata


def _calibration(run: Run, flips: bool) -> Fitted | None:
    """What was fitted on the predictions that the file will make."""
    if not run.calibration_file.is_file():
        return None
    fitted = load(run.calibration_file)
    if fitted.method == "isotonic":
        raise ArtefactError(
            f"{run.calibration_file} is isotonic, and a file calibrates by a temperature: "
            f"`retinagrade calibrate {run.folder}` without --method"
        )
    if Path(fitted.source.file).stem.endswith("-tta") != flips:
        predictions = run.predictions_file("val-tta") if flips else run.folder
        raise ArtefactError(
            f"{run.calibration_file} was fitted on {fitted.source.file}, and {'with' if flips else 'without'} --tta "
            f"probabilities are others: `retinagrade calibrate {predictions}`"
        )
    return fitted


def _preparation(source: Source) -> Preparation:
    """How the photographs of all networks were prepared.

    Raises:
        ArtefactError: In several ways.
    """
    ways = {name: one.run.preparation() for name, _, one in networks(source)}
    first, *others = ways.items()
    for name, settings in others:
        if settings != first[1]:
            raise ArtefactError(
                f"{first[0]} learnt from photographs prepared with {first[1]}, {name} with {settings}: a file prepares "
                "a photograph once; train the members on one prepared set"
            )
    return Preparation.model_validate(asdict(first[1]))


def _side(source: Source, preparation: Preparation) -> int:
    """The side of the photographs that a file takes: what all networks see, or else what all of them are made of.

    Raises:
        ArtefactError: Of several sizes, one is larger than the photographs were prepared.
    """
    sizes = {one.image_size: name for name, _, one in networks(source)}
    if len(sizes) == 1:
        return next(iter(sizes))
    if max(sizes) > preparation.size:
        raise ArtefactError(
            f"{sizes[max(sizes)]} sees photographs of {max(sizes)} px, others of {min(sizes)}, and all were prepared "
            f"at {preparation.size}: a graph shrinks photographs exactly as `prepare` does, but can't enlarge them so. "
            f"Prepare at {max(sizes)} px or more, and train again; or combine networks of one size"
        )
    return preparation.size


def _squares(photographs: Photographs, rows: Iterable[int]) -> np.ndarray:
    return np.stack([photographs[row][0] for row in rows])


def _batches(photographs: Photographs, count: int) -> Iterator[np.ndarray]:
    """Photographs from all over the manifest, in batches."""
    rows = np.unique(np.linspace(0, len(photographs) - 1, count).round().astype(int))
    for start in range(0, len(rows), SHOWN):
        yield _squares(photographs, rows[start : start + SHOWN].tolist())


def _answers(graders: Sequence[Grader], photographs: Photographs) -> Iterator[list[np.ndarray]]:
    """Probabilities of photographs, batch by batch, by each of some files."""
    for batch in _batches(photographs, len(photographs)):
        yield [grader.network(batch)[0] for grader in graders]


def _manifest(run: Run, record: dict[str, Any]) -> Manifest:
    """The photographs with the split that the run was trained on; paths are those of its prepared set."""
    file = run.split_file
    if not file.is_file() or sha256(file) != record["data"]["manifest_sha256"]:
        raise ManifestError(
            f"{file} is not there, or was changed since {run.folder} was trained on it: a file is only written when "
            "it was shown to grade the run's photographs as the network does"
        )
    return Manifest(Manifest.read(file).table, run.prepared)
