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

from retinagrade.errors import ManifestError
from retinagrade.evaluation.fitting.calibration import Temperature, calibrate
from retinagrade.evaluation.fitting.operating_points import OperatingPoint
from retinagrade.explain.maps import explain_maps
from retinagrade.export.card import model_card
from retinagrade.export.graph import Graph
from retinagrade.export.judged import Judged, judged
from retinagrade.export.precision import halved
from retinagrade.export.proof import Answer, change, demand, likeness
from retinagrade.files import atomic_path, sha256, write_text
from retinagrade.grader.artefact import (
    KEY,
    About,
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
from retinagrade.training.loading import Photographs
from retinagrade.training.predict import load_network
from retinagrade.training.run import CrossValidation, Run

SHOWN: Final = 16
"""Photographs that network and file are both shown."""
INTENDED_USE: Final = (
    "Research on grading diabetic retinopathy (ICDR 0 to 4) from colour photographs of the fundus. Not a medical "
    "device: not for diagnosing or treating anybody."
)
LIMITS: Final = (
    "It knows the cameras, population and habits of grading of its training photographs. Expect worse figures "
    "elsewhere, and measure them.",
    "It looks for diabetic retinopathy alone; other diseases, and macular oedema, go unseen.",
    "Evidence shows what a score depends on, not why, nor that it should.",
)

VALIDATED: Final = (
    "Figures of validation photographs flatter it: the epoch, the temperature and all thresholds were chosen on them."
)
CROSS_VALIDATED: Final = (
    "Cross-validated figures are those of networks that were trained as this one was, on parts of the same "
    "photographs; not of this very file, which has seen them all. The temperature and all thresholds were fitted on "
    "those networks' predictions."
)


def export(
    run: Run,
    out: Path,
    precision: Precision = "float32",
    folds: CrossValidation | None = None,
    about: About | None = None,
) -> Metadata:
    """Makes a grader file of a run, and a model card beside it.

    The graph is first shown to be the network, in float32. Where its weights are then kept in fewer bits, what that
    changes is measured on all validation photographs, or the training photographs of a run without.

    Args:
        run: A trained run, whose prepared set is still there.
        out: The file, ``.onnx``; the card is the same name with ``.md``.
        precision: How the weights are kept.
        folds: For a run that was trained on all photographs, a cross-validation of the same experiment, whose
            calibration and figures the file takes.
        about: What it is to say of its licence and data.

    Returns:
        What the file says of itself.

    Raises:
        ArtefactError: The file would not be the network: nothing is left then. Or the calibration is no temperature.
        ExperimentError: The run can't be used, or the folds are not of the same experiment and photographs.
        ManifestError: Its prepared set is gone.
    """
    network, experiment, record = load_network(run), run.experiment(), run.record()
    manifest = _manifest(run, record)
    known = judged(run, folds, manifest)
    fitted = known.fitted
    temperature = 1.0 if fitted is None or fitted.method == "none" else fitted.temperature.temperature
    compared = manifest.split("val" if record["data"]["photographs"]["val"] else "train")
    photographs = Photographs(compared, experiment.network.image_size)
    shown = np.stack([photographs[row][0] for row in range(min(SHOWN, len(photographs)))])
    graph = Graph(network, temperature).eval()
    metadata = _metadata(run, record, manifest, known, temperature, precision, about or About())
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
            measured = change(compared.table, *_probabilities((exact, written), photographs))
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
            "it was shown to grade the run's photographs as the network does"
        )
    return Manifest(Manifest.read(file).table, run.prepared)


def _metadata(
    run: Run,
    record: dict[str, Any],
    manifest: Manifest,
    known: Judged,
    temperature: float,
    precision: Precision,
    about: About,
) -> Metadata:
    experiment, data, fitted = run.experiment(), record["data"], known.fitted
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
            source=about.data,
            manifest_sha256=data["manifest_sha256"],
        ),
        weights=record.get("start") or {},
        validation=known.validation,
        cross_validated=known.cross_validated,
        test=known.test,
        change=None,
        proof=Proof(photographs=1, probabilities=0.0, evidence=1.0),  # until it is proven
        versions={
            "training": record["versions"],
            "export": {**versions(), **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}},
        },
        intended_use=INTENDED_USE,
        limits=(*about.limits, VALIDATED if known.cross_validated is None else CROSS_VALIDATED, *LIMITS),
        licence=about.licence,
    )


def _threshold(point: OperatingPoint | None) -> Threshold | None:
    if point is None:
        return None
    return Threshold.model_validate(point.model_dump(include=set(Threshold.model_fields)))
