"""A published example of DeLong's test: three predictors of the outcome of 113 subarachnoid haemorrhages.

Patients: N. Turck et al., "A multiparameter panel method for outcome prediction following aneurysmal subarachnoid
hemorrhage", Intensive Care Medicine 36(1), 2010. Areas under ROC curves depend on the order of the scores alone, so
what is here is that order: twice the middle rank of each patient among the 72 with a good outcome. It comes from the
placements that the R package pROC publishes in its tests beside the results of DeLong's test
(https://github.com/xrobin/pROC, ``tests/testthat/helper-deLongPlacementsCpp-expected.R`` and ``test-roc.test.R``).
"""

from __future__ import annotations

from typing import Final

import numpy as np

GOOD: Final = {
    "wfns": """
        37 37 37 37 140 37 94 94 37 94 94 37 37 37 94 37 94 37 37 117 128 37 128 37 140 140 37 37 94 128 37 37 94 94
        37 94 37 94 94 37 37 37 37 94 37 94 37 37 117 94 128 94 37 128 37 37 140 128 94 94 37 37 37 117 37 94 94 128
        128 37 37 37
    """,
    "s100b": """
        81 88 63 10 134 111 63 63 10 38 10 50 74 26 111 26 74 81 111 10 103 88 125 50 142 134 103 26 129 134 74 38
        50 38 10 81 63 88 96 10 10 50 10 50 38 103 50 38 123 74 119 26 63 121 26 10 117 127 63 96 38 88 63 26 10 111
        96 134 111 96 142 139
    """,
    "ndka": """
        1 38 30 68 15 109 15 120 100 120 113 139 44 15 85 15 15 143 91 54 54 120 4 30 15 49 96 30 106 136 30 15 85
        44 30 96 131 126 60 78 141 15 113 54 68 68 106 4 113 85 44 68 120 68 78 30 54 68 131 38 85 93 136 75 85 44
        131 60 103 126 15 100
    """,
}

POOR: Final = {
    "wfns": """
        117 94 128 140 140 140 140 94 140 94 37 94 140 128 128 94 140 140 140 94 140 94 140 94 128 140 128 128 37
        128 128 94 94 140 140 94 94 140 140 140 140
    """,
    "s100b": """
        81 63 103 78 130 144 140 26 123 50 26 128 126 139 144 118 144 144 144 26 144 120 0 50 116 144 118 144 38 118
        81 63 74 116 144 88 144 121 144 144 130
    """,
    "ndka": """
        116 90 98 110 6 40 74 134 140 134 134 58 104 124 24 36 102 2 144 124 62 74 80 102 128 93 124 36 142 109 6 49
        124 6 48 134 76 104 138 74 110
    """,
}
"""Patients with a good and with a poor outcome."""


def asah() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Whether the outcome was poor (113,), and the predictors' orders (113,) by name."""
    scores = {name: np.array([*GOOD[name].split(), *POOR[name].split()], dtype=int) for name in GOOD}
    return np.repeat([False, True], [72, 41]), scores
