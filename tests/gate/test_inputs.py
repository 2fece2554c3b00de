"""The gate's inputs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retinagrade.gate.inputs import FRAME, SQUARE, gate_inputs, letterbox
from retinagrade.images.field_of_view import FieldOfView, whole_frame


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700))
def test_the_picture_fills_its_square(height: int, width: int) -> None:
    picture = np.full((height, width, 3), 200, np.uint8)
    frame, square = gate_inputs(picture, whole_frame(picture))
    for side, pixels in ((FRAME, frame), (SQUARE, square)):
        assert pixels.shape == (side, side, 3)
        assert pixels.dtype == np.uint8
        rows, columns = np.nonzero(pixels[..., 0])
        sizes = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(sizes) == side
        longer = max(height, width)
        # Each halving may leave out a last odd row or column.
        assert np.abs(np.subtract(sizes, (height * side / longer, width * side / longer))).max() <= 1.5
        assert abs((rows.min() + rows.max()) / 2 - (side - 1) / 2) <= 0.5
        assert abs((columns.min() + columns.max()) / 2 - (side - 1) / 2) <= 0.5


def test_only_the_field_of_view_fills_the_square() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[50:250, 100:300] = (180, 90, 30)
    fov = FieldOfView(100, 50, 200, 200, None, "background", 1.0, np.ones((300, 400), bool))
    frame, square = gate_inputs(picture, fov)
    assert (square == (180, 90, 30)).all()
    assert np.array_equal(frame, letterbox(picture, FRAME))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 1300), st.integers(1, 900))
def test_a_large_field_of_view_shows_what_it_would_show_alone(x: int, y: int, width: int, height: int) -> None:
    rows, columns = np.mgrid[:1201, :1601] / 200
    waves = np.stack([np.sin(rows + columns), np.cos(rows), np.sin(columns)], axis=-1)
    picture = np.asarray(127 + 100 * waves, np.uint8)
    fov = FieldOfView(x, y, width, height, None, "background", 1.0, np.ones((1201, 1601), bool))
    frame, square = gate_inputs(picture, fov)
    assert np.array_equal(frame, letterbox(picture, FRAME))
    alone = letterbox(picture[y : y + height, x : x + width], SQUARE)
    assert np.abs(square.astype(int) - alone).mean() < 2  # of 200 grey levels: halves begin at even rows and columns


def test_inputs_hardly_depend_on_the_size_of_the_photograph() -> None:
    small = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    sizes = [np.repeat(np.repeat(small, times, 0), times, 1) for times in (16, 64)]
    pairs = zip(*(gate_inputs(each, whole_frame(each)) for each in sizes), strict=True)
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(200, 1500), st.floats(0.5, 2))
def test_reduced_pictures_are_like_those_of_pillow(height: int, ratio: float) -> None:
    width = round(ratio * height)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(each) for each in (9 * x + y, 7 * y, 5 * (x - y))], axis=-1)
    picture = np.asarray(127 + 120 * waves, np.uint8)
    size = max(1, round(width * SQUARE / max(width, height))), max(1, round(height * SQUARE / max(width, height)))
    expected = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), int)
    top, left = (SQUARE - size[1]) // 2, (SQUARE - size[0]) // 2
    reduced = letterbox(picture, SQUARE)[top : top + size[1], left : left + size[0]]
    assert np.abs(reduced - expected).mean() < 8  # of 240 grey levels: halving leaves out the last odd row or column
