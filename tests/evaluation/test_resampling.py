"""Areas under curves within parts, in resamples of patients."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from retinagrade.evaluation.resampling import resampled_auc_within


@given(st.integers(0, 1000))
def test_parts_are_not_compared_with_each_other(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truths, scores = np.arange(40) % 2 == 0, generator.normal(size=40).round(1)
    patients, parts = np.arange(40) // 4, np.repeat([0, 1], 20)
    one, _ = resampled_auc_within(truths, scores, patients, np.zeros(40, np.int64), resamples=1)
    assert np.isclose(one, roc_auc_score(truths, scores))
    two, values = resampled_auc_within(truths, scores, patients, parts, resamples=5)
    of_parts = [roc_auc_score(truths[parts == part], scores[parts == part]) for part in (0, 1)]
    assert np.isclose(two, np.mean(of_parts))
    shifted, same = resampled_auc_within(truths, scores + 100 * parts, patients, parts, resamples=5)
    assert np.isclose(shifted, two)
    assert np.allclose(same, values, equal_nan=True)
