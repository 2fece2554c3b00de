"""Outputs of a graph are results only where they are probabilities and finite maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retinagrade import Grader
from retinagrade.errors import GraderFileError
from retinagrade.grader.grade import grade
from retinagrade.grader.runtime import find_wrong_outputs
from tests.grader.graders import write_grader

SOFTMAX = "probabilities = Softmax <axis=1> (logits)"
MAPS = np.zeros((5, 2, 2), np.float32)


def instead(formula: str) -> Callable[[str], str]:
    """Returns a change of the graph: another way from scores to probabilities."""
    return lambda graph: graph.replace(SOFTMAX, formula)


WRONG = {
    "zeros": instead("probabilities = Sub (logits, logits)"),
    "NaN": instead("none = Sub (logits, logits) probabilities = Div (none, none)"),
    "infinity": instead("none = Sub (logits, logits) probabilities = Div (white, none)"),
    "negative": instead("lower = Neg (logits) probabilities = Sub (lower, white)"),
    "logits": instead("probabilities = Identity (logits)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_graph_without_probabilities_gives_error_rows(eyes: Path, tmp_path: Path, kind: str) -> None:
    file = write_grader(tmp_path / "wrong.onnx", WRONG[kind])
    results = grade(sorted(eyes.iterdir())[:2], model=file, out=tmp_path / "r.csv")
    assert results.needs_attention
    for grading in (*results, *Grader.load(file).grade(sorted(eyes.iterdir())[:2])):
        assert grading.predicted_grade is None
        assert grading.referable is None
        assert grading.needs_review
        assert "a person should look" in (grading.error or "")
    assert grade(sorted(eyes.iterdir())[:2], model=file, out=tmp_path / "r.csv").needs_attention


def test_a_wrong_saliency_map_is_no_result(eyes: Path, tmp_path: Path) -> None:
    maps = "saliency = Conv (cells, kernel)"
    file = write_grader(
        tmp_path / "wrong.onnx",
        lambda graph: graph.replace(
            maps, "raw = Conv (cells, kernel) none = Sub (raw, raw) saliency = Div (none, none)"
        ),
    )
    assert [each.predicted_grade for each in Grader.load(file).grade(sorted(eyes.iterdir())[:1])] == [None]


@pytest.mark.parametrize("count", [4, 6])
def test_a_graph_of_other_classes_is_refused(tmp_path: Path, count: int) -> None:
    def change(graph: str) -> str:
        slopes = ",".join(["1"] * 3 * count)
        offsets = ",".join(["0"] * count)
        graph = graph.replace("9,0,-3,0,1, -8,-4,0,5,9, 0,2,4,2,-9", slopes).replace("0,1,2,1,0", offsets)
        graph = graph.replace("float[3,5]", f"float[3,{count}]").replace("float[5] off", f"float[{count}] off")
        return graph.replace("float[N,5] prob", f"float[N,{count}] prob")

    with pytest.raises(GraderFileError, match="five probabilities"):
        Grader.load(write_grader(tmp_path / "other.onnx", change))


@pytest.mark.parametrize(
    ("probabilities", "fine"),
    [
        ([0.2, 0.2, 0.2, 0.2, 0.2], True),
        ([0.2, 0.2, 0.2, 0.2, 0.2009], True),
        ([0.2, 0.2, 0.2, 0.2, 0.21], False),
        ([1.1, 0, 0, 0, -0.1], False),
        ([1, 0, 0, 0], False),
        ([np.inf, 0, 0, 0, 0], False),
    ],
)
def test_probabilities_are_finite_not_negative_and_sum_to_1(probabilities: list[float], fine: bool) -> None:
    assert (find_wrong_outputs(np.array(probabilities, np.float32), MAPS) is None) == fine


def test_one_photograph_needs_no_list(eyes: Path, grader_file: Path) -> None:
    grader, path = Grader.load(grader_file), sorted(eyes.iterdir())[0]
    expected = grader.grade([path])
    assert grader.grade(path) == grader.grade(str(path)) == expected
    assert len(grader.grade(np.zeros((64, 64, 3), np.uint8))) == 1
    for wrong in (3, [3], b"bytes", [None], [[path]]):
        with pytest.raises(TypeError, match="give paths, or arrays"):
            grader.grade(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list of ids"):
        grader.grade(path, "id")
    with pytest.raises(ValueError, match="only 1 image_ids"):
        grader.grade([path, path], ["a"])
