"""A folder of lesion maps that networks made of a prepared set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from retinagrade.arguments import check_arguments
from retinagrade.errors import ExperimentError, ImageError
from retinagrade.images.camera import CameraChange
from retinagrade.lesion_maps.calibration import MapCalibration
from retinagrade.messages import counted
from retinagrade.storage.files import read_json_model, write_bytes, write_json
from retinagrade.storage.output_guard import path_from_folder

MAPS_RECORD: Final = "maps.json"


class MapsRecord(BaseModel):
    """``maps.json``: the origin of a folder of lesion maps.

    Attributes:
        status: ``outlining`` until all maps are written, then ``finished``.
        experiment: Name of the networks' experiment.
        kinds: The kinds of lesions.
        prepared: Path of the prepared set from the folder of the maps.
        manifest_sha256: Digest of the prepared set's manifest.
        run: Path of the run or the cross-validation from the folder of the maps.
        networks: SHA-256 digests of the networks: one, or one for each fold.
        split: The split of the photographs.
        camera: Changes that a different camera would make to the photographs.
        calibration: Calibration of the maps, fitted on outlined photographs that the networks were not trained on.
        photographs: The ids of the photographs, and the number of the network that made their maps. In a
            cross-validation, this is the fold that was not trained on the photograph.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: str
    experiment: str
    kinds: tuple[str, ...]
    prepared: str
    manifest_sha256: str
    run: str
    networks: tuple[str, ...]
    split: str
    camera: tuple[CameraChange, ...]
    calibration: MapCalibration
    photographs: dict[str, int]


@dataclass(frozen=True, repr=False, init=False)
class LesionMaps:
    """The folder of lesion maps: ``maps.json``, and ``maps/KIND/IMAGE_ID.png`` with probabilities from 0 to 255.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @check_arguments()
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Names a folder, which need not exist; nothing is read yet."""
        object.__setattr__(self, "folder", Path(folder))

    @property
    def record_file(self) -> Path:
        """The origin of the maps."""
        return self.folder / MAPS_RECORD

    def record(self) -> MapsRecord:
        """Reads ``maps.json``.

        Raises:
            ExperimentError: The folder holds no lesion maps, or the record is broken.
        """
        if not self.record_file.is_file():
            raise ExperimentError(
                f"{self.folder} holds no lesion maps: there is no {MAPS_RECORD}; make them with `retinagrade outline`"
            )
        return read_json_model(self.record_file, MapsRecord, "the record of lesion maps", ExperimentError)

    def finished_record(self) -> MapsRecord:
        """Reads ``maps.json`` of a finished folder.

        Raises:
            ExperimentError: As for :meth:`record`, or maps are missing.
        """
        record = self.record()
        if record.status != "finished":
            raise ExperimentError(f"{self.folder} is not finished: repeat `retinagrade outline` first")
        return record

    def write_record(self, record: MapsRecord) -> None:
        """Writes ``maps.json``, atomically."""
        write_json(self.record_file, record.model_dump(mode="json"))

    @property
    def prepared(self) -> Path:
        """The prepared set of the photographs; the folder may be gone."""
        return path_from_folder(self.record().prepared, self.folder)

    @property
    def run(self) -> Path:
        """The folder of the run, or of the cross-validation, whose networks made the maps; it may be gone."""
        return path_from_folder(self.record().run, self.folder)

    def file(self, kind: str, image_id: str) -> Path:
        """The map of one kind of lesion in one photograph."""
        return self.folder / "maps" / kind / f"{image_id}.png"

    def has(self, image_id: str) -> bool:
        """Whether all maps of a photograph are written."""
        return all(self.file(kind, image_id).is_file() for kind in self.record().kinds)

    def write(self, image_id: str, maps: NDArray[np.uint8], kinds: tuple[str, ...]) -> None:
        """Writes the maps (K, S, S) of a photograph, 0 to 255."""
        for kind, each in zip(kinds, maps, strict=True):
            write_bytes(self.file(kind, image_id), cv2.imencode(".png", each)[1].tobytes())

    def read(self, image_id: str, kinds: tuple[str, ...]) -> NDArray[np.uint8]:
        """Reads the maps (K, S, S) of a photograph, 0 to 255.

        Raises:
            ImageError: A map is missing or damaged.
        """
        maps = []
        for kind in kinds:
            file = self.file(kind, image_id)
            if not file.is_file():
                raise ImageError(f"{file} is missing: repeat `retinagrade outline`")
            each = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
            if each is None:
                raise ImageError(f"{file} is damaged: delete it, and repeat `retinagrade outline`")
            maps.append(np.asarray(each, np.uint8))
        return np.stack(maps)

    def __repr__(self) -> str:
        """Returns the folder, the number of photographs, the kinds and the changes of the camera."""
        try:
            record = self.record()
        except ExperimentError:
            return f"LesionMaps({str(self.folder)!r}): not started"
        camera = f", camera {', '.join(record.camera)}" if record.camera else ""
        kinds = ", ".join(kind.replace("_", " ") for kind in record.kinds)
        count = counted(len(record.photographs), "photograph")
        return f"LesionMaps({str(self.folder)!r}): {count} by {record.experiment}, {record.status}{camera}: {kinds}"

    def _repr_html_(self) -> str:
        """Returns the description for a notebook."""
        return f"<pre>{escape(repr(self))}</pre>"
