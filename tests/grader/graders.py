"""A grader file of a few nodes: it grades by colour, in microseconds, and needs no framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser

from retinagrade.gate.session import NETWORK_KEY, encode_network
from retinagrade.grader.metadata import (
    KEY,
    MeasuredMetrics,
    Metadata,
    MetricValue,
    PredictionSetsMetadata,
    PreparationMetadata,
    ReviewRule,
    Threshold,
    TrainingDataMetadata,
    Verification,
)
from retinagrade.grader.seal import sealed
from retinagrade.grades import Grade

SIDE = 64
_GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
by_colour (uint8[N,64,64,3] photographs) => (float[N,5] probabilities, float[N,5,4,4] saliency)
<float[3,5] slopes = {9,0,-3,0,1, -8,-4,0,5,9, 0,2,4,2,-9}, float[5] offsets = {0,1,2,1,0},
 float[5,3,1,1] kernel = {1,0,0, 0,1,0, 0,0,1, 1,1,0, 0,1,1}, float[1] white = {255}>
{
  values = Cast <to=1> (photographs)
  shares = Div (values, white)
  colours = ReduceMean <axes=[1,2], keepdims=0> (shares)
  sums = MatMul (colours, slopes)
  logits = Add (sums, offsets)
  probabilities = Softmax <axis=1> (logits)
  planes = Transpose <perm=[0,3,1,2]> (shares)
  cells = AveragePool <kernel_shape=[16,16], strides=[16,16]> (planes)
  saliency = Conv (cells, kernel)
}
"""
_GATE = """
<ir_version: 8, opset_import: ["" : 17]>
by_brightness (uint8[N,64,64,3] frame, uint8[N,256,256,3] square)
=> (float[N,5] modality, float[N,2] quality, float[N,8] reasons, float[N,2] visible, float[N,3] centre)
<float[1] middle = {20}, float[1,5] no_modality = {0,0,0,0,0}, float[5] colour = {0,1,0,0,0},
 float[1,2] both = {1,1}, float[1,8] dark = {1,0,0,0,0,0,0,0},
 float[1,2] no_landmark = {0,0}, float[2] landmarks = {1,1}, float[1,3] no_centre = {0,0,0}, float[3] macula = {1,0,0}>
{
  values = Cast <to=1> (square)
  mean = ReduceMean <axes=[1,2], keepdims=0> (values)
  brightness = ReduceMean <axes=[1], keepdims=1> (mean)
  below = Sub (middle, brightness)
  darkness = Sigmoid (below)
  modalities = MatMul (darkness, no_modality)
  modality = Add (modalities, colour)
  quality = MatMul (darkness, both)
  reasons = MatMul (darkness, dark)
  landmark = MatMul (darkness, no_landmark)
  visible = Add (landmark, landmarks)
  centres = MatMul (darkness, no_centre)
  centre = Add (centres, macula)
}
"""
"""A gate that lets everything pass but dark photographs."""


def gate_network() -> bytes:
    """Makes the gate of a few nodes, as the content of an ONNX file."""
    model = onnx.parser.parse_model(_GATE)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def seal_grader(model: onnx.ModelProto, facts: Metadata, path: Path) -> Path:
    """Writes a grader file with these metadata and the gate of a few nodes."""
    onnx.helper.set_model_props(model, {KEY: facts.model_dump_json(), NETWORK_KEY: encode_network(gate_network())})
    path.write_bytes(sealed(model.SerializeToString()))
    return path


def metadata(**changed: object) -> Metadata:
    """Makes the metadata of the file."""
    threshold = Threshold(threshold=0.4, rule="sensitivity", target=0.9, sensitivity=0.91, specificity=0.8)
    fields = {
        "name": "by-colour",
        "version": "0123456789ab",
        "created": "2026-11-24T00:00:00+00:00",
        "grades": tuple(grade.label for grade in Grade),
        "image_size": SIDE,
        "preparation": PreparationMetadata(size=SIDE, contrast="none", square="pad", recipe=1),
        "output": "softmax",
        "members": (),
        "tta": False,
        "precision": "float32",
        "change_from_float32": None,
        "temperature": 1.0,
        "referable": threshold,
        "vision_threatening": threshold,
        "prediction_sets": PredictionSetsMetadata(coverage=0.9, limits=(0.8, 0.8, 0.8, 0.8, None)),
        "review": ReviewRule(confidence=0.3, target=0.2, reviewed=0.2),
        "undefined": {},
        "training_data": TrainingDataMetadata(
            datasets=("made-up",), photographs={"train": 20, "val": 10}, manifest_sha256="0" * 64
        ),
        "initial_weights": {},
        "validation": MeasuredMetrics(
            photographs=10, metrics={"accuracy": MetricValue(value=0.5, interval=(0.2, 0.8))}
        ),
        "test": None,
        "verification": Verification(photographs=10, max_probability_difference=0.0, min_saliency_correlation=1.0),
        "versions": {},
        "intended_use": "Tests. Not a medical device.",
        "limitations": ("It knows nothing but colours.",),
    }
    return Metadata(**{**fields, **changed})


def write_grader(path: Path, change: Callable[[str], str] = str, **changed: object) -> Path:
    """Writes the file.

    Args:
        path: The file.
        change: Changes the text of the graph.
        changed: Fields of the metadata that differ.
    """
    model = onnx.parser.parse_model(change(_GRAPH))
    onnx.checker.check_model(model)
    return seal_grader(model, metadata(**changed), path)
