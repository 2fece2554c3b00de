"""Graphs as ONNX, and files of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from retinagrade.grader.metadata import KEY, Metadata
from retinagrade.grader.runtime import Grader


def to_onnx(graph: nn.Module, example: np.ndarray) -> onnx.ModelProto:
    """A graph in ONNX's operators, for batches of any size.

    Args:
        graph: Photographs (N, S, S, 3), uint8, to probabilities and evidence; in evaluation mode.
        example: Photographs that it takes, one or more.
    """
    batch = torch.from_numpy(np.concatenate([example, example])[:2])  # a batch of 1 would be taken for a constant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnxscript, about operators that we don't use
        program = torch.onnx.export(
            graph,
            (batch,),
            input_names=["photographs"],
            output_names=["probabilities", "saliency"],
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


def save_model(model: onnx.ModelProto, metadata: Metadata, path: Path) -> Grader:
    """Writes a file, and opens it."""
    onnx.helper.set_model_props(model, {KEY: metadata.model_dump_json()})
    onnx.save(model, path)
    return Grader.load(path)
