"""The grader: photographs become gradings, with ONNX Runtime."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from retinagrade.arguments import check_arguments
from retinagrade.errors import GraderFileError, ImageError
from retinagrade.execution.local import processors
from retinagrade.gate.inputs import gate_inputs
from retinagrade.gate.quality import Quality
from retinagrade.gate.session import NETWORK_KEY, Gate, decode_network
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.eyes import UNKNOWN, EyeIdentity, identify_eye
from retinagrade.grader.lesions import PhotographLesions, read_lesions
from retinagrade.grader.make_grading import failed_grading, make_grading, model_name
from retinagrade.grader.metadata import (
    BUNDLED,
    LesionMetadata,
    Metadata,
    read_metadata,
    seen_before,
    with_digest,
    with_gate,
)
from retinagrade.grader.seal import read_sealed, without_seal
from retinagrade.grader.sessions import LESIONS, Outputs, Session, onnx_runtime, openvino
from retinagrade.grades import N_GRADES
from retinagrade.gradings.grading import Grading
from retinagrade.images.decoding import (
    MAX_MEGAPIXELS,
    File,
    InMemory,
    as_photograph_errors,
    decode_jpeg,
    read_photograph_bytes,
)
from retinagrade.images.encode import encode_prepared
from retinagrade.images.field_of_view import find_field_of_view, whole_frame
from retinagrade.images.placement import Placement, find_reduction, place_square
from retinagrade.images.prepare import PreparationSettings, fit_photograph, open_photograph, resize_to_input
from retinagrade.images.read import photograph_size
from retinagrade.lesion_maps.grade_model import temper
from retinagrade.lesion_maps.mapped import map_photograph
from retinagrade.lesion_maps.outline import blacken_outside
from retinagrade.storage.paths import store_tag, to_path

BATCH: Final = 8
"""Photographs that are graded one after the other while threads prepare as many further ones; it bounds memory."""
SUM_TOLERANCE: Final = 1e-3
"""Largest distance of a sum of probabilities from 1 in the outputs of a graph."""
_FAST_SIDE: Final = 1024
"""Largest side at which fast grading prepares a photograph, in pixels. Larger ones take longer to prepare."""

PhotographSource = str | os.PathLike[str] | NDArray[np.uint8]
"""A photograph: a path, a URL, or RGB pixels (H, W, 3)."""
GateInputs = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""The inputs of the gate, see :func:`~retinagrade.gate.inputs.gate_inputs`."""


@dataclass(frozen=True)
class PreparedPhotograph:
    """A photograph that is ready for the network, or the reason why it can't be used.

    Attributes:
        image_id: Id of the photograph.
        path: File of the photograph; ``None`` for an array.
        eye: Study and laterality.
        square: RGB pixels (S, S, 3), uint8, the input of the network; ``None`` after an error.
        gate_inputs: The inputs of the gate; ``None`` after an error.
        error: Reason why the photograph can't be used.
        digest: Digest of the file, see :class:`~retinagrade.gradings.grading.Grading`.
        placement: Place of the square in the original photograph; ``None`` after an error.
    """

    image_id: str
    path: str | None
    eye: EyeIdentity
    square: NDArray[np.uint8] | None = None
    gate_inputs: GateInputs | None = None
    error: str | None = None
    digest: str | None = None
    placement: Placement | None = None


@dataclass(frozen=True)
class GradedPhotograph:
    """A grading with the input and the saliency maps of the network.

    Attributes:
        grading: The grading.
        photograph: RGB pixels (S, S, 3), uint8: the input of the network, reduced to the side of the lesion maps;
            ``None`` after an error.
        saliency: Grad-CAM saliency map of every grade (5, h, w), float32, not negative; ``None`` after an error, and
            for a grader file that outlines lesions.
        lesions: The lesions; ``None`` after an error, and for a grader file that doesn't outline them.
        placement: Place of the photograph in its original; ``None`` after an error.
    """

    grading: Grading
    photograph: NDArray[np.uint8] | None = None
    saliency: NDArray[np.float32] | None = None
    lesions: PhotographLesions | None = None
    placement: Placement | None = None


@dataclass(frozen=True)
class _Reading:
    """What was read from the outputs of a graph for one photograph; attributes as in :class:`GradedPhotograph`."""

    probabilities: NDArray[np.floating]
    photograph: NDArray[np.uint8]
    saliency: NDArray[np.float32] | None = None
    lesions: PhotographLesions | None = None


def _read_maps(
    square: NDArray[np.uint8],
    blackened: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    maps: NDArray[np.uint8],
    lesions: LesionMetadata,
    temperature: float,
) -> _Reading:
    mapped = map_photograph(square, maps, lesions.kinds, blackened)
    probabilities, found = read_lesions(mapped, lesions, temperature)
    return _Reading(probabilities, mapped.square, lesions=found)


class Grader:
    """A grader file, ready to grade photographs; ``Grader.load("grader.onnx")`` opens one.

    Attributes:
        metadata: Metadata of the file.
    """

    def __init__(self, session: Session, gate: Gate, metadata: Metadata, fast: bool = False) -> None:
        """Makes a grader; use :meth:`load` to open a file.

        Args:
            session: The session that computes the graph.
            gate: The gate.
            metadata: Metadata of the file.
            fast: See :meth:`load`.
        """
        self._session = session
        self._gate = gate
        self._fast = fast
        self.metadata = metadata

    def with_gate(self, settings: GateSettings) -> Self:
        """Returns the same grader with other cut points of the gate."""
        gate, metadata = replace(self._gate, settings=settings), with_gate(self.metadata, settings)
        return type(self)(self._session, gate, metadata, self._fast)

    def __repr__(self) -> str:
        """Returns name and version."""
        return f"Grader({model_name(self.metadata)!r})"

    @classmethod
    @check_arguments()
    def load(cls, path: str | os.PathLike[str] = "default", fast: bool = False) -> Self:
        """Opens a grader file.

        Args:
            path: The file; ``default`` is the grader file that comes with the package.
            fast: Compute in half precision (bfloat16) with OpenVINO, and prepare photographs at 1,024 px at most:
                faster, but may change some grades, depending on network and processor. Without it, a file gives the
                same grades on every machine.

        Raises:
            GraderFileError: The file is missing or damaged, not ONNX, or not a grader file that this version reads.
            UsageError: ``fast`` needs OpenVINO and a processor with bfloat16.
        """
        file = BUNDLED if os.fspath(path) == "default" else Path(path)
        if not file.is_file():
            raise GraderFileError(f"{file}: no such file: make one with `retinagrade export`")
        content = read_sealed(file)
        session = onnx_runtime(content, file)
        metadata = with_digest(read_metadata(session.properties, file), without_seal(content))
        kinds = 0 if metadata.lesions is None else len(metadata.lesions.kinds)
        if session.side != metadata.image_size or session.kinds != kinds:
            raise GraderFileError(
                f"{file}: its graph does not take photographs of {metadata.image_size} px, or does not give five "
                "probabilities and saliency maps, or the lesion maps that its metadata name: export the run again"
            )
        network = decode_network(session.properties.get(NETWORK_KEY), file)
        gate = Gate.open(network, metadata.gate, file)
        if not fast:
            return cls(session, gate, metadata)
        metadata = metadata.model_copy(update={"version": f"{metadata.version}-bfloat16"})
        return cls(openvino(content, session), gate, metadata, fast)

    def grade(
        self,
        photographs: PhotographSource | Iterable[PhotographSource],
        image_ids: Sequence[str] | None = None,
        *,
        workers: int | None = None,
    ) -> list[Grading]:
        """Grades photographs.

        Args:
            photographs: Files in any readable format, or RGB pixels (H, W, 3), uint8, both straight from the camera:
                the grader crops and resizes them. One photograph needs no list.
            image_ids: Ids of the photographs; by default file names without suffix, and the index of an array.
            workers: Threads that decode photographs; by default one per processor. Results don't depend on it.

        Returns:
            One grading per photograph, in their order. An unusable photograph has an ``error`` and affects no other.

        Raises:
            TypeError: A photograph is neither a path nor an array, or the ids are one text.
            ValueError: There are fewer ids than photographs.
        """
        return [graded.grading for graded in self.stream(photographs, image_ids, workers=workers)]

    def stream(
        self,
        photographs: PhotographSource | Iterable[PhotographSource],
        image_ids: Iterable[str] | None = None,
        *,
        workers: int | None = None,
    ) -> Iterator[GradedPhotograph]:
        """Grades photographs lazily, with saliency maps; see :meth:`grade` for the arguments.

        Threads decode photographs while the network computes. Memory holds two batches at most.

        Yields:
            One result per photograph, in their order, as soon as its batch is graded.
        """
        if isinstance(image_ids, str):
            raise TypeError(f"image_ids={image_ids!r}: give a list of ids, one for each photograph")
        items = map(_as_item, _as_photographs(photographs))
        prepared = self._prepare_ahead(_named(items, image_ids), workers)
        while batch := list(islice(prepared, BATCH)):
            yield from self.grade_prepared(batch)

    def judge(self, photographs: Iterable[PhotographSource], *, workers: int | None = None) -> Iterator[Quality | None]:
        """Judges the quality of photographs lazily, without grading them; see :meth:`grade` for the arguments.

        Yields:
            One quality per photograph, in their order; ``None`` for one that can't be used.
        """
        items = ((_as_item(photograph), "") for photograph in photographs)
        for photograph in self._prepare_ahead(items, workers):
            yield self._judge(photograph)

    def _prepare_ahead(
        self, items: Iterable[tuple[File | NDArray[np.uint8], str]], workers: int | None
    ) -> Iterator[PreparedPhotograph]:
        """Prepares photographs with their ids in threads, a batch ahead; yields them in their order."""
        with ThreadPoolExecutor(workers or processors()) as pool:
            ahead: deque[Future[PreparedPhotograph]] = deque()
            for item, image_id in items:
                ahead.append(pool.submit(self.prepare, item, image_id))
                if len(ahead) >= BATCH:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _judge(self, photograph: PreparedPhotograph) -> Quality | None:
        return None if photograph.gate_inputs is None else self._gate.judge(*photograph.gate_inputs)

    def network(self, squares: NDArray[np.uint8]) -> Outputs:
        """Computes the graph.

        Args:
            squares: Prepared photographs (N, S, S, 3), uint8, at least one; S may differ from the network's.

        Returns:
            Outputs by name: calibrated ``probabilities`` (N, 5) and ``saliency`` maps (N, 5, h, w), float32; or maps of
            ``lesions`` (N, K, s, s), uint8, which :func:`~retinagrade.lesion_maps.mapped.map_photograph` completes.
        """
        side = self.metadata.image_size
        if squares.shape[1] != side:
            squares = np.stack([resize_to_input(square, side) for square in squares])
        return self._session.network(squares)

    def prepare(self, item: File | NDArray[np.uint8], image_id: str) -> PreparedPhotograph:
        """Reads one photograph and prepares it for the network; several threads may call this at once."""
        settings, side = self.metadata.preparation.settings(), self.metadata.image_size
        if self._fast:
            settings, side = replace(settings, size=min(settings.size, _FAST_SIDE)), min(side, _FAST_SIDE)
        return prepare_for_grading(item, image_id, settings, side)

    def grade_prepared(self, batch: Sequence[PreparedPhotograph]) -> Iterator[GradedPhotograph]:
        """Grades a batch of prepared photographs; yields one result for each, in their order."""
        squares = [each.square for each in batch if each.square is not None]
        readings = self._read_outputs(squares)
        for each in batch:
            quality = self._judge(each)
            if each.square is None or quality is None:
                yield GradedPhotograph(self._failed(each, each.error))
                continue
            reading = next(readings)
            wrong = find_wrong_outputs(reading.probabilities, reading.saliency)
            if wrong is not None:
                yield GradedPhotograph(self._failed(each, f"{each.image_id}: the grader file gives {wrong}"))
                continue
            probabilities, site = reading.probabilities, self.metadata.site_temperature
            if site != 1:  # else the digits stay as they are
                probabilities = temper(probabilities[None].astype(np.float64), site)[0]
            grading = make_grading(
                each.image_id,
                each.path,
                probabilities,
                quality,
                self.metadata,
                each.eye,
                reading.lesions,
                None if each.placement is None else each.placement.width,
            )
            seen = seen_before(self.metadata, each.digest)
            grading = replace(grading, digest=each.digest, seen_before=seen)
            placement = None if each.placement is None else each.placement.resized(len(reading.photograph))
            yield GradedPhotograph(grading, reading.photograph, reading.saliency, reading.lesions, placement)

    def _read_outputs(self, squares: Sequence[NDArray[np.uint8]]) -> Iterator[_Reading]:
        """Computes the graph, and reads its outputs for each photograph."""
        lesions, temperature = self.metadata.lesions, self.metadata.temperature
        # One at a time: in a batch, the last digits would depend on the other photographs.
        if lesions is None:
            for square in squares:
                outputs = self.network(square[None])
                yield _Reading(outputs["probabilities"][0], square, outputs["saliency"][0])
            return
        with ThreadPoolExecutor(1) as pool:  # which reads maps while the graph computes the next ones
            reading: Future[_Reading] | None = None
            for square in squares:
                blackened = blacken_outside(square)
                maps = self.network(blackened[0][None])[LESIONS][0]
                if reading is not None:
                    yield reading.result()
                reading = pool.submit(_read_maps, square, blackened, maps, lesions, temperature)
            if reading is not None:
                yield reading.result()

    def _failed(self, each: PreparedPhotograph, error: str | None) -> Grading:
        return failed_grading(each.image_id, each.path, error, self.metadata, each.eye, each.digest)


def prepare_for_grading(
    item: File | NDArray[np.uint8], image_id: str, settings: PreparationSettings, side: int
) -> PreparedPhotograph:
    """Reads one photograph and prepares it for a network. It needs no grader, so another process may do it.

    Args:
        item: A file, or RGB pixels (H, W, 3), uint8.
        image_id: Id of the photograph.
        settings: Settings of the prepared set that the network learnt from.
        side: Side of the network's input, in pixels.

    Returns:
        The photograph, or the reason why it can't be used.
    """
    path, eye, digest = None if isinstance(item, np.ndarray) else str(item), UNKNOWN, None
    try:
        if not isinstance(item, np.ndarray):
            item, digest = _read(item)
            eye = identify_eye(item)
        with as_photograph_errors(path or image_id):
            square, inputs, placement = prepare_with_gate_inputs(item, settings)
    except ModuleNotFoundError as error:
        reason = f"{path}: reading it needs {error.name}: pip install 'retinagrade[dicom]'"
        return PreparedPhotograph(image_id, path, eye, error=reason, digest=digest)
    except ImageError as error:
        return PreparedPhotograph(image_id, path, eye, error=str(error), digest=digest)
    return PreparedPhotograph(
        image_id, path, eye, resize_to_input(square, side), inputs, digest=digest, placement=placement.resized(side)
    )


def prepare_with_gate_inputs(
    item: File | NDArray[np.uint8], settings: PreparationSettings
) -> tuple[NDArray[np.uint8], GateInputs, Placement]:
    """Prepares a photograph for the network, exactly as a prepared set would hold it, and for the gate.

    A prepared set stores JPEGs, so the pixels are JPEG-encoded and decoded once: the network sees the same pixels as
    in a prepared set.

    Args:
        item: A file, or RGB pixels (H, W, 3), uint8.
        settings: Settings of the prepared set.

    Returns:
        RGB pixels (size, size, 3), uint8, the inputs of the gate, and the place of the pixels in the original.

    Raises:
        ImageError: The photograph can't be used.
    """
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3 or min(item.shape) == 0:
            raise ImageError(f"an array of {item.dtype} {item.shape}: pass RGB pixels (H, W, 3), uint8")
        photograph, reduction = item, 1.0
        field = whole_frame(item) if settings.square == "frame" else find_field_of_view(item)
    else:
        photograph, field = open_photograph(item, settings)
        reduction = find_reduction(photograph.shape, photograph_size(item))
    jpeg = encode_prepared(fit_photograph(photograph, field, settings))
    square = decode_jpeg(jpeg, Path("prepared"), None, MAX_MEGAPIXELS)
    return square, gate_inputs(photograph, field), place_square(field, settings).enlarged(reduction)


def find_wrong_outputs(probabilities: NDArray[np.floating], saliency: NDArray[np.float32] | None = None) -> str | None:
    """Returns the reason why outputs of a graph can't be a result; ``None`` for five probabilities and finite maps.

    Args:
        probabilities: Outputs for one photograph; right are five numbers from 0 on that sum to 1.
        saliency: Saliency maps of the same photograph, if the graph gives any.

    Example:
        >>> find_wrong_outputs(np.float32([0, 0, 0, 0, 0]), np.zeros((5, 2, 2), np.float32))
        'probabilities that sum to 0, not to 1; a person should look at it, and the run should be exported again'
    """
    total = float(np.sum(probabilities, dtype=np.float64))
    if probabilities.shape != (N_GRADES,):
        wrong = f"{probabilities.size} probabilities instead of {N_GRADES}"
    elif not np.isfinite(probabilities).all():
        wrong = "probabilities that are no finite numbers"
    elif (probabilities < 0).any():
        wrong = "negative probabilities"
    elif abs(total - 1) > SUM_TOLERANCE:
        wrong = f"probabilities that sum to {total:g}, not to 1"
    elif saliency is not None and not np.isfinite(saliency).all():
        wrong = "a saliency map that has no finite numbers"
    else:
        return None
    return f"{wrong}; a person should look at it, and the run should be exported again"


def _as_photographs(photographs: PhotographSource | Iterable[PhotographSource]) -> Iterable[PhotographSource]:
    if isinstance(photographs, str | os.PathLike) or (isinstance(photographs, np.ndarray) and photographs.ndim < 4):
        return [photographs]
    if not isinstance(photographs, Iterable):
        raise TypeError(_wrong_type(photographs))
    return photographs


def _named(
    items: Iterable[File | NDArray[np.uint8]], image_ids: Iterable[str] | None
) -> Iterator[tuple[File | NDArray[np.uint8], str]]:
    """Yields photographs with their ids; without ids, these are file names without suffix, or positions of arrays."""
    names = iter(image_ids) if image_ids is not None else None
    for index, item in enumerate(items):
        default = str(index) if isinstance(item, np.ndarray) else item.stem
        name = default if names is None else next(names, None)
        if name is None:
            raise ValueError(f"there are only {index} image_ids: give one for each photograph")
        yield item, name


def _as_item(photograph: PhotographSource) -> File | NDArray[np.uint8]:
    if isinstance(photograph, np.ndarray):
        return photograph
    if isinstance(photograph, str | os.PathLike):
        return to_path(str(photograph))
    raise TypeError(_wrong_type(photograph))


def _wrong_type(photograph: object) -> str:
    return (
        f"a photograph can't be {type(photograph).__name__}: give paths, or arrays of RGB pixels (H, W, 3), uint8, in "
        "a list"
    )


def _read(item: File) -> tuple[InMemory, str]:
    """Reads a file; returns its bytes and their digest."""
    if isinstance(item, InMemory):
        return item, hashlib.sha256(item.data).hexdigest()
    data = read_photograph_bytes(item)
    return InMemory(str(item), data), store_tag(item) or hashlib.sha256(data).hexdigest()
