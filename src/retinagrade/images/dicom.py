"""DICOM ophthalmic photographs: their pixels in RGB, and what their header says of the eye. Needs the extra ``dicom``.

Source: DICOM PS3.3 C.7.6.3 (Image Pixel Module) and PS3.5 8 and Annex A (how pixels are encoded).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import simplejpeg
from PIL.JpegImagePlugin import JpegImageFile

from retinagrade.errors import ImageError
from retinagrade.images.decoding import (
    MAX_MEGAPIXELS,
    File,
    as_image_errors,
    decode_jpeg,
    is_lossless,
    read_photograph_bytes,
    require_size,
    unreadable_error,
)

if TYPE_CHECKING:
    from pydicom import FileDataset

HEAD: Final = 132
"""Bytes from which a file is known to be DICOM."""
MAKER: Final = "retinagrade"
"""The manufacturer that our own DICOM files name: a heatmap is no photograph, and must never be graded as one."""

_MAGIC: Final = b"DICM"
_BARE: Final = b"\x02\x00\x00\x00UL"  # the first element of a file that left its preamble out
_FACTS: Final = ("PatientID", "ImageLaterality", "Laterality", "StudyInstanceUID", "SOPInstanceUID")
_LUT: Final = "PaletteColorLookupTable"
_PIXELS: Final = (
    "Manufacturer",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    *(f"{colour}{_LUT}Descriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{kind}{colour}{_LUT}Data" for kind in ("", "Segmented") for colour in ("Red", "Green", "Blue")),
)
_SAMPLES: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_LOSSY_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_LOSSLESS_JPEG: Final = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_NO_TRANSFORM: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


@dataclass(frozen=True)
class DicomFacts:
    """What a DICOM header says that a manifest needs.

    Attributes:
        laterality: ``L`` or ``R``; ``None`` where it isn't said, or said to be both.
        patient_key: A pseudonym of the patient, 16 hexadecimal digits; ``None`` without a patient's id.
        study_instance_uid: The id of the visit, which photographs of both eyes share; ``None`` where it is missing.
        sop_instance_uid: The photograph's own id, unique in the world; likewise.
    """

    laterality: str | None = None
    patient_key: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True)
class _Header:
    """How the pixels are encoded, in the standard's terms."""

    syntax: str
    width: int
    height: int
    samples: int
    frames: int
    colours: str
    allocated: int
    stored: int
    high: int
    signed: bool


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin as a DICOM file does; the first :data:`HEAD` are enough."""
    return data[128:HEAD] == _MAGIC or data.startswith(_BARE)


def holds_dicom(path: File) -> bool:
    """Whether a file begins as a DICOM file does. Doesn't need pydicom."""
    try:
        with path.open("rb") as stream:
            return is_dicom(stream.read(HEAD))
    except (OSError, ValueError):
        return False


def read_dicom(path: File, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Decodes the photograph in a DICOM file, or says why it can't be used.

    Args:
        path: A DICOM file of one frame.
        min_side: The shorter side, in pixels, that is enough. Lossy JPEG frames are then decoded at the smallest of
            libjpeg's scales that has it; everything else comes as it is.
        max_megapixels: The limit of width × height, in millions of pixels.

    Returns:
        RGB pixels (H, W, 3), uint8. Values of other depths are scaled by their stored bits, never by their content.

    Raises:
        ImageError: Not readable, not DICOM, truncated, otherwise corrupt, of several frames, or encoded in a way that
            has no one right conversion. The message names the file and what to do.
        ModuleNotFoundError: pydicom isn't installed.
    """
    return decode_dicom(read_photograph_bytes(path), path, min_side, max_megapixels)


def decode_dicom(
    data: bytes, path: File, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> np.ndarray:
    """Decodes the bytes of a DICOM file, as :func:`read_dicom` does; ``path`` is for messages only."""
    dataset = _parse(io.BytesIO(data), _PIXELS, path)
    if str(dataset.get("Manufacturer") or "") == MAKER:
        raise ImageError(f"{path}: a result of {MAKER}, and no photograph: leave it out")
    if "PixelData" not in dataset:
        raise ImageError(f"{path}: no whole pixel data: it is cut off (copy it again) or no photograph (remove it)")
    with as_image_errors(path, "DICOM"):
        header = _header(dataset)
    _require_usable(header, path)
    require_size(header.width, header.height, path, max_megapixels)
    if header.syntax in _LOSSY_JPEG | _LOSSLESS_JPEG and header.stored <= 8:
        pixels, colours = _decode_frame(dataset, header, path, min_side, max_megapixels)
    else:
        pixels, colours = _decode_with_pydicom(dataset, header, path)
    with as_image_errors(path, "DICOM"):
        return np.ascontiguousarray(_to_rgb(pixels, colours, header, dataset))


def dicom_size(data: bytes, path: File) -> tuple[int, int]:
    """Width and height in pixels, from the header of a DICOM file's bytes.

    Raises:
        ImageError: Not DICOM, corrupt, or without pixels.
        ModuleNotFoundError: pydicom isn't installed.
    """
    dataset = _parse(io.BytesIO(data), ("Columns", "Rows"), path)
    with as_image_errors(path, "DICOM"):
        return int(dataset.Columns), int(dataset.Rows)


def read_dicom_facts(path: File) -> DicomFacts:
    """Reads which eye of which patient a DICOM file shows, without its pixels.

    The patient's id itself never leaves this module, neither in a result nor in a message: hospitals' ids are
    personal data, and manifests, logs and reports are passed around. The key is the beginning of its SHA-256, and
    unsalted, so that a patient has one key in all folders and on all machines, which keeps both eyes in one split.
    Whoever can list the hospital's ids can therefore find the patient again: it is a pseudonym, not anonymous.

    Args:
        path: A DICOM file.

    Raises:
        ImageError: Not readable, not DICOM, or corrupt.
        ModuleNotFoundError: pydicom isn't installed.
    """
    dataset = read_elements(path, _FACTS)
    with as_image_errors(path, "DICOM"):
        said = {tag: str(dataset.get(tag) or "").strip() for tag in _FACTS if tag != "PatientID"}
    side = (said["ImageLaterality"] or said["Laterality"]).upper()
    return DicomFacts(
        laterality=side if side in ("L", "R") else None,
        patient_key=_patient_key(dataset),
        study_instance_uid=said["StudyInstanceUID"] or None,
        sop_instance_uid=said["SOPInstanceUID"] or None,
    )


def read_elements(path: File, tags: Collection[str]) -> FileDataset:
    """Reads the named elements of a DICOM file, and no others; pixels only where they are named.

    Raises:
        ImageError: Not readable, not DICOM, or corrupt.
        ModuleNotFoundError: pydicom isn't installed.
    """
    try:
        with path.open("rb") as stream:
            return _parse(stream, tags, path)
    except (OSError, ValueError) as error:
        raise unreadable_error(path, error) from error


def _parse(stream: BinaryIO, tags: Collection[str], path: File) -> FileDataset:
    """Reads only the named elements, so that no patient's name can get into a warning or an error."""
    from pydicom import dcmread
    from pydicom.filereader import read_dataset

    head = stream.read(HEAD)
    if not is_dicom(head):
        raise ImageError(f"{path}: not a DICOM file: remove it")
    with as_image_errors(path, "DICOM"):
        stream.seek(HEAD if head.endswith(_MAGIC) else 0)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") == _DEFLATED:
            raise ImageError(f"{path}: a deflated DICOM file may unfold without limit: convert it with `dcmconv +te`")
        stream.seek(0)
        return dcmread(stream, force=True, specific_tags=list(tags), stop_before_pixels="PixelData" not in tags)


def _header(dataset: FileDataset) -> _Header:
    stored = int(dataset.BitsStored)
    return _Header(
        syntax=str(dataset.file_meta.TransferSyntaxUID),
        width=int(dataset.Columns),
        height=int(dataset.Rows),
        samples=int(dataset.SamplesPerPixel),
        frames=int(dataset.get("NumberOfFrames") or 1),
        colours=str(dataset.PhotometricInterpretation).strip(),
        allocated=int(dataset.BitsAllocated),
        stored=stored,
        high=int(dataset.get("HighBit", stored - 1)),
        signed=bool(dataset.get("PixelRepresentation", 0)),
    )


def _require_usable(header: _Header, path: File) -> None:
    export = "export it as 8-bit RGB"
    problems = (
        (header.frames > 1, f"holds {header.frames} frames: export the one that is the photograph"),
        (header.colours not in _SAMPLES, f"its colours are {header.colours!r}: {export}"),
        (header.samples != _SAMPLES.get(header.colours), f"has {header.samples} samples in {header.colours}: {export}"),
        (header.allocated not in (8, 16) or not 1 <= header.stored <= header.allocated, f"odd bit depth: {export}"),
        (header.high != header.stored - 1, f"its {header.stored} bits don't begin with the lowest: {export}"),
        (header.signed, f"its pixels are signed: {export}"),
        (header.colours == "PALETTE COLOR" and header.syntax == _BIG_ENDIAN, f"big-endian palette: {export}"),
    )
    for is_so, problem in problems:
        if is_so:
            raise ImageError(f"{path}: {problem}")


def _decode_frame(
    dataset: FileDataset, header: _Header, path: File, min_side: int | None, max_megapixels: float
) -> tuple[np.ndarray, str]:
    """Decodes a JPEG frame strictly; returns its samples and the colours that they now have."""
    from pydicom.encaps import get_frame

    with as_image_errors(path, "DICOM"):
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        height, width, colours, _ = simplejpeg.decode_jpeg_header(frame)
        lossless = header.syntax in _LOSSLESS_JPEG and is_lossless(frame)
        if not lossless and header.colours == "RGB" and not _says_colours(frame):
            frame = frame[:2] + _NO_TRANSFORM + frame[2:]
    if (height, width, colours == "Gray") != (header.height, header.width, header.samples == 1):
        raise ImageError(
            f"{path}: its header promises {header.width} × {header.height} pixels of {header.samples} samples, its "
            f"JPEG has {width} × {height} in {colours}: export it again"
        )
    pixels = decode_jpeg(frame, path, min_side, max_megapixels)
    if header.samples == 1:
        return pixels[..., 0], header.colours
    return pixels, header.colours if lossless else "RGB"


def _says_colours(jpeg: bytes) -> bool:
    """Whether a JPEG tells by a JFIF or Adobe marker if it holds RGB; libjpeg takes the rest for YCbCr."""
    return not {"jfif", "adobe_transform"}.isdisjoint(JpegImageFile(io.BytesIO(jpeg)).info)


def _decode_with_pydicom(dataset: FileDataset, header: _Header, path: File) -> tuple[np.ndarray, str]:
    """Decodes raw, run-length or JPEG 2000 pixels; returns samples and the colours that they now have."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    name = UID(header.syntax).name
    try:
        decoder = get_decoder(header.syntax)
        missing = "" if decoder.is_available else f" ({'; '.join(decoder.missing_dependencies)})"
    except NotImplementedError:
        missing = " in pydicom"
    if missing:
        raise ImageError(f"{path}: no decoder for {name}{missing}: install one, or convert it with `gdcmconv --raw`")
    with as_image_errors(path, f"or unsupported {name}"):
        pixels, now = decoder.as_array(dataset, index=0, raw=True)
        return pixels, str(now["photometric_interpretation"])


def _to_rgb(pixels: np.ndarray, colours: str, header: _Header, dataset: FileDataset) -> np.ndarray:
    from pydicom.pixels.processing import convert_color_space

    if colours == "PALETTE COLOR":
        return _paint(pixels, dataset)
    values = _to_bytes(pixels, header.stored)
    if colours == "RGB":
        return values
    if header.samples == 3:
        if colours not in ("YBR_FULL", "YBR_FULL_422"):
            raise ValueError(f"{colours} without JPEG 2000")
        return convert_color_space(values, "YBR_FULL", "RGB")
    grey = 255 - values if colours == "MONOCHROME1" else values
    return np.repeat(grey[..., None], 3, axis=2)


def _paint(indices: np.ndarray, dataset: FileDataset) -> np.ndarray:
    from pydicom.pixels.processing import apply_color_lut

    entries, first, _ = dataset.RedPaletteColorLookupTableDescriptor
    # Clipped here, because pydicom first casts the indices to the palette's type.
    places = np.clip(indices.astype(np.int32), first, first + (entries or 1 << 16) - 1)
    painted = apply_color_lut(places, dataset)[..., :3]
    if painted.dtype == np.uint8 and not 0 < entries <= 256:
        raise ValueError(f"a palette of {entries} 8-bit colours")
    return _to_bytes(painted, 8 * painted.dtype.itemsize)


def _to_bytes(values: np.ndarray, bits: int) -> np.ndarray:
    """Scales values of so many bits to 0 to 255; of more than 8 bits, the high ones are kept."""
    if bits == 8 and values.dtype == np.uint8:
        return values
    levels = np.arange(1 << bits)
    scaled = levels >> (bits - 8) if bits >= 8 else levels * 255 // (levels.size - 1)
    return np.asarray(scaled.astype(np.uint8)[values])


def _patient_key(dataset: FileDataset) -> str | None:
    # Its bytes, because pydicom warns of text that it can't make sense of, and could quote it.
    element = dataset.get_item("PatientID")
    identity = bytes(element.value or b"").strip(b" \0") if element is not None else b""
    return hashlib.sha256(identity).hexdigest()[:16] if identity else None
