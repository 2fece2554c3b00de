"""The folder of a training of the gate, and its record."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict

from retinagrade.errors import ExperimentError
from retinagrade.models.gate_network import GateHeads
from retinagrade.provenance import Provenance
from retinagrade.storage.files import atomic_path, read_json_model, sha256, write_json
from retinagrade.storage.paths import read_bytes
from retinagrade.training.gate.settings import GateTrainingSettings

KIND: Final = "gate"


class GateDataRecord(BaseModel):
    """What the gate learnt from.

    Attributes:
        prepared: Path of the prepared set from the folder of the run.
        photographs: Ids of the photographs that made-up cameras took in training.
        held_out: Ids of the photographs for judging only.
        origins: Number of pictures by sub-folder of the folder of other pictures.
        held_out_origins: Sub-folders for judging only.
        source: Digest of all photographs, landmarks and other pictures.
        trunk: Origin and licence of the trunk's weights.
    """

    model_config = ConfigDict(frozen=True)

    prepared: str
    photographs: tuple[str, ...]
    held_out: tuple[str, ...]
    origins: dict[str, int]
    held_out_origins: tuple[str, ...]
    source: str
    trunk: dict[str, str]


class GateRecord(Provenance):
    """``run.json`` of a finished training of the gate.

    Attributes:
        kind: Tells it from the records of other runs.
        settings: Settings of the training.
        data: What the gate learnt from.
        heads_sha256: Digest of the trained heads.
    """

    kind: Literal["gate"] = KIND
    settings: GateTrainingSettings
    data: GateDataRecord
    heads_sha256: str


@dataclass(frozen=True)
class GateRun:
    """The folder of a training of the gate.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def record_file(self) -> Path:
        """The record, written last."""
        return self.folder / "run.json"

    @property
    def landmarks_file(self) -> Path:
        """Optic discs and foveas of the photographs."""
        return self.folder / "landmarks.json"

    @property
    def heads_file(self) -> Path:
        """The trained heads."""
        return self.folder / "heads.pt"

    @property
    def metrics_file(self) -> Path:
        """All figures of the judgement on held-out pictures."""
        return self.folder / "metrics.json"

    @property
    def page_file(self) -> Path:
        """Held-out photographs from best to worst, with the gate's answers."""
        return self.folder / "page.png"

    @property
    def is_gate(self) -> bool:
        """Whether the folder holds a finished training of the gate, and not another run."""
        try:
            return bool(json.loads(read_bytes(self.record_file)).get("kind") == KIND)
        except (OSError, ValueError, AttributeError):
            return False

    def record(self) -> GateRecord:
        """Reads the record.

        Raises:
            ExperimentError: The record is missing or broken.
        """
        return read_json_model(
            self.record_file, GateRecord, "the record of a gate", ExperimentError, "train it with `train-gate`"
        )

    def metrics(self) -> dict[str, Any]:
        """Reads the figures of the judgement.

        Raises:
            ExperimentError: The file is missing or broken.
        """
        try:
            figures: dict[str, Any] = json.loads(read_bytes(self.metrics_file))
        except (OSError, ValueError) as error:
            raise ExperimentError(f"{self.metrics_file} can't be read ({error}): train the gate again") from error
        return figures

    def heads(self) -> GateHeads:
        """Loads the trained heads, in evaluation mode.

        Raises:
            ExperimentError: The file is missing, damaged, or not the one of the record.
        """
        try:
            digest = sha256(self.heads_file)
        except OSError as error:
            raise ExperimentError(f"{self.heads_file} can't be read ({error}): train the gate again") from error
        if digest != self.record().heads_sha256:
            raise ExperimentError(f"{self.heads_file} has changed since the training: train the gate again")
        heads = GateHeads()
        heads.load_state_dict(torch.load(self.heads_file, map_location="cpu", weights_only=True))
        return heads.eval()

    def write_heads(self, heads: GateHeads) -> str:
        """Writes heads; returns the digest of the file."""
        with atomic_path(self.heads_file) as temporary:
            torch.save(heads.state_dict(), temporary)
        return sha256(self.heads_file)

    def write_record(self, record: GateRecord) -> None:
        """Writes the record."""
        write_json(self.record_file, record.model_dump(mode="json"))

    def __fspath__(self) -> str:
        """Returns the folder as text, so that the run can stand for its folder."""
        return os.fspath(self.folder)
