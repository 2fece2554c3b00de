"""DICOM files and lossless JPEGs, made byte by byte so that tests know every pixel."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid


def write_dicom(
    path: Path,
    data: bytes,
    size: tuple[int, int],
    colours: str = "RGB",
    syntax: UID = ExplicitVRLittleEndian,
    **elements: object,
) -> Path:
    """An ophthalmic photograph of ``size`` (height, width) whose pixel data, or one frame of it, are ``data``."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = OphthalmicPhotography8BitImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.PatientName = "Secret^Person"
    dataset.PatientID = "SECRET-7"
    dataset.Rows, dataset.Columns = size
    dataset.PhotometricInterpretation = colours
    dataset.SamplesPerPixel = 1 if colours.startswith(("MONO", "PALETTE")) else 3
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.PixelRepresentation = 0
    for name, value in elements.items():
        setattr(dataset, name, value)
    if "HighBit" not in elements:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = encapsulate([data]) if syntax.is_encapsulated else data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated or dataset.BitsAllocated == 8 else "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def lossless_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A lossless JPEG (ITU T.81 process 14, predictor 1) of uint8 pixels (H, W) or (H, W, 3), without any marker."""
    planes = pixels.reshape(*pixels.shape[:2], -1).astype(int)
    height, width, samples = planes.shape
    predicted = np.full_like(planes, 128)
    predicted[1:, 0] = planes[:-1, 0]
    predicted[:, 1:] = planes[:, :-1]
    codes = []
    for difference in (planes - predicted).ravel().tolist():
        length = abs(difference).bit_length()
        low = difference if difference > 0 else difference + (1 << length) - 1
        codes.append(f"{length:05b}" + (f"{low:0{length}b}" if length else ""))
    bits = "".join(codes)
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    numbers = range(1, samples + 1)
    frame = struct.pack(">BHHB", 8, height, width, samples) + b"".join(bytes([n, 0x11, 0]) for n in numbers)
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])  # 17 codes of 5 bits, each its own category
    start = bytes([samples]) + b"".join(bytes([n, 0]) for n in numbers) + bytes([1, 0, 0])
    segments = ((0xC3, frame), (0xC4, table), (0xDA, start))
    headers = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + headers + scan + b"\xff\xd9"
