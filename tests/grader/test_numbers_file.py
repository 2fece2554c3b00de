"""The file of lesion numbers that `grade` writes beside its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retinagrade import Grader, grade
from retinagrade.errors import UsageError
from retinagrade.grader.numbers_file import NumbersFile
from retinagrade.lesion_maps.numbers import number_row
from tests.grader.graders import write_grader
from tests.grader.lesion_graders import draw_photograph, write_lesion_grader


@pytest.fixture(scope="module")
def lesion_grader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesion_grader(tmp_path_factory.mktemp("grader") / "lesions.onnx", 64)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photographs")
    files = [folder / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        Image.fromarray(draw_photograph(120 + 10 * number, 110)[0]).save(file)
    return files


def test_numbers_give_the_grade_again(lesion_grader: Path, photographs: list[Path], tmp_path: Path) -> None:
    results = grade(photographs, model=lesion_grader, out=tmp_path / "r.csv", numbers=tmp_path / "n.jsonl", gate="off")
    digest = results[0].grader_digest
    with NumbersFile(tmp_path / "n.jsonl", digest) as file:
        assert file.numbers.keys() == {grading.digest for grading in results}
        lesions = Grader.load(lesion_grader).metadata.lesions
        assert lesions is not None
        for grading in results:
            row = number_row(file.numbers[str(grading.digest)], lesions.model.grade.names)
            assert lesions.model.grade.probabilities(row[None])[0] == pytest.approx(grading.probabilities, abs=1e-6)
            assert np.isfinite([*file.numbers[str(grading.digest)].values()]).all()


def test_numbers_continue_with_the_table(lesion_grader: Path, photographs: list[Path], tmp_path: Path) -> None:
    table, numbers = tmp_path / "r.csv", tmp_path / "n.jsonl"
    grade(photographs[:1], model=lesion_grader, out=table)
    grade(photographs[:2], model=lesion_grader, out=table, numbers=numbers)
    first = numbers.read_bytes()
    assert first.count(b"\n") == 2  # the photograph without numbers was graded again
    numbers.write_bytes(first + b'{"half')  # as a killed call leaves it
    grade(photographs, model=lesion_grader, out=table, numbers=numbers)
    assert numbers.read_bytes().startswith(first)
    assert numbers.read_bytes().count(b"\n") == 3


def test_other_files_are_refused(lesion_grader: Path, photographs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("not ours\n")
    with pytest.raises(UsageError):
        grade(photographs, model=lesion_grader, numbers=other)
    grade(photographs[:1], model=lesion_grader, numbers=tmp_path / "n.jsonl")
    with pytest.raises(UsageError):
        NumbersFile(tmp_path / "n.jsonl", "another digest")
    with pytest.raises(UsageError):
        grade(photographs, model=write_grader(tmp_path / "whole.onnx"), numbers=tmp_path / "w.jsonl")
