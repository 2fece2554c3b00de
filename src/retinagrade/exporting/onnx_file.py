"""ONNX files: graphs of PyTorch converted to ONNX, and grader files written."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from retinagrade.errors import GraderFileError
from retinagrade.gate.session import NETWORK_KEY, bundled_network, encode_network
from retinagrade.grader.metadata import KEY, Metadata, with_digest
from retinagrade.grader.seal import sealed
from retinagrade.grader.sessions import BATCH_DIMENSION, Outputs, onnx_runtime
from retinagrade.models.attention import explicit_attention
from retinagrade.storage.files import write_bytes


def to_onnx(
    graph: nn.Module,
    example: NDArray[np.uint8] | Mapping[str, NDArray[np.uint8]],
    outputs: Sequence[str] = ("probabilities", "saliency"),
) -> onnx.ModelProto:
    """Converts a graph to ONNX, for batches of any size.

    Args:
        graph: A module from the inputs, in their order, to the outputs, in evaluation mode.
        example: Pictures (N, S, S, 3), uint8, at least one, of each input by name; of a single input ``photographs``
            without a name.
        outputs: Names of the outputs, in the order of the module's.

    Raises:
        GraderFileError: PyTorch can't convert an operation of the graph, or not for batches of any size.
    """
    examples = example if isinstance(example, Mapping) else {"photographs": example}
    # With a batch of one, the exporter would make the batch size a constant.
    batches = tuple(torch.from_numpy(np.concatenate([each, each])[:2]) for each in examples.values())
    size = torch.export.Dim(BATCH_DIMENSION, min=1, max=4096)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it reports each operator that it leaves as it is
    with warnings.catch_warnings(), explicit_attention(graph):
        warnings.simplefilter("ignore")  # onnxscript warns about operators that the graph doesn't use
        try:
            program = torch.onnx.export(
                graph,
                batches,
                input_names=list(examples),
                output_names=list(outputs),
                dynamic_shapes=({0: size},) * len(batches),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise GraderFileError(
                f"PyTorch {torch.__version__} can't convert this network to ONNX ({_cause(error)}): train another "
                "backbone, or use this one without a grader file, by predict and explain"
            ) from error
    assert program is not None
    model = program.model_proto
    if any(each.type.tensor_type.shape.dim[0].HasField("dim_value") for each in model.graph.input):
        raise GraderFileError(  # PyTorch then only says so in a warning
            f"PyTorch {torch.__version__} can convert this network to ONNX for batches of one size only: train another "
            "backbone, or use this one without a grader file, by predict and explain"
        )
    # The exporter's notes on each node are larger than the node itself and contain folders of this machine.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    return model


def _cause(error: BaseException) -> str:
    """Returns the first line of the error that an exporter's error began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0]


def open_model(model: onnx.ModelProto, file: Path) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Opens a model without metadata in ONNX Runtime.

    Args:
        model: The model.
        file: The path that it will have, for error messages.

    Returns:
        A function from photographs (N, S, S, 3) to the outputs of the model by name.
    """
    return onnx_runtime(model.SerializeToString(), file).network


def write_grader(model: onnx.ModelProto, metadata: Metadata, file: Path, gate: bytes | None = None) -> Metadata:
    """Writes a grader file with its seal atomically.

    Args:
        model: The network.
        metadata: Metadata of the file.
        file: The file to write.
        gate: ONNX file of the gate's network, which the grader file holds as well; ``None`` for the bundled one.

    Returns:
        The metadata with the digest of the file, as they are read from it.
    """
    network = encode_network(bundled_network() if gate is None else gate)
    onnx.helper.set_model_props(model, {KEY: metadata.model_dump_json(), NETWORK_KEY: network})
    content = model.SerializeToString()
    write_bytes(file, sealed(content))
    return with_digest(metadata, content)
