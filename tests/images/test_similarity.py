"""Copies are recognised after changes of the file; different photographs of the same eye are not copies."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity

from retinagrade.datasets.copies import CANDIDATE_BITS, CANDIDATE_CORRELATION, COPY_CORRELATION, SAME_EYE_CORRELATION
from retinagrade.datasets.synthetic.photograph import CameraModel, Complexion, draw_photograph
from retinagrade.grades import Grade
from retinagrade.images.field_of_view import find_field_of_view
from retinagrade.images.similarity import (
    descriptor,
    descriptor_correlations,
    perceptual_hash,
    thumbnail,
    thumbnail_correlation,
)


def photograph(seed: int, grade: int = 2, is_left: bool = False) -> NDArray[Any]:
    shared = np.random.default_rng((seed, 9))
    rng = np.random.default_rng(seed)
    return draw_photograph(rng, Grade(grade), is_left, 500, Complexion.draw(shared), CameraModel.draw(shared)).pixels


def compare(first: NDArray[Any], second: NDArray[Any]) -> tuple[int, float]:
    one, other = find_field_of_view(first), find_field_of_view(second)
    differing = perceptual_hash(first, one) ^ perceptual_hash(second, other)
    return int(np.bitwise_count(differing).sum()), thumbnail_correlation(
        thumbnail(first, one), thumbnail(second, other)
    )


def encoded(pixels: NDArray[Any], quality: int) -> NDArray[Any]:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


CHANGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "re-encoded": lambda pixels: encoded(pixels, 40),
    "half as large": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda pixels: cv2.resize(pixels, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
    "darker": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "cropped to the disc": lambda pixels: np.ascontiguousarray(pixels[:, 60:-60]),
    "on a larger black frame": lambda pixels: np.pad(pixels, ((40, 90), (70, 10), (0, 0))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_changed_photographs_are_copies(change: str, seed: int) -> None:
    original = photograph(seed)
    distance, alike = compare(original, CHANGES[change](original))
    assert distance <= CANDIDATE_BITS
    assert alike >= COPY_CORRELATION


@pytest.mark.parametrize("change", CHANGES)
def test_descriptors_of_copies_stay_similar_and_those_of_different_eyes_do_not(change: str) -> None:
    pixels = [photograph(seed) for seed in range(4)]
    descriptors = np.stack(
        [descriptor(one, find_field_of_view(one)) for one in [*pixels, *(CHANGES[change](one) for one in pixels)]]
    )
    copies = np.array([(number, number + 4) for number in range(4)])
    different = np.array([(0, 1), (1, 2), (2, 3), (0, 7), (3, 4)])
    assert (descriptor_correlations(descriptors, copies) >= CANDIDATE_CORRELATION).all()
    assert (descriptor_correlations(descriptors, different) < CANDIDATE_CORRELATION).all()


def test_descriptor_correlations_are_cosines_and_an_empty_descriptor_has_none() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.integers(-127, 128, (50, 1024)).astype(np.int8)
    descriptors[7] = 0
    pairs = rng.integers(0, 50, (40_000, 2))
    cosines = cosine_similarity(descriptors.astype(np.float64))[pairs[:, 0], pairs[:, 1]]
    np.testing.assert_allclose(descriptor_correlations(descriptors, pairs), cosines, atol=1e-5)


def test_different_photographs_are_not_similar() -> None:
    photographs = [photograph(seed, grade=seed % 5, is_left=bool(seed % 2)) for seed in range(12)]
    for index, first in enumerate(photographs):
        for second in photographs[index + 1 :]:
            assert compare(first, second)[1] < SAME_EYE_CORRELATION


def test_a_second_shot_of_the_same_eye_is_no_copy() -> None:
    """The camera has moved a little and turned, and the flash differs, as in a second shot or visit."""
    original = photograph(3)
    turn = cv2.getRotationMatrix2D((375, 250), 2.5, 1.0)
    turn[:, 2] += (9, -6)
    inside = original.max(axis=2, keepdims=True) > 12
    later = cv2.warpAffine(original, turn, (750, 500), borderMode=cv2.BORDER_REFLECT)
    assert compare(original, np.where(inside, later * 0.9, original).astype(np.uint8))[1] < COPY_CORRELATION
