"""Graphs of OpenVINO come and go without harm to the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

PROGRAM = """
import faulthandler, gc, signal, subprocess
faulthandler.enable()  # signals of Python get a stack of their own
signal.signal(signal.SIGCHLD, lambda *_: None)
from retinagrade.execution.half_precision import compile_graph, import_openvino

ov = import_openvino()
graphs = []
for _ in range(3):
    value = ov.opset13.parameter([1, 4], ov.Type.f32)
    graphs.append(compile_graph(ov.Model([ov.opset13.relu(value)], [value]), 1))
while graphs:  # the first one goes first
    del graphs[0]
    gc.collect()
for _ in range(20):
    subprocess.run(["true"], check=True)
"""


def test_signals_are_handled_after_graphs_were_deleted() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
