"""The place of a prepared photograph in its original, to draw results where they belong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from retinagrade.images.field_of_view import FieldOfView
from retinagrade.images.prepare import PreparationSettings

_LIBJPEG_PARTS = 8


@dataclass(frozen=True)
class Placement:
    """The square of a prepared photograph in its upright original.

    Attributes:
        left: Position of the square's left edge in the original, in pixels; negative where it begins outside.
        top: Position of its top edge.
        width: Width of the square in the original, in pixels.
        height: Height of the square in the original, in pixels.
        side: Side of the prepared photograph, in pixels.
    """

    left: float
    top: float
    width: float
    height: float
    side: int

    def to_original(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Converts points (…, 2), as x and y in pixels of the prepared photograph, to pixels of the original.

        Centres of pixels have whole coordinates.

        Example:
            >>> Placement(left=100, top=0, width=20, height=20, side=10).to_original(np.array([0.0, 4.5])).tolist()
            [100.5, 9.5]
        """
        scale = np.array([self.width, self.height]) / self.side
        return np.asarray((points + 0.5) * scale + np.array([self.left, self.top]) - 0.5, np.float64)

    def paste(self, mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
        """Brings a mask (S, S) of the prepared photograph into the pixels (height, width) of the original.

        A pixel of the original is marked where its centre lies in a marked pixel of the prepared photograph, or where
        the centre of a marked pixel lies in it, so that nothing small gets lost in an original with fewer pixels.
        """
        rows = np.floor((np.arange(height) + 0.5 - self.top) * self.side / self.height).astype(np.intp)
        columns = np.floor((np.arange(width) + 0.5 - self.left) * self.side / self.width).astype(np.intp)
        inner_rows, inner_columns = (np.flatnonzero((each >= 0) & (each < self.side)) for each in (rows, columns))
        pasted = np.zeros((height, width), np.bool_)
        pasted[np.ix_(inner_rows, inner_columns)] = mask[np.ix_(rows[inner_rows], columns[inner_columns])]
        marked = np.argwhere(mask)[:, ::-1].astype(np.float64)
        x, y = np.floor(self.to_original(marked) + 0.5).astype(np.intp).T
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        pasted[y[within], x[within]] = True
        return pasted

    def project(self, values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Enlarges a map of the square to the pixels of the original, by cubic interpolation.

        Args:
            values: Values (S, S) of the square, of at least 0, at any resolution.
            height: Height of the original, in pixels.
            width: Width of the original, in pixels.

        Returns:
            Values (height, width), at least 0, and 0 outside the square.
        """
        if self.width < values.shape[1]:  # a smaller original: averages, so that no small spot gets lost
            smaller = max(1, round(self.width)), max(1, round(self.height))
            values = np.asarray(cv2.resize(values, smaller, interpolation=cv2.INTER_AREA), np.float32)
        across, down = self.width / values.shape[1], self.height / values.shape[0]
        to_original = np.array([[across, 0, self.left + across / 2 - 0.5], [0, down, self.top + down / 2 - 0.5]])
        projected = cv2.warpAffine(
            values, to_original, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        columns, rows = np.arange(width) + 0.5 - self.left, np.arange(height) + 0.5 - self.top
        inside = np.outer((rows >= 0) & (rows < self.height), (columns >= 0) & (columns < self.width))
        return np.where(inside, np.asarray(projected, np.float32).clip(0), np.float32(0))

    def resized(self, side: int) -> Self:
        """Returns the place of the same square, resized to another side."""
        return replace(self, side=side)

    def enlarged(self, factor: float) -> Self:
        """Returns the place in an original that is larger by a factor."""
        return replace(
            self,
            left=self.left * factor,
            top=self.top * factor,
            width=self.width * factor,
            height=self.height * factor,
        )


def place_square(fov: FieldOfView, settings: PreparationSettings) -> Placement:
    """Returns the place of the square that :func:`~retinagrade.images.prepare.fit_photograph` makes.

    Args:
        fov: Field of view of the decoded photograph.
        settings: Size and crop.
    """
    size = settings.size
    if settings.square == "crop":
        side = min(fov.width, fov.height)
        return Placement(fov.x + (fov.width - side) // 2, fov.y + (fov.height - side) // 2, side, side, size)
    height, width = (max(1, round(length * size / fov.side)) for length in (fov.height, fov.width))
    across, down = fov.width / width, fov.height / height  # pixels of the original for one of the square
    return Placement(
        fov.x - (size - width) // 2 * across, fov.y - (size - height) // 2 * down, size * across, size * down, size
    )


def find_reduction(decoded: tuple[int, ...], size: tuple[int, int]) -> float:
    """Returns the number of the original's pixels for one of the decoded photograph's.

    libjpeg reduces by eighths, and rounds the sides up.

    Args:
        decoded: Height and width of the decoded photograph, upright.
        size: Width and height of the file's picture, before it was turned upright.

    Example:
        >>> find_reduction((712, 1072, 3), (4288, 2848))
        4.0
    """
    longer, original = max(decoded[:2]), max(size)
    return 1.0 if longer == original else _LIBJPEG_PARTS / round(_LIBJPEG_PARTS * longer / original)
