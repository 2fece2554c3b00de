"""The gate: its network in ONNX Runtime, and its settings."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from retinagrade.errors import GraderFileError
from retinagrade.gate.inputs import FRAME, SQUARE, gate_inputs
from retinagrade.gate.quality import GateAnswers, Quality, judge_quality
from retinagrade.gate.settings import GateSettings
from retinagrade.images.field_of_view import FieldOfView
from retinagrade.storage.onnx_properties import read_property

BUNDLED: Final = Path(__file__).parents[1] / "grader" / "default.onnx"
"""The grader file that comes with the package, whose gate is the bundled one."""
NETWORK_KEY: Final = "retinagrade.gate-network"
"""Key of the gate's network in the ``metadata_props`` of a grader file; the value is an ONNX file in Base64."""
KEY: Final = "retinagrade.gate"
"""Key of the gate's description in its ONNX file's ``metadata_props``; the value is JSON."""
_INPUTS: Final = [("frame", [FRAME, FRAME, 3]), ("square", [SQUARE, SQUARE, 3])]
_OUTPUTS: Final = ("modality", "quality", "reasons", "visible", "centre")


@dataclass(frozen=True)
class Gate:
    """A gate that is ready to judge photographs; several threads may use it at once.

    Attributes:
        session: Session of its network.
        settings: Cut points.
    """

    session: onnxruntime.InferenceSession
    settings: GateSettings

    @classmethod
    def open(cls, network: bytes, settings: GateSettings, file: Path) -> Self:
        """Opens the network of a gate.

        Args:
            network: Content of its ONNX file.
            settings: Cut points.
            file: The file that holds the network, for error messages.

        Raises:
            GraderFileError: The network can't be read, or is no gate of this version.
        """
        return cls(_open(network, file), settings)

    def answer(self, frame: NDArray[np.uint8], square: NDArray[np.uint8]) -> GateAnswers:
        """Computes the network for one photograph.

        Args:
            frame: The whole picture, from :func:`~retinagrade.gate.inputs.gate_inputs`.
            square: The field of view.
        """
        modality, quality, faults, visible, centre = (
            tuple(map(float, output[0]))
            for output in self.session.run(list(_OUTPUTS), {"frame": frame[None], "square": square[None]})
        )
        (usable, reject), (disc, macula) = quality, visible
        return GateAnswers(modality, usable, reject, faults, (disc, macula), centre)

    def judge(self, frame: NDArray[np.uint8], square: NDArray[np.uint8]) -> Quality:
        """Judges one photograph; see :meth:`answer` for the arguments."""
        return judge_quality(self.answer(frame, square), self.settings)


@lru_cache(maxsize=1)
def bundled_gate() -> Gate:
    """Opens the gate that comes with the package."""
    return Gate.open(bundled_network(), GateSettings(), BUNDLED)


def bundled_network() -> bytes:
    """Returns the ONNX file of the bundled gate's network; ``make default-gate`` trains it."""
    return decode_network(read_property(BUNDLED.read_bytes(), NETWORK_KEY), BUNDLED)


def encode_network(network: bytes) -> str:
    """Returns the ONNX file of a gate's network as the text of a metadata property."""
    return base64.b64encode(network).decode()


def decode_network(text: str | None, file: Path) -> bytes:
    """Returns the ONNX file of a gate's network from the text of a metadata property.

    Args:
        text: The text; ``None`` where a grader file has none.
        file: The grader file, for error messages.

    Raises:
        GraderFileError: There is no text, or it is something else.
    """
    try:
        if text is None:
            raise ValueError("no gate")
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise GraderFileError(f"{file} has no gate that can be read: export the run again") from error


def assess_quality(photograph: NDArray[np.uint8], fov: FieldOfView) -> Quality:
    """Judges a photograph with the bundled gate.

    Args:
        photograph: RGB pixels (H, W, 3), uint8.
        fov: Its field of view.
    """
    return bundled_gate().judge(*gate_inputs(photograph, fov))


@lru_cache(maxsize=2)
def _open(network: bytes, file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the network takes a few milliseconds: a second thread would only wait
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of ONNX Runtime have no common base
        reason = " ".join(str(error).split())
        raise GraderFileError(f"{file}: its gate is not readable ONNX ({reason}): export the run again") from error
    inputs = [(each.name, each.shape[1:]) for each in session.get_inputs()]
    outputs = {each.name for each in session.get_outputs()}
    if inputs != _INPUTS or not outputs.issuperset(_OUTPUTS):
        raise GraderFileError(f"{file}: its gate is not one of this version: export the run again")
    return session
