"""Dust on a camera: `grade` finds it where many photographs have a red lesion at the same place, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import retinagrade
from retinagrade import Validation
from retinagrade.cli import app
from tests.grader.lesion_graders import MARKS, RETINA, write_lesion_grader

SIDE = 256


def draw(folder: Path, number: int, dust: bool) -> Path:
    """Draws an eye with three haemorrhages anywhere, and dust at one place."""
    rng = np.random.default_rng(number)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    cv2.circle(picture, (SIDE // 2, SIDE // 2), SIDE // 2 - 4, RETINA, -1)
    places = [(int(x), int(y)) for x, y in rng.integers(70, SIDE - 70, (3, 2))]
    for place in [*places, (80, 90)] if dust else places:
        cv2.circle(picture, place, 5, MARKS["haemorrhages"], -1)
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), picture[..., ::-1])
    return path


@pytest.fixture(scope="module")
def grader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lesion_grader(tmp_path_factory.mktemp("grader") / "grader.onnx")


@pytest.mark.parametrize(("dusty", "marks"), [(16, 1), (12, 1), (5, 0), (0, 0)])
def test_dust_is_counted(grader: Path, tmp_path: Path, dusty: int, marks: int) -> None:
    photographs = [draw(tmp_path / "eyes", number, number < dusty) for number in range(16)]
    results = retinagrade.grade(photographs, model=grader)
    assert all(each.haemorrhages for each in results)
    assert len(results.marks) == marks
    assert all(dusty <= each.photographs <= dusty + 2 for each in results.marks)  # lesions may lie there by chance
    assert all(abs(each.x - 80 / SIDE) < 0.03 and abs(each.y - 90 / SIDE) < 0.03 for each in results.marks)
    assert (results.dust is not None) == (results.dust in results.attentions) == bool(marks)


def test_copies_of_a_photograph_are_no_dust(grader: Path, tmp_path: Path) -> None:
    first = draw(tmp_path / "eyes", 0, dust=True)
    for number in range(1, 16):
        first.with_name(f"{number}.png").write_bytes(first.read_bytes())
    assert not retinagrade.grade(tmp_path / "eyes", model=grader).marks


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_so(grader: Path, tmp_path: Path, as_json: bool) -> None:
    for number in range(16):
        draw(tmp_path / "eyes", number, dust=True)
    arguments = ["grade", str(tmp_path / "eyes"), "--model", str(grader), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "dust" in (result.stderr if as_json else result.stdout)
    assert not as_json or len(json.loads(result.stdout)) == 16


def test_a_validation_says_so_and_remembers_it(grader: Path, tmp_path: Path) -> None:
    ids = [draw(tmp_path / "eyes", number, dust=True).stem for number in range(20)]
    labels = tmp_path / "labels.csv"
    labels.write_text("image_id,grade\n" + "".join(f"{each},{int(each) % 5}\n" for each in ids))

    def validated(*, overwrite: bool = False) -> Validation:
        out = tmp_path / "report"
        return retinagrade.validate(
            tmp_path / "eyes", labels=labels, out=out, model=grader, resamples=200, overwrite=overwrite
        )

    first = validated()
    assert first.dust is not None
    assert first.dust in first.attention
    assert first.dust[1:] in first.page.read_text("utf-8")
    assert validated().dust == first.dust  # although that call graded nothing
    (first.folder / "validation.json").write_text("{cut off", "utf-8")
    assert validated().dust is None  # nothing is left that knows
    for number in range(20):
        draw(tmp_path / "eyes", number, dust=False)
    assert validated(overwrite=True).dust is None
