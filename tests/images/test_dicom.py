"""DICOM photographs have the right colours in every encoding, and no message or result identifies the patient."""

from __future__ import annotations

import hashlib
import io
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.pixels.decoders.base import JPEGLSNearLosslessDecoder
from pydicom.pixels.encoders.base import RLELosslessEncoder

from retinagrade.errors import ImageError
from retinagrade.images.dicom import DicomFacts, read_dicom, read_dicom_facts
from retinagrade.images.formats import is_dicom
from retinagrade.images.read import photograph_size, read_photograph
from tests.images.dicom_files import lossless_jpeg, write_dicom
from tests.images.encoded_files import gradient, jpeg, near

SIZE = (60, 90)
MADE_ELSEWHERE = Path(pydicom.__file__).parent / "data" / "test_files"


def ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("YCbCr"))


def grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def in_three(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(plane[..., None], 3, axis=2)


def without_marker(data: bytes) -> bytes:
    """Removes the first segment of a JPEG, in which JFIF or Adobe name the colour space."""
    assert data[2:4] in (b"\xff\xe0", b"\xff\xee")
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def rgb_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return jpeg(pixels, subsampling=0, keep_rgb=True)


def jpeg2000(pixels: NDArray[np.uint8], mct: int = 1) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True, mct=mct)
    return stream.getvalue()


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_raw_rgb_is_exact(tmp_path: Path, syntax: uid.UID, planar: int) -> None:
    pixels = gradient(*SIZE)
    stored = pixels.transpose(2, 0, 1) if planar else pixels
    path = write_dicom(tmp_path / "a.dcm", stored.tobytes(), SIZE, syntax=syntax, PlanarConfiguration=planar)
    assert np.array_equal(read_dicom(path), pixels)
    assert np.array_equal(read_photograph(path), pixels)
    assert photograph_size(path) == (90, 60)


@pytest.mark.parametrize("planar", [0, 1])
def test_raw_ybr_is_converted_once(tmp_path: Path, planar: int) -> None:
    stored = ycbcr(gradient(*SIZE))
    data = (stored.transpose(2, 0, 1) if planar else stored).tobytes()
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", data, SIZE, "YBR_FULL", PlanarConfiguration=planar))
    expected = np.asarray(Image.fromarray(stored, "YCbCr").convert("RGB"))
    assert int(np.abs(pixels.astype(int) - expected).max()) <= 1
    assert near(pixels, gradient(*SIZE), limit=1)


def test_raw_ybr_422_shares_colours_between_neighbours(tmp_path: Path) -> None:
    full = ycbcr(np.repeat(gradient(60, 45), 2, axis=1))
    pairs = np.stack([full[:, ::2, 0], full[:, 1::2, 0], full[:, ::2, 1], full[:, ::2, 2]], axis=2)
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", pairs.tobytes(), SIZE, "YBR_FULL_422"))
    assert near(pixels, np.repeat(gradient(60, 45), 2, axis=1), limit=1)


@pytest.mark.parametrize(
    ("frame", "colours"),
    [
        (jpeg(gradient(*SIZE)), "YBR_FULL_422"),
        (jpeg(gradient(*SIZE)), "RGB"),  # a wrong tag, often seen: JFIF is always YCbCr
        (without_marker(jpeg(gradient(*SIZE))), "YBR_FULL_422"),
        (without_marker(jpeg(gradient(*SIZE), subsampling=0)), "YBR_FULL"),
        (rgb_jpeg(gradient(*SIZE)), "RGB"),
        (without_marker(rgb_jpeg(gradient(*SIZE))), "RGB"),
    ],
)
@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_lossy_jpegs_are_converted_exactly_once(tmp_path: Path, frame: bytes, colours: str, syntax: uid.UID) -> None:
    path = write_dicom(tmp_path / "a.dcm", frame, SIZE, colours, syntax)
    assert near(read_dicom(path), gradient(*SIZE), limit=3)


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
def test_lossless_jpegs_need_no_plugin(tmp_path: Path, syntax: uid.UID) -> None:
    pixels = gradient(*SIZE)
    path = tmp_path / "a.dcm"
    assert np.array_equal(read_dicom(write_dicom(path, lossless_jpeg(pixels), SIZE, "RGB", syntax), 20), pixels)
    ybr = read_dicom(write_dicom(path, lossless_jpeg(ycbcr(pixels)), SIZE, "YBR_FULL", syntax))
    assert near(ybr, pixels, limit=1)
    one = read_dicom(write_dicom(path, lossless_jpeg(grey(pixels)), SIZE, "MONOCHROME2", syntax))
    assert np.array_equal(one, in_three(grey(pixels)))


def test_jpeg_2000_and_run_lengths_are_exact(tmp_path: Path) -> None:
    pixels = gradient(*SIZE)
    path = tmp_path / "a.dcm"
    for frame, colours in ((jpeg2000(pixels), "YBR_RCT"), (jpeg2000(pixels, mct=0), "RGB")):
        assert np.array_equal(read_dicom(write_dicom(path, frame, SIZE, colours, uid.JPEG2000Lossless)), pixels)
    for stored, colours in ((pixels, "RGB"), (ycbcr(pixels), "YBR_FULL")):
        frame = RLELosslessEncoder.encode(
            stored.tobytes(), rows=60, columns=90, samples_per_pixel=3, bits_allocated=8, bits_stored=8,
            pixel_representation=0, photometric_interpretation=colours, number_of_frames=1, planar_configuration=0,
        )  # fmt: skip
        assert near(read_dicom(write_dicom(path, frame, SIZE, colours, uid.RLELossless)), pixels, limit=1)


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
@pytest.mark.parametrize("name", sorted(path.name for path in MADE_ELSEWHERE.glob("SC_rgb_[djg]*.dcm")))
def test_files_of_dcmtk_and_gdcm_show_the_same_bars(name: str) -> None:
    if "jls" in name and not JPEGLSNearLosslessDecoder.is_available:
        pytest.skip("JPEG-LS needs a plugin of pydicom that retinagrade doesn't ask for")
    pixels = read_dicom(MADE_ELSEWHERE / name)
    bars = read_dicom(MADE_ELSEWHERE / "SC_rgb_rle.dcm")
    if pixels.shape != bars.shape:  # the other picture of that collection
        bars = read_dicom(MADE_ELSEWHERE / "SC_rgb_jpeg_dcmd.dcm")
    assert near(pixels, bars, limit=4)


@pytest.mark.parametrize("stored", [8, 10, 12, 16])
@pytest.mark.parametrize("colours", ["MONOCHROME1", "MONOCHROME2", "RGB"])
def test_depths_are_scaled_by_the_bits_stored_and_not_by_the_content(tmp_path: Path, colours: str, stored: int) -> None:
    shown = gradient(*SIZE) // 3  # a dark photograph stays dark
    levels = shown if colours == "RGB" else grey(shown)
    deep = (levels.astype(np.uint16) << (stored - 8)) + (1 << (stored - 8)) - 1
    deep |= 0xFFFF << stored & 0xFFFF  # bits above the stored ones have no meaning
    path = write_dicom(tmp_path / "a.dcm", deep.tobytes(), SIZE, colours, BitsAllocated=16, BitsStored=stored)
    expected = levels if colours == "RGB" else in_three(255 - levels if colours == "MONOCHROME1" else levels)
    assert np.array_equal(read_dicom(path), expected)


def test_few_bits_span_the_whole_range(tmp_path: Path) -> None:
    levels = np.tile(np.arange(16, dtype=np.uint8), (16, 1))
    path = write_dicom(tmp_path / "a.dcm", levels.tobytes(), (16, 16), "MONOCHROME2", BitsStored=4)
    assert np.array_equal(read_dicom(path), in_three(levels * 17))


@pytest.mark.parametrize("colours", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_jpegs(tmp_path: Path, colours: str) -> None:
    plane = grey(gradient(*SIZE))
    data = simplejpeg.encode_jpeg(plane[..., None], 95, colorspace="GRAY", colorsubsampling="Gray")
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", data, SIZE, colours, uid.JPEGBaseline8Bit))
    assert near(pixels, in_three(255 - plane if colours == "MONOCHROME1" else plane), limit=2)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("first", [0, 3])
def test_palettes_are_pillows(tmp_path: Path, depth: int, first: int) -> None:
    image = Image.fromarray(gradient(*SIZE)).quantize(200)
    indices = np.asarray(image)
    table = np.asarray(image.getpalette()).reshape(-1, 3)[:200]
    palette: dict[str, Any] = {}
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [200, first, depth]
        values = table[:, channel].astype("<u2") * 257 if depth == 16 else table[:, channel].astype(np.uint8)
        palette[f"{colour}PaletteColorLookupTableData"] = values.tobytes()
    path = write_dicom(tmp_path / "a.dcm", (indices + first).tobytes(), SIZE, "PALETTE COLOR", **palette)
    assert np.array_equal(read_dicom(path), np.asarray(image.convert("RGB")))


def test_indices_beyond_a_palette_take_its_nearest_end(tmp_path: Path) -> None:
    indices = np.tile(np.array([0, 299, 300, 301, 302, 303, 600, 65535], np.uint16), (20, 4))
    palette: dict[str, Any] = {"BitsAllocated": 16, "BitsStored": 16}
    for colour, table in (("Red", [1, 2, 3, 4]), ("Green", [10, 20, 30, 40]), ("Blue", [9, 8, 7, 6])):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 300, 8]
        palette[f"{colour}PaletteColorLookupTableData"] = bytes(table)
    pixels = read_dicom(write_dicom(tmp_path / "a.dcm", indices.tobytes(), (20, 32), "PALETTE COLOR", **palette))
    assert pixels[0, :8, 0].tolist() == [1, 1, 1, 2, 3, 4, 4, 4]
    assert pixels[0, :8, 1].tolist() == [10, 10, 10, 20, 30, 40, 40, 40]


def test_a_jpeg_frame_is_decoded_no_larger_than_asked(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", jpeg(gradient(400, 600)), (400, 600), "YBR_FULL_422", uid.JPEGBaseline8Bit)
    reduced = read_photograph(path, 100)
    assert 100 <= reduced.shape[0] < 200
    full = Image.fromarray(read_photograph(path)).resize((reduced.shape[1], reduced.shape[0]), Image.Resampling.BOX)
    assert near(reduced, np.asarray(full), limit=2)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"NumberOfFrames": 3}, "holds 3 frames: export"),
        ({"PixelRepresentation": 1}, "signed"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "odd bit depth"),
        ({"BitsStored": 0, "HighBit": 0}, "odd bit depth"),
        ({"BitsStored": 6, "HighBit": 7}, "don't begin with the lowest"),
        ({"colours": "HSV"}, "its colours are 'HSV'"),
        ({"SamplesPerPixel": 1}, "1 samples in RGB"),
        ({"colours": "YBR_ICT"}, "YBR_ICT without JPEG 2000"),
        ({"Rows": 65535, "Columns": 65535}, r"65535 × 65535 pixels are 4294\.8 megapixels, more than the limit of 150"),
        ({"Rows": 61}, "corrupt or unsupported Explicit VR Little Endian"),
        ({"Rows": 1, "Columns": 1}, "1 × 1 pixels are no photograph"),
        ({"colours": "PALETTE COLOR", "Rows": 180}, "corrupt"),
        ({"syntax": uid.MPEG2MPML}, "no decoder for MPEG2"),
    ],
)
def test_encodings_without_a_unique_conversion_are_refused(tmp_path: Path, elements: dict[str, Any], said: str) -> None:
    path = write_dicom(tmp_path / "odd.dcm", gradient(*SIZE).tobytes(), SIZE, **elements)
    with pytest.raises(ImageError, match=rf"odd\.dcm: .*{said}"):
        read_photograph(path)


def test_a_jpeg_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.dcm"
    with pytest.raises(ImageError, match="promises 60 × 90 pixels of 3 samples, its JPEG has 90 × 60"):
        read_dicom(write_dicom(path, jpeg(gradient(*SIZE)), (90, 60), "YBR_FULL", uid.JPEGBaseline8Bit))
    with pytest.raises(ImageError, match="promises 90 × 60 pixels of 1 samples, its JPEG has 90 × 60 in YCbCr"):
        read_dicom(write_dicom(path, jpeg(gradient(*SIZE)), SIZE, "MONOCHROME2", uid.JPEGBaseline8Bit))
    with pytest.raises(ImageError, match=r"odd\.dcm: corrupt JPEG"):
        read_dicom(write_dicom(path, jpeg(gradient(*SIZE))[:-300], SIZE, "YBR_FULL", uid.JPEGBaseline8Bit))
    with pytest.raises(ImageError, match=r"odd\.dcm: corrupt"):
        read_dicom(write_dicom(path, jpeg2000(gradient(*SIZE))[:-300], SIZE, "YBR_RCT", uid.JPEG2000Lossless))


@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGBaseline8Bit])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, syntax: uid.UID) -> None:
    pixels = gradient(*SIZE)
    data = jpeg(pixels) if syntax.is_encapsulated else pixels.tobytes()
    whole = write_dicom(tmp_path / "a.dcm", data, SIZE, "RGB", syntax).read_bytes()
    end = whole.rindex(b"\xff\xd9") + 2 if syntax.is_encapsulated else len(whole)
    cut = tmp_path / "cut.dcm"
    for length in [*range(132, end, 97), end - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"cut\.dcm: "):
            read_photograph(cut)


def test_files_without_a_photograph_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all" * 40)
    with pytest.raises(ImageError, match=r"a\.dcm: not a DICOM file"):
        read_dicom(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"a\.dcm: not a DICOM file"):
        read_dicom_facts(tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"b\.dcm: can't be read"):
        read_dicom_facts(tmp_path / "b.dcm")
    deflated = (MADE_ELSEWHERE / "image_dfl.dcm").read_bytes()
    for data in (deflated, b"\2\0\0\0UL" + deflated[6:], deflated[132:]):
        (tmp_path / "deflated.dcm").write_bytes(data)
        with pytest.raises(ImageError, match="deflated DICOM file may expand without limit"):
            read_photograph(tmp_path / "deflated.dcm")
    with pytest.raises(ImageError, match="no whole pixel data"):
        read_photograph(MADE_ELSEWHERE / "test-SR.dcm")


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "a.jpg", gradient(*SIZE).tobytes(), SIZE).read_bytes()
    assert is_dicom(whole)
    assert is_dicom(whole[:132])
    assert not is_dicom(whole[:131])
    assert not is_dicom(b"")
    assert not is_dicom(jpeg(gradient(*SIZE)))
    (tmp_path / "bare.dcm").write_bytes(whole[132:])
    assert is_dicom(whole[132:])
    assert np.array_equal(read_photograph(tmp_path / "bare.dcm"), gradient(*SIZE))
    assert read_dicom_facts(tmp_path / "bare.dcm").patient_key == read_dicom_facts(tmp_path / "a.jpg").patient_key


@pytest.mark.parametrize(
    ("image", "body", "side"),
    [
        ("L", None, "L"),
        ("R", "L", "R"),
        (None, "R", "R"),
        ("", "L", "L"),
        ("B", "L", None),
        ("U", None, None),
        (None, None, None),
    ],
)
def test_laterality(tmp_path: Path, image: str | None, body: str | None, side: str | None) -> None:
    said = {"ImageLaterality": image, "Laterality": body}
    elements = {name: value for name, value in said.items() if value is not None}
    path = write_dicom(tmp_path / "a.dcm", gradient(*SIZE).tobytes(), SIZE, **elements)  # type: ignore[arg-type]
    assert read_dicom_facts(path).laterality == side


def test_the_patient_has_a_key_and_the_id_stays_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = ("SECRET-7", "SECRET-7 ", "SECRET-8", "SECRET-é", "SECRET\\7", "SECRET-" * 30, "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = [
            write_dicom(tmp_path / f"{number}.dcm", gradient(*SIZE).tobytes(), SIZE, PatientID=patient)
            for number, patient in enumerate(ids)
        ]
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    facts, said = [], []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for path in paths:
            facts.append(read_dicom_facts(path))
            whole = path.read_bytes()
            for length in range(200, 1000, 50):
                path.write_bytes(whole[:length])
                for reads in (read_dicom_facts, read_photograph):
                    try:
                        reads(path)
                    except ImageError as error:
                        said.append(str(error))
    said += [str(warning.message) for warning in warned]
    assert len(said) > 50
    assert "secret" not in " ".join([*map(repr, facts), *said, caplog.text, *capfd.readouterr()]).lower()
    keys = [fact.patient_key for fact in facts]
    assert keys[0] == keys[1] == hashlib.sha256(b"SECRET-7").hexdigest()[:16]
    assert len(set(keys)) == len(ids) - 1
    assert keys[-1] is None
    assert len({fact.sop_instance_uid for fact in facts}) == len(ids)


@pytest.mark.parametrize("reads", [read_dicom_facts, read_dicom])
def test_an_id_that_is_not_text_is_never_decoded(
    tmp_path: Path, reads: Callable[[Path], object], recwarn: pytest.WarningsRecorder
) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(*SIZE).tobytes(), SIZE, SpecificCharacterSet="ISO_IR 192")
    path.write_bytes(path.read_bytes().replace(b"SECRET-7", b"\xff\xfe\x1b$B\\\\="))
    recwarn.clear()
    reads(path)
    assert not recwarn.list


def test_facts_of_a_file_without_elements(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(*SIZE).tobytes(), SIZE)
    dataset = pydicom.dcmread(path)
    for name in ("PatientID", "SOPInstanceUID"):
        delattr(dataset, name)
    dataset.save_as(path)
    assert read_dicom_facts(path) == DicomFacts()


def test_the_base_install_works_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(*SIZE).tobytes(), SIZE)
    code = "import sys, retinagrade.images.read; sys.exit('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for reads in (read_photograph, photograph_size, read_dicom_facts):
        with pytest.raises(ModuleNotFoundError) as error:
            reads(path)
        assert error.value.name == "pydicom"
