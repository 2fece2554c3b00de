"""The runtime: photographs in, gradings out, by ONNX Runtime."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from retinagrade.datasets.prepare_file import encode_prepared
from retinagrade.errors import GraderFileError, ImageError
from retinagrade.execution.local import processors
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity, identify_eye
from retinagrade.grader.metadata import BUNDLED, Metadata, read_metadata
from retinagrade.grader.results import Grading, make_grading, model_name
from retinagrade.grader.sessions import Session, onnx_runtime, openvino
from retinagrade.images.decoding import MAX_MEGAPIXELS, File, InMemory, decode_jpeg, read_photograph_bytes
from retinagrade.images.field_of_view import find_field_of_view, whole_frame
from retinagrade.images.prepare import PreparationSettings, at_input_size, fit_photograph, open_photograph
from retinagrade.images.quality import Quality, assess_quality
from retinagrade.paths import is_local, to_path

BATCH: Final = 8
"""Photographs that the network sees at once."""
_AHEAD: Final = 2
"""Batches that are decoded ahead, which bounds memory."""


@dataclass(frozen=True)
class GradedPhotograph:
    """A grading, and what it was made of.

    Attributes:
        grading: What is said.
        photograph: RGB pixels (S, S, 3), uint8, as the network saw them; ``None`` after an error.
        saliency: Grad-CAM of every grade (5, h, w), float32, from 0; ``None`` after an error.
    """

    grading: Grading
    photograph: np.ndarray | None = None
    saliency: np.ndarray | None = None


class Grader:
    """A grader file, ready to grade.

    Attributes:
        metadata: All that the file says of itself.
    """

    def __init__(self, engine: Session, metadata: Metadata) -> None:
        """See :meth:`load`. Args: what computes its graph, and the file's ``metadata``."""
        self._engine = engine
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | os.PathLike[str] = "default", fast: bool = False) -> Self:
        """Opens a grader file.

        Args:
            path: The file; or ``default``, the one that comes with the package.
            fast: Compute in bfloat16, by OpenVINO. Probabilities are then others, and some grades too, by network and
                processor; without, a file says the same on every machine.

        Raises:
            ArtefactError: Missing, not ONNX, or not a grader file that this version reads.
            UsageError: ``fast`` where there is no OpenVINO, or no bfloat16.
        """
        file = BUNDLED if os.fspath(path) == "default" else Path(path)
        if not file.is_file():
            raise GraderFileError(f"{file}: no such file: make one with `retinagrade export`")
        engine = onnx_runtime(file)
        metadata = read_metadata(engine.properties, file)
        if engine.side != metadata.image_size:
            raise GraderFileError(f"{file}: its graph doesn't take {metadata.image_size} px photographs as it should")
        if not fast:
            return cls(engine, metadata)
        return cls(openvino(file, engine), metadata.model_copy(update={"version": f"{metadata.version}-bfloat16"}))

    def grade(
        self, photographs: Iterable[str | os.PathLike[str] | np.ndarray], image_ids: Sequence[str] | None = None
    ) -> list[Grading]:
        """Grades photographs.

        Args:
            photographs: Files in any format that can be read, or RGB pixels (H, W, 3), uint8, just as the camera gave
                them: cropping and resizing is done here.
            image_ids: Their ids; by default a file's name without suffix, and an array's place, counted from 0.

        Returns:
            One grading each, in their order. A photograph that can't be used has an ``error``, and costs no other.
        """
        return [seen.grading for seen in self.stream(photographs, image_ids)]

    def stream(
        self, photographs: Iterable[str | os.PathLike[str] | np.ndarray], image_ids: Iterable[str] | None = None
    ) -> Iterator[GradedPhotograph]:
        """Like :meth:`grade`, one by one as they are ready, with saliency; photographs are taken as they are needed.

        Threads decode while the network works, and no more than some batches are in memory.
        """
        items = ((each if isinstance(each, np.ndarray) else to_path(str(each))) for each in photographs)
        names = iter(image_ids) if image_ids is not None else None
        with ThreadPoolExecutor(processors()) as pool:
            ahead: deque[Future[OpenedPhotograph]] = deque()
            for place, item in enumerate(items):
                default = str(place) if isinstance(item, np.ndarray) else item.stem
                name = default if names is None else next(names)
                ahead.append(pool.submit(self.open, item, name))
                if len(ahead) >= BATCH * (1 + _AHEAD):
                    yield from self.judge([ahead.popleft().result() for _ in range(BATCH)])
            while ahead:
                yield from self.judge([ahead.popleft().result() for _ in range(min(BATCH, len(ahead)))])

    def network(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The graph itself.

        Args:
            squares: Prepared photographs (N, S, S, 3), uint8.

        Returns:
            Calibrated probabilities (N, 5) and saliency (N, 5, h, w), float32.
        """
        return self._engine.network(squares)

    def open(self, item: File | np.ndarray, image_id: str) -> OpenedPhotograph:
        """The first half of :meth:`stream`, for one photograph; threads may share it."""
        path, eye = None if isinstance(item, np.ndarray) else str(item), UNKNOWN
        try:
            if not isinstance(item, np.ndarray | InMemory) and not is_local(item):
                item = InMemory(str(item), read_photograph_bytes(item))
            if not isinstance(item, np.ndarray):
                eye = identify_eye(item)
            square, quality = prepare_with_quality(item, self.metadata.preparation.settings())
        except ModuleNotFoundError as error:
            return OpenedPhotograph(
                image_id, path, eye, error=f"{path}: reading it needs {error.name}: pip install 'retinagrade[dicom]'"
            )
        except (ImageError, MemoryError) as error:
            return OpenedPhotograph(image_id, path, eye, error=str(error) or type(error).__name__)
        return OpenedPhotograph(image_id, path, eye, at_input_size(square, self.metadata.image_size), quality)

    def judge(self, opened: Sequence[OpenedPhotograph]) -> Iterator[GradedPhotograph]:
        """The second half of :meth:`stream`: one result for each of a batch, in their order."""
        good = [one.square for one in opened if one.square is not None]
        found = zip(*self.network(np.stack(good)), strict=True) if good else iter(())
        for one in opened:
            if one.square is None or one.quality is None:
                model = model_name(self.metadata)
                eye = one.eye
                yield GradedPhotograph(
                    Grading(one.image_id, one.path, eye.study, eye.laterality, error=one.error, model=model)
                )
                continue
            probabilities, saliency = next(found)
            given = make_grading(one.image_id, one.path, probabilities, one.quality, self.metadata, one.eye)
            yield GradedPhotograph(given, one.square, saliency)


@dataclass(frozen=True)
class OpenedPhotograph:
    """A photograph that is ready for the network, or the reason why it can't be.

    Attributes:
        image_id: Its id.
        path: Its file; ``None`` for an array.
        eye: Whose it is.
        square: RGB pixels (S, S, 3), uint8, as the network takes them; ``None`` after an error.
        quality: How good it is; ``None`` after an error.
        error: Why it can't be used.
    """

    image_id: str
    path: str | None
    eye: EyeIdentity
    square: np.ndarray | None = None
    quality: Quality | None = None
    error: str | None = None


def prepare_with_quality(item: File | np.ndarray, settings: PreparationSettings) -> tuple[np.ndarray, Quality]:
    """A photograph just as it would stand in a prepared set, and how good it is.

    A prepared set keeps JPEGs, so the pixels go through one: what the network sees is then what it would see there.

    Args:
        item: A file, or RGB pixels (H, W, 3), uint8.
        settings: Of the prepared set.

    Returns:
        RGB pixels (size, size, 3), uint8, and the quality of the photograph as it came.

    Raises:
        ImageError: Not usable.
    """
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3 or min(item.shape) == 0:
            raise ImageError(f"an array of {item.dtype} {item.shape}: give RGB pixels (H, W, 3), uint8")
        photograph = item
        fov = whole_frame(item) if settings.square == "frame" else find_field_of_view(item)
    else:
        photograph, fov = open_photograph(item, settings)
    jpeg = encode_prepared(fit_photograph(photograph, fov, settings))
    return decode_jpeg(jpeg, Path("prepared"), None, MAX_MEGAPIXELS), assess_quality(photograph, fov)
