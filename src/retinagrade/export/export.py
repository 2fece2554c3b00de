"""Export: a run becomes one file, which is shown to be the same before it is there."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch import Tensor

from retinagrade.errors import ArtefactError, ManifestError
from retinagrade.evaluation.evaluate import evaluate
from retinagrade.evaluation.fitting.calibration import Temperature, calibrate
from retinagrade.evaluation.fitting.fitted import Fitted, load
from retinagrade.evaluation.fitting.operating_points import OperatingPoint
from retinagrade.explain.maps import explain_maps
from retinagrade.export.card import model_card
from retinagrade.export.graph import Graph
from retinagrade.export.precision import halved
from retinagrade.export.proof import Answer, change, demand, likeness
from retinagrade.files import atomic_path, sha256, write_text
from retinagrade.grader.artefact import (
    KEY,
    Figure,
    Measured,
    Metadata,
    Precision,
    Preparation,
    Proof,
    Referral,
    Sets,
    Threshold,
    TrainingData,
)
from retinagrade.grader.runtime import Grader
from retinagrade.grades import Grade
from retinagrade.manifest import Manifest
from retinagrade.models.network import Network
from retinagrade.provenance import versions
from retinagrade.training.known import read_known
from retinagrade.training.loading import Photographs
from retinagrade.training.predict import load_network
from retinagrade.training.run import Run

SHOWN: Final = 16
"""Photographs that network and file are both shown."""
FIGURES: Final = ("quadratic_weighted_kappa", "referable_auc", "vision_threatening_auc", "accuracy", "log_loss")
INTENDED_USE: Final = (
    "Research on grading diabetic retinopathy (ICDR 0 to 4) from colour photographs of the fundus. Not a medical "
    "device: not for diagnosing or treating anybody."
)
LIMITS: Final = (
    "It knows the cameras, population and habits of grading of its training photographs. Expect worse figures "
    "elsewhere, and measure them.",
    "Figures of validation photographs flatter it: the epoch, the temperature and all thresholds were chosen on them.",
    "It looks for diabetic retinopathy alone; other diseases, and macular oedema, go unseen.",
    "Evidence shows what a score depends on, not why, nor that it should.",
)


def export(run: Run, out: Path, precision: Precision = "float32") -> Metadata:
    """Makes a grader file of a run, and a model card beside it.

    The graph is first shown to be the network, in float32. Where its weights are then kept in fewer bits, what that
    changes is measured on all validation photographs.

    Args:
        run: A trained run, whose prepared set is still there.
        out: The file, ``.onnx``; the card is the same name with ``.md``.
        precision: How the weights are kept.

    Returns:
        What the file says of itself.

    Raises:
        ArtefactError: The file would not be the network: nothing is left then. Or the calibration is no temperature.
        ExperimentError: The run can't be used.
        ManifestError: Its prepared set is gone.
    """
    network, experiment, record = load_network(run), run.experiment(), run.record()
    fitted = load(run.calibration_file) if run.calibration_file.is_file() else None
    if fitted is not None and fitted.method == "isotonic":
        raise ArtefactError(
            f"{run.calibration_file} is isotonic: `retinagrade calibrate {run.folder}` without --method"
        )
    temperature = 1.0 if fitted is None or fitted.method == "none" else fitted.temperature.temperature
    manifest = _manifest(run, record)
    validation = manifest.split("val")
    photographs = Photographs(validation, experiment.network.image_size)
    shown = np.stack([photographs[row][0] for row in range(min(SHOWN, len(photographs)))])
    graph = Graph(network, temperature).eval()
    metadata = _metadata(run, record, manifest, fitted, temperature, precision)
    with atomic_path(out) as temporary:
        model = _model(graph, shown[:2])
        exact = _saved(model, metadata, temporary)
        says = _says(network, temperature, shown)
        proof = likeness(exact.network(shown), says)
        demand(proof)
        if precision != "float32":
            model = halved(model)
            written = _saved(model, metadata, temporary)
            proof = likeness(written.network(shown), says)
            measured = change(validation.table, *_probabilities((exact, written), photographs))
            metadata = metadata.model_copy(update={"change": measured})
        metadata = metadata.model_copy(update={"proof": proof})
        _saved(model, metadata, temporary)
    write_text(out.with_suffix(".md"), model_card(metadata, out.name))
    return metadata


def _says(network: Network, temperature: float, photographs: np.ndarray) -> Answer:
    """What the network itself says, calibrated, and its Grad-CAM by autograd."""
    pixels = torch.from_numpy(photographs).permute(0, 3, 1, 2)
    with torch.no_grad():
        raw: Tensor = network(pixels)
    probabilities = calibrate(Temperature(temperature=temperature), network.output.probabilities(raw).numpy())
    return probabilities, explain_maps(network, pixels, "gradcam", [0, 1, 2, 3, 4]).numpy()


def _probabilities(graders: tuple[Grader, ...], photographs: Photographs) -> list[np.ndarray]:
    """Probabilities (N, 5) of all photographs by each of some files."""
    parts = []
    for start in range(0, len(photographs), SHOWN):
        squares = np.stack([photographs[row][0] for row in range(start, min(start + SHOWN, len(photographs)))])
        parts.append([grader.network(squares)[0] for grader in graders])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _model(graph: Graph, example: np.ndarray) -> onnx.ModelProto:
    batch = torch.from_numpy(np.concatenate([example, example])[:2])  # a batch of 1 would be taken for a constant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnxscript, about operators that we don't use
        program = torch.onnx.export(
            graph,
            (batch,),
            input_names=["photographs"],
            output_names=["probabilities", "evidence"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # The exporter's notes on every node are larger than the node, and name this machine's folders.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model


def _saved(model: onnx.ModelProto, metadata: Metadata, path: Path) -> Grader:
    """Writes a file, and opens it."""
    onnx.helper.set_model_props(model, {KEY: metadata.model_dump_json()})
    onnx.save(model, path)
    return Grader.load(path)


def _manifest(run: Run, record: dict[str, Any]) -> Manifest:
    """The photographs with the split that the run was trained on; paths are those of its prepared set."""
    file = run.split_file
    if not file.is_file() or sha256(file) != record["data"]["manifest_sha256"]:
        raise ManifestError(
            f"{file} is not there, or was changed since {run.folder} was trained on it: a file is only written when "
            "it was shown to grade the run's validation photographs as the network does"
        )
    return Manifest(Manifest.read(file).table, run.prepared)


def _metadata(
    run: Run,
    record: dict[str, Any],
    manifest: Manifest,
    fitted: Fitted | None,
    temperature: float,
    precision: Precision,
) -> Metadata:
    experiment, data = run.experiment(), record["data"]
    undefined = {} if fitted is None else dict(fitted.undefined)
    names = ("referable", "vision_threatening", "conformal", "referral")
    if fitted is None:
        undefined = dict.fromkeys(names, "the run was not calibrated before it was exported")
    referral = None if fitted is None else fitted.refer_share
    if fitted is not None and referral is None:
        undefined["referral"] = undefined.get("refer_share", "no rule was fitted")
    return Metadata(
        name=experiment.name,
        version=sha256(run.best_checkpoint)[:12] + ("" if precision == "float32" else f"-{precision}"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        grades=tuple(grade.label for grade in Grade),
        image_size=experiment.network.image_size,
        preparation=Preparation.model_validate(data["preparation"]),
        output=experiment.network.output,
        members=(),
        flips=False,
        precision=precision,
        temperature=temperature,
        referable=_threshold(None if fitted is None else fitted.referable),
        vision_threatening=_threshold(None if fitted is None else fitted.vision_threatening),
        conformal=fitted and Sets(coverage=fitted.conformal.coverage, limits=fitted.conformal.limits),
        referral=referral
        and Referral(confidence=referral.confidence, target=referral.target, referred=referral.referred),
        undefined={name: why for name, why in undefined.items() if name in names},
        training_data=TrainingData(
            datasets=tuple(sorted(manifest.table["dataset"].dropna().astype(str).unique())),
            photographs=data["photographs"],
            manifest_sha256=data["manifest_sha256"],
        ),
        weights=record.get("start") or {},
        validation=_measured(run, "val"),
        test=_measured(run, "test"),
        change=None,
        proof=Proof(photographs=1, probabilities=0.0, evidence=1.0),  # until it is proven
        versions={
            "training": record["versions"],
            "export": {**versions(), **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}},
        },
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def _threshold(point: OperatingPoint | None) -> Threshold | None:
    if point is None:
        return None
    return Threshold.model_validate(point.model_dump(include=set(Threshold.model_fields)))


def _measured(run: Run, split: str) -> Measured | None:
    """Figures of the run's predictions of a split, by patients; ``None`` where there are none."""
    if not run.predictions_file(split).is_file():
        return None
    table = read_known(run.predictions_file(split)).table
    if not table["grade"].notna().any():
        return None
    found = evaluate(table, findings=[])
    figures = {}
    for name in FIGURES:
        around = found.intervals.get(name)
        figures[name] = Figure(
            value=found.figures[name], interval=None if around is None else (around.low, around.high)
        )
    return Measured(photographs=found.photographs, figures=figures)
