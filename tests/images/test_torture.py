"""Any file, with any content and name, gives pixels or an ImageError that names it, and nothing else."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retinagrade.errors import ImageError
from retinagrade.images.read import photograph_size, read_photograph
from tests.images.damaged_files import DAMAGE, NAMES, damaged, no_photographs, whole_files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return whole_files(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hides warnings of Pillow and pydicom about files that they then refuse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def outcome(path: Path, min_side: int | None = None) -> NDArray[np.uint8] | str:
    """The pixels, checked to be a photograph, or the message, checked to name the file."""
    with suppress(ImageError):
        width, height = photograph_size(path)
        assert isinstance(width, int)
        assert isinstance(height, int)
    try:
        pixels = read_photograph(path, min_side, max_megapixels=1)
    except ImageError as error:
        message = str(error)
        return message if message.startswith(f"{path}: ") else pytest.fail(f"doesn't begin with its file: {message}")
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 16
    assert pixels.flags.writeable
    return pixels


def test_good_files_are_read_under_any_name(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        for called in (name, "wrong.png", "wrong.jpg", "without"):
            (tmp_path / called).write_bytes(data)
            assert isinstance(outcome(tmp_path / called), np.ndarray), name
    for called in NAMES:
        (tmp_path / called).write_bytes(whole["turned.jpg"])
        assert isinstance(outcome(tmp_path / called), np.ndarray)
        (tmp_path / called).write_bytes(b"text")
        assert isinstance(outcome(tmp_path / called), str)


def test_other_content_is_never_a_photograph(tmp_path: Path) -> None:
    for name, content in no_photographs().items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
        assert isinstance(outcome(tmp_path / f"{name}.jpg"), str), name
    (tmp_path / "folder.jpg").mkdir()
    assert "can't be read" in outcome(tmp_path / "folder.jpg")
    assert "can't be read" in outcome(tmp_path / "gone.jpg")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0)
        assert "Permission denied" in outcome(tmp_path / name)


def test_truncated_files_never_pass_for_whole_ones(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        path = tmp_path / name
        path.write_bytes(data)
        good = outcome(path)
        for share in np.linspace(0.01, 0.995, 25):
            path.write_bytes(data[: int(len(data) * share)])
            result = outcome(path)
            # A file may lose its end where that holds no pixels, such as tables (TIFF) or padding.
            assert isinstance(result, str) or np.array_equal(result, good), (name, share)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), damage=st.lists(DAMAGE, min_size=1, max_size=4), early=st.booleans(), scaled=st.booleans())
def test_corrupt_files_give_pixels_or_an_image_error(
    tmp_path: Path,
    whole: dict[str, bytes],
    data: st.DataObject,
    damage: list[tuple[str, float, int]],
    early: bool,
    scaled: bool,
) -> None:
    name = data.draw(st.sampled_from(sorted(whole)))
    path = tmp_path / name
    path.write_bytes(damaged(whole[name], damage, early))
    outcome(path, 20 if scaled else None)
