"""DICOM ophthalmic photographs: RGB pixels, and patient and eye from the header. Needs the extra ``dicom``.

Source: DICOM PS3.3 C.7.6.3 (Image Pixel Module) and PS3.5 8 and Annex A (how pixels are encoded).
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile

from retinagrade.errors import ImageError
from retinagrade.images.decoding import (
    MAX_MEGAPIXELS,
    File,
    as_image_errors,
    decode_jpeg,
    open_file,
    read_photograph_bytes,
    require_size,
    unreadable_error,
)
from retinagrade.images.formats import is_dicom
from retinagrade.images.jpeg_stream import is_lossless

if TYPE_CHECKING:
    from pydicom import FileDataset

# pydicom warns of damaged files, and may quote them; filters change for the process, since threads share them.
warnings.filterwarnings("ignore", module=r"pydicom\..*", category=UserWarning)

_HEAD: Final = 132
MAKER: Final = "retinagrade"
"""Manufacturer in DICOM files that retinagrade writes. They show saliency maps, which must never be graded."""

_MAGIC: Final = b"DICM"
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
_JPEG_2000: Final = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_LITTLE_ENDIAN: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_DECODED_BY_PYDICOM: Final = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
"""Run lengths and JPEG-LS, which needs a plugin."""
_COMPRESSED: Final = ("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5")
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_NO_TRANSFORM: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


@dataclass(frozen=True)
class DicomFacts:
    """Patient and eye of a photograph, from its DICOM header.

    Attributes:
        laterality: ``L`` or ``R``; ``None`` where the header names no eye, or both.
        patient_key: Pseudonym of the patient, 16 hexadecimal digits; ``None`` without a patient's id.
        study_instance_uid: Id of the visit, which photographs of both eyes share; ``None`` where it is missing.
        sop_instance_uid: Globally unique id of the photograph; ``None`` where it is missing.
    """

    laterality: str | None = None
    patient_key: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True)
class _Header:
    """Encoding of the pixels, in the terms of the standard."""

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


def holds_dicom(path: File) -> bool:
    """Whether a file begins like a DICOM file. Doesn't need pydicom."""
    try:
        with open_file(path) as stream:
            return is_dicom(stream.read(_HEAD))
    except (OSError, ValueError):
        return False


def read_dicom(path: File, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Decodes the photograph in a DICOM file.

    Args:
        path: A DICOM file of one frame.
        min_side: Shorter side, in pixels, that is needed. Lossy JPEG frames are decoded at the smallest scale of
            libjpeg that has this size; all other frames at full size.
        max_megapixels: The limit of width × height, in millions of pixels.

    Returns:
        RGB pixels (H, W, 3), uint8. Values of other depths are scaled by their number of bits, not by their range.

    Raises:
        ImageError: The file is unreadable, not DICOM, truncated or otherwise corrupt, has several frames, or an
            encoding without a unique conversion to RGB. The message names the file and a remedy.
        ModuleNotFoundError: pydicom isn't installed.
    """
    return decode_dicom(read_photograph_bytes(path), path, min_side, max_megapixels)


def decode_dicom(
    data: bytes, path: File, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> NDArray[np.uint8]:
    """Decodes the bytes of a DICOM file like :func:`read_dicom`; ``path`` is for messages."""
    dataset = _parse(io.BytesIO(data), _PIXELS, path)
    if str(dataset.get("Manufacturer") or "") == MAKER:
        raise ImageError(f"{path}: a result of {MAKER}, not a photograph: leave it out")
    if "PixelData" not in dataset:
        raise ImageError(f"{path}: no whole pixel data: it is cut off (copy it again) or no photograph (remove it)")
    with as_image_errors(path, "DICOM"):
        header = _header(dataset)
    _require_usable(header, path)
    if any(f"Segmented{colour}{_LUT}Data" in dataset for colour in ("Red", "Green", "Blue")):
        raise ImageError(f"{path}: a palette in segments may expand without limit: export it as 8-bit RGB")
    size = len(dataset.PixelData) if header.syntax.startswith(_COMPRESSED) else None
    require_size(header.width, header.height, path, max_megapixels, size)
    if header.syntax in _LOSSY_JPEG | _LOSSLESS_JPEG and header.stored <= 8:
        samples, colours = _decode_frame(dataset, header, path, min_side, max_megapixels)
    else:
        samples, colours = _decode_with_pydicom(dataset, header, path)
    with as_image_errors(path, "DICOM"):
        return np.ascontiguousarray(_to_rgb(samples, colours, header, dataset))


def readable_syntaxes() -> list[str]:
    """Returns the UIDs of the transfer syntaxes that :func:`read_dicom` decodes here, plain ones first."""
    from pydicom.pixels.decoders.base import get_decoder

    packed = sorted({*_JPEG_2000, *_DECODED_BY_PYDICOM})
    decoded = [uid for uid in packed if get_decoder(uid).is_available]
    return [*_LITTLE_ENDIAN, _BIG_ENDIAN, *sorted(_LOSSY_JPEG | _LOSSLESS_JPEG), *decoded]


def dicom_size(data: bytes, path: File) -> tuple[int, int]:
    """Reads width and height, in pixels, from the header of a DICOM file's bytes.

    Raises:
        ImageError: The bytes are not DICOM, are corrupt, or hold no pixels.
        ModuleNotFoundError: pydicom isn't installed.
    """
    dataset = _parse(io.BytesIO(data), ("Columns", "Rows"), path)
    with as_image_errors(path, "DICOM"):
        return int(dataset.Columns), int(dataset.Rows)


def read_dicom_facts(path: File) -> DicomFacts:
    """Reads patient and eye from a DICOM file, without its pixels.

    The patient's id never leaves this module, neither in a result nor in a message: ids of hospitals are personal
    data, and people pass manifests, logs and reports on. The key is the beginning of the id's SHA-256 digest. It has no
    salt, so a patient has the same key in all folders and on all machines, which keeps both eyes in one split. A person
    who has a list of the hospital's ids can therefore identify the patient: the key is a pseudonym, not anonymous.

    Args:
        path: A DICOM file.

    Raises:
        ImageError: The file is unreadable, not DICOM, or corrupt.
        ModuleNotFoundError: pydicom isn't installed.
    """
    dataset = read_elements(path, _FACTS)
    with as_image_errors(path, "DICOM"):
        texts = {tag: str(dataset.get(tag) or "").strip() for tag in _FACTS if tag != "PatientID"}
    side = (texts["ImageLaterality"] or texts["Laterality"]).upper()
    return DicomFacts(
        laterality=side if side in ("L", "R") else None,
        patient_key=_patient_key(dataset),
        study_instance_uid=texts["StudyInstanceUID"] or None,
        sop_instance_uid=texts["SOPInstanceUID"] or None,
    )


def read_elements(path: File, tags: Collection[str]) -> FileDataset:
    """Reads only the named elements of a DICOM file; pixels only if they are named.

    Raises:
        ImageError: The file is unreadable, not DICOM, or corrupt.
        ModuleNotFoundError: pydicom isn't installed.
    """
    try:
        with open_file(path) as stream:
            return _parse(stream, tags, path)
    except (OSError, ValueError) as error:
        raise unreadable_error(path, error) from error


def _parse(stream: BinaryIO, tags: Collection[str], path: File) -> FileDataset:
    """Reads only the named elements, so that no warning or error can quote a patient's name."""
    from pydicom import dcmread
    from pydicom.filereader import read_dataset

    head = stream.read(_HEAD)
    if not is_dicom(head):
        raise ImageError(f"{path}: not a DICOM file: remove it")
    with as_image_errors(path, "DICOM"):
        stream.seek(_HEAD if head.endswith(_MAGIC) else 0)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") == _DEFLATED:
            raise ImageError(f"{path}: a deflated DICOM file may expand without limit: convert it with `dcmconv +te`")
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
    for occurs, problem in problems:
        if occurs:
            raise ImageError(f"{path}: {problem}")


def _decode_frame(
    dataset: FileDataset, header: _Header, path: File, min_side: int | None, max_megapixels: float
) -> tuple[NDArray[np.integer], str]:
    """Decodes a JPEG frame strictly. Returns the samples and their photometric interpretation after decoding."""
    from pydicom.encaps import get_frame

    with as_image_errors(path, "DICOM"):
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        height, width, colours, _ = simplejpeg.decode_jpeg_header(frame)
        lossless = header.syntax in _LOSSLESS_JPEG and is_lossless(frame)
        if not lossless and header.colours == "RGB" and not _names_colour_space(frame):
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


def _names_colour_space(jpeg: bytes) -> bool:
    """Whether a JFIF or Adobe marker of a JPEG names its colour space. Without one, libjpeg assumes YCbCr."""
    return not {"jfif", "adobe_transform"}.isdisjoint(JpegImageFile(io.BytesIO(jpeg)).info)


def _decode_with_pydicom(dataset: FileDataset, header: _Header, path: File) -> tuple[NDArray[np.integer], str]:
    """Decodes raw, run-length or JPEG 2000 pixels. Returns samples and their photometric interpretation."""
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
    if header.syntax in _JPEG_2000:
        _require_promised_size(dataset, header, path)
    with as_image_errors(path, f"or unsupported {name}"):
        pixels, description = decoder.as_array(dataset, index=0, raw=True)
        return pixels, str(description["photometric_interpretation"])


def _require_promised_size(dataset: FileDataset, header: _Header, path: File) -> None:
    """Refuses a JPEG 2000 frame whose size differs from the header's, which alone was compared with the limits."""
    from pydicom.encaps import get_frame

    with as_image_errors(path, "DICOM"):
        width, height = Jpeg2KImageFile(io.BytesIO(get_frame(dataset.PixelData, 0, number_of_frames=1))).size
        if (width, height) != (header.width, header.height):
            raise ImageError(
                f"{path}: its header promises {header.width} × {header.height} pixels, its JPEG 2000 picture has "
                f"{width} × {height}: export it again"
            )


def _to_rgb(pixels: NDArray[np.integer], colours: str, header: _Header, dataset: FileDataset) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import convert_color_space

    if colours == "PALETTE COLOR":
        return _apply_palette(pixels, dataset)
    values = _to_bytes(pixels, header.stored)
    if colours == "RGB":
        return values
    if header.samples == 3:
        if colours not in ("YBR_FULL", "YBR_FULL_422"):
            raise ValueError(f"{colours} without JPEG 2000")
        return np.asarray(convert_color_space(values, "YBR_FULL", "RGB"), np.uint8)
    grey = 255 - values if colours == "MONOCHROME1" else values
    return np.repeat(grey[..., None], 3, axis=2)


def _apply_palette(indices: NDArray[np.integer], dataset: FileDataset) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_color_lut

    entries, first, _ = dataset.RedPaletteColorLookupTableDescriptor
    # Clip here, because pydicom casts the indices to the palette's type first.
    clipped = np.clip(indices.astype(np.int32), first, first + (entries or 1 << 16) - 1)
    colours = apply_color_lut(clipped, dataset)[..., :3]
    if colours.dtype == np.uint8 and not 0 < entries <= 256:
        raise ValueError(f"a palette of {entries} 8-bit colours")
    return _to_bytes(colours, 8 * colours.dtype.itemsize)


def _to_bytes(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Scales values of ``bits`` bits to 0 to 255. Keeps the high byte of deeper values."""
    if bits == 8 and values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    levels = np.arange(1 << bits)
    scaled = levels >> (bits - 8) if bits >= 8 else levels * 255 // (levels.size - 1)
    return np.asarray(scaled.astype(np.uint8)[values])


def _patient_key(dataset: FileDataset) -> str | None:
    # Read bytes, because pydicom warns about text that it can't decode, and may quote it.
    element = dataset.get_item("PatientID")
    identity = bytes(element.value or b"").strip(b" \0") if element is not None else b""
    return hashlib.sha256(identity).hexdigest()[:16] if identity else None
