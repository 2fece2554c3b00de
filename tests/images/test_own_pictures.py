"""Pictures that retinagrade made are recognised by their mark, and stay pictures that every program reads."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from retinagrade.images.listing import list_folder
from retinagrade.images.own_pictures import is_own_picture, mark_jpeg, mark_png, own_source

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
JPEG = simplejpeg.encode_jpeg(PIXELS, 90)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


@pytest.mark.parametrize(("picture", "mark"), [(JPEG, mark_jpeg), (PNG, mark_png)])
def test_a_mark_changes_no_pixel_and_names_the_photograph(tmp_path: Path, picture: bytes, mark: object) -> None:
    assert callable(mark)
    path = tmp_path / "picture"
    for source in ("", "ab" * 32):
        path.write_bytes(mark(picture, source))
        assert own_source(path) == source
        before, after = (np.asarray(Image.open(io.BytesIO(data))) for data in (picture, path.read_bytes()))
        assert (before == after).all()
    path.write_bytes(picture)
    assert not is_own_picture(path)
    assert not is_own_picture(tmp_path / "absent")
    assert not is_own_picture(tmp_path)


def test_a_folder_lists_them_as_left_out(tmp_path: Path) -> None:
    (tmp_path / "heat").mkdir()
    (tmp_path / "7_left.jpg").write_bytes(JPEG)
    (tmp_path / "heat" / "7_left.jpg").write_bytes(mark_jpeg(JPEG))
    (tmp_path / "heat" / "map.png").write_bytes(mark_png(PNG))
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.photographs] == ["7_left.jpg"]
    assert [each.file for each in listing.left_out] == ["heat/7_left.jpg", "heat/map.png"]
    assert not any(each.may_be_photograph for each in listing.left_out)
