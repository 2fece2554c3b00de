"""Export: a run becomes one file, which is shown to be the same before it is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch

from retinagrade.errors import ArtefactError, ManifestError
from retinagrade.evaluation.evaluate import evaluate
from retinagrade.evaluation.fitting.calibration import Temperature, calibrate
from retinagrade.evaluation.fitting.fitted import Fitted, load
from retinagrade.evaluation.fitting.operating_points import OperatingPoint
from retinagrade.export.card import model_card
from retinagrade.export.graph import Calibrated
from retinagrade.export.precision import halved, quantized
from retinagrade.export.proof import change, demanded, likeness
from retinagrade.export.source import Several, Source, graph_of, networks, read_source, says
from retinagrade.files import atomic_path, sha256, write_text
from retinagrade.grader.artefact import (
    KEY,
    Figure,
    Measured,
    Member,
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
from retinagrade.provenance import versions
from retinagrade.training.known import read_known
from retinagrade.training.loading import Photographs
from retinagrade.training.run import Run

SHOWN: Final = 16
"""Photographs that network and file are both shown."""
CALIBRATION: Final = 64
"""Training photographs that scales of int8 are made of."""
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


def export(run: Run, out: Path, precision: Precision = "float32", flips: bool = False) -> Metadata:
    """Makes a grader file of a run or an ensemble, and a model card beside it.

    The graph is first shown to be the network, in float32. Where its weights are then kept in fewer bits, what that
    changes is measured on all validation photographs.

    Args:
        run: A trained run or an ensemble, whose prepared set is still there.
        out: The file, ``.onnx``; the card is the same name with ``.md``.
        precision: How the weights are kept.
        flips: Take the mean over four mirrored views, as ``predict --tta`` does, at four times the cost.

    Returns:
        What the file says of itself.

    Raises:
        ArtefactError: The file would not be the network: nothing is left then. Or the calibration is no temperature, or
            of other predictions; or members of the ensemble can't be in a file.
        ExperimentError: The run can't be used.
        ManifestError: Its prepared set is gone.
    """
    record, fitted, source = run.record(), _calibration(run, flips), read_source(run)
    temperature = 1.0 if fitted is None or fitted.method == "none" else fitted.temperature.temperature
    manifest = _manifest(run, record)
    preparation = _preparation(source)
    side = _side(source, preparation)
    validation, training = (Photographs(manifest.split(split), side) for split in ("val", "train"))
    shown = _squares(validation, range(min(SHOWN, len(validation))))
    metadata = Metadata(
        **_identity(run, source, precision, flips),
        **_decisions(fitted),
        image_size=side,
        preparation=preparation,
        temperature=temperature,
        training_data=TrainingData(
            datasets=tuple(sorted(manifest.table["dataset"].dropna().astype(str).unique())),
            photographs=record["data"]["photographs"],
            manifest_sha256=record["data"]["manifest_sha256"],
        ),
        validation=_measured(run, "val" + "-tta" * flips),
        test=_measured(run, "test" + "-tta" * flips),
        proof=Proof(photographs=1, probabilities=0.0, evidence=1.0),  # until it is proven
        versions={
            "training": record["versions"],
            "export": {**versions(), **{name: version(name) for name in ("onnx", "onnxruntime", "onnxscript")}},
        },
    )
    with atomic_path(out) as temporary:
        model = _model(Calibrated(graph_of(source, side, flips), temperature).eval(), shown[:2])
        exact = _saved(model, metadata, temporary)
        as_seen = _squares(Photographs(manifest.split("val"), preparation.size), range(len(shown)))
        probabilities, heat = says(source, as_seen, flips)
        expected = calibrate(Temperature(temperature=temperature), probabilities), heat.numpy()
        metadata = metadata.model_copy(update={"proof": demanded(likeness(exact.network(shown), expected))})
        if precision != "float32":
            model = halved(model) if precision == "float16" else quantized(model, _batches(training, CALIBRATION))
            written = _saved(model, metadata, temporary)
            found = [np.concatenate(each) for each in zip(*_answers((exact, written), validation), strict=True)]
            metadata = metadata.model_copy(
                update={
                    "proof": likeness(written.network(shown), expected),
                    "change": change(manifest.split("val").table, *found),
                }
            )
        _saved(model, metadata, temporary)
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
            f"{sizes[max(sizes)]} sees photographs of {max(sizes)} px, others of {min(sizes)}, and all were prepared at "
            f"{preparation.size}: a graph shrinks photographs exactly as `prepare` does, but can't enlarge them so. "
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


def _model(graph: Calibrated, example: np.ndarray) -> onnx.ModelProto:
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


def _identity(run: Run, source: Source, precision: Precision, flips: bool) -> dict[str, Any]:
    """What it is: name, version, members, and what it computes."""
    parts = [(name, share, one.run) for name, share, one in networks(source)]
    members = [
        Member(name=name, version=sha256(part.best_checkpoint)[:12], evidence=share) for name, share, part in parts
    ]
    if isinstance(source, Several):
        name, digest = run.folder.resolve().name, sha256(run.ensemble_file)
        output = f"{source.combination.method} of {len(source.members)} members"
        weights = {member: part.record().get("start") or {} for member, _, part in parts}
    else:
        name, digest = run.experiment().name, sha256(run.best_checkpoint)
        output, weights, members = run.experiment().network.output, run.record().get("start") or {}, []
    return {
        "name": name,
        "version": "-".join([digest[:12], *["tta"] * flips, *([] if precision == "float32" else [precision])]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "grades": tuple(grade.label for grade in Grade),
        "output": output,
        "members": tuple(members),
        "flips": flips,
        "precision": precision,
        "weights": weights,
        "change": None,
        "intended_use": INTENDED_USE,
        "limits": LIMITS,
    }


def _decisions(fitted: Fitted | None) -> dict[str, Any]:
    """Thresholds, sets and the rule of referral; or why there are none."""
    names = ("referable", "vision_threatening", "conformal", "referral")
    if fitted is None:
        undefined = dict.fromkeys(names, "the run was not calibrated before it was exported")
        return {**dict.fromkeys(names), "undefined": undefined}
    undefined = dict(fitted.undefined)
    referral = fitted.refer_share
    if referral is None:
        undefined["referral"] = undefined.get("refer_share", "no rule was fitted")
    return {
        "referable": _threshold(fitted.referable),
        "vision_threatening": _threshold(fitted.vision_threatening),
        "conformal": Sets(coverage=fitted.conformal.coverage, limits=fitted.conformal.limits),
        "referral": referral
        and Referral(confidence=referral.confidence, target=referral.target, referred=referral.referred),
        "undefined": {name: why for name, why in undefined.items() if name in names},
    }


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
