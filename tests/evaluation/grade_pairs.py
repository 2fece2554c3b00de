"""Pairs of grades and predicted grades, drawn by Hypothesis."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

LABELS: Final = list(range(5))
GradePairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@st.composite
def grade_pairs(draw: st.DrawFn) -> GradePairs:
    """Grades and predicted grades of the same 1 to 60 photographs."""
    size = draw(st.integers(1, 60))
    column = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    return np.array(draw(column)), np.array(draw(column))
