"""The check of arguments: the right ones pass unchanged, wrong ones end in one error before any work."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import retinagrade
from retinagrade.arguments import AT_LEAST_ONE, SHARE, NumberRange, check_arguments
from retinagrade.errors import UsageError
from retinagrade.grader.grade import PathArgument
from retinagrade.grader.metadata import BUNDLED


@check_arguments(count=AT_LEAST_ONE, share=SHARE, advice={"table": "write the file of the table"})
def example(
    path: PathArgument = "x",
    *,
    count: int | None = None,
    share: float = 0.5,
    choice: Literal["a", "b"] = "a",
    names: Sequence[str] = (),
    grades: Mapping[str, int] | None = None,
    files: PathArgument | Iterable[PathArgument] = (),
    table: Path | None = None,
    flag: bool = False,
) -> dict[str, Any]:
    """Returns its arguments."""
    return locals()


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "x", "count": 3, "share": 0.1, "choice": "b", "names": ["x"], "grades": {"a": 1}, "flag": True},
        {"path": PurePosixPath("x"), "count": np.int64(3), "share": np.float32(0.5), "names": ("x", "y")},
        {"count": None, "share": 0.25, "files": ["x", Path("y")], "table": Path("x")},
        {"files": "x", "names": [], "grades": {}},
    ],
)
def test_right_arguments_pass_unchanged(arguments: dict[str, Any]) -> None:
    passed = example(**arguments)
    assert all(passed[name] is value for name, value in arguments.items())


def test_an_iterator_is_not_read() -> None:
    files = iter(["x", "y"])
    assert list(example(files=files)["files"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("path", 3, "path"),
        ("path", b"x", "path"),
        ("count", 0, "at least 1"),
        ("count", True, "whole number"),
        ("count", "5", "whole number"),
        ("count", 1.5, "whole number"),
        ("share", 1, "below 1"),
        ("share", float("nan"), "above 0"),
        ("share", None, "number"),
        ("choice", "A", "'a' or 'b'"),
        ("choice", np.arange(3), "'a' or 'b'"),
        ("names", "x=1", "['x=1']"),
        ("names", {"x": 1}, "['x=1']"),
        ("names", [1], "texts"),
        ("grades", {"a": "1"}, "dictionary"),
        ("files", 3, "list of paths"),
        ("files", {"x": 1}, "list of paths"),
        ("table", pd.DataFrame(), "the file of the table"),
        ("flag", "yes", "True or False"),
    ],
)
def test_a_wrong_argument_is_named_with_the_values_that_are_allowed(name: str, value: object, allowed: str) -> None:
    with pytest.raises(UsageError) as error:
        example(**{name: value})  # type: ignore[arg-type]
    message = str(error.value)
    assert message.startswith(f"example: {name}=")
    assert allowed in message
    assert "\n" not in message


@given(st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_a_range_holds_the_numbers_between_its_limits(number: float, low: float, high: float) -> None:
    assert (number in NumberRange(at_least=low, below=high)) == (low <= number < high)
    assert (number in NumberRange(above=low, up_to=high)) == (low < number <= high)


def test_the_decorated_function_looks_like_the_function() -> None:
    assert "count" in inspect.signature(example).parameters
    assert example.__doc__ == "Returns its arguments."
    with pytest.raises(TypeError, match="nothing"):
        example(nothing=1)  # type: ignore[call-arg]


FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "calibrate": ("table.csv",),
    "check": ("source",),
    "compare": (["one", "two"],),
    "cross_validate": ("prepared", "scratch-1", "out", 2),
    "ensemble": (["one", "two"], "out"),
    "evaluate": ("table.csv",),
    "evaluate_lesions": ("table.npz",),
    "explain": ("photograph.jpg", "run", "out"),
    "export": ("run", "out.onnx"),
    "find_learning_rate": ("prepared", "scratch-1", "out"),
    "fit_grades": ("maps", "out"),
    "grade": ("photographs",),
    "load_experiment": ("scratch-1",),
    "measure_lesion_agreement": ("masks", "run", "out"),
    "new_experiment": ("mine",),
    "outline": ("prepared", "run", "out"),
    "predict": ("prepared", "run"),
    "prepare": ("source", "out"),
    "serve": (),
    "split": ("prepared",),
    "sweep": ("prepared", ["scratch-1"], "out"),
    "synthesize": ("out", 3),
    "train": ("prepared", "scratch-1", "out"),
    "tune": ("prepared", "scratch-1", "out"),
}
"""Right positional arguments of each function, to which a wrong one by name is added."""
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("calibrate", {"rule": "Sensitivity"}),
    ("calibrate", {"method": "platt"}),
    ("calibrate", {"coverage": 1}),
    ("calibrate", {"target": 0}),
    ("check", {"quality": 5}),
    ("check", {"quality": "-1%"}),
    ("check", {"workers": 0}),
    ("check", {"engine": "slurm"}),
    ("compare", {"resamples": 0}),
    ("compare", {"split": 3}),
    ("cross_validate", {"settings": "training.epochs=3"}),
    ("ensemble", {"method": "median"}),
    ("ensemble", {"resamples": -1}),
    ("evaluate", {"resamples": -1}),
    ("evaluate", {"by": "camera"}),
    ("evaluate", {"prevalence": 10}),
    ("evaluate_lesions", {"resamples": -1}),
    ("explain", {"method": "grad-cam"}),
    ("explain", {"format": "png"}),
    ("explain", {"dpi": 0}),
    ("export", {"precision": "float64"}),
    ("export", {"tta": "no"}),
    ("find_learning_rate", {"steps": 0}),
    ("fit_grades", {"judge": "maps"}),
    ("grade", {"workers": 0}),
    ("grade", {"fast": 1}),
    ("load_experiment", {"settings": {"training.epochs": 3}}),
    ("measure_lesion_agreement", {"methods": "gradcam"}),
    ("measure_lesion_agreement", {"seed": -1}),
    ("new_experiment", {"backbone": 3}),
    ("outline", {"camera": "blur"}),
    ("predict", {"workers": -1}),
    ("predict", {"camera": "blur"}),
    ("prepare", {"contrast": "Clahe"}),
    ("prepare", {"square": "squash"}),
    ("prepare", {"size": "512"}),
    ("prepare", {"size": 0}),
    ("prepare", {"grade_names": {"healthy": "0"}}),
    ("serve", {"port": 70_000}),
    ("serve", {"allowed_hosts": "example.org"}),
    ("split", {"val": 1.0}),
    ("split", {"test": 1.5}),
    ("split", {"folds": 1}),
    ("split", {"seed": -1}),
    ("split", {"group_by": "eye"}),
    ("sweep", {"settings": "training.epochs=3"}),
    ("synthesize", {"size": 10}),
    ("synthesize", {"workers": 0}),
    ("synthesize", {"seed": -1}),
    ("train", {"devices": 4}),
    ("train", {"settings": {"training.epochs": 3}}),
    ("train", {"progress": "bar"}),
    ("tune", {"space": 3}),
    ("tune", {"space": {}, "metric": "kappa"}),
    ("tune", {"space": {}, "pruning": "always"}),
    ("tune", {"space": {}, "trials": 0}),
]


@pytest.mark.parametrize(("function", "wrong"), WRONG)
def test_no_public_function_begins_with_a_wrong_argument(
    function: str, wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        getattr(retinagrade, function)(*FUNCTIONS[function], **wrong)
    assert str(error.value).startswith(f"{function}: {list(wrong)[-1]}=")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda: retinagrade.evaluate(retinagrade.Run("runs/first")), "run.predictions_file('val')"),  # type: ignore[arg-type]
        (lambda: retinagrade.Predictions.read(retinagrade.Run("runs/first")), "run.predictions_file('val')"),  # type: ignore[arg-type]
        (lambda: retinagrade.calibrate(pd.DataFrame()), "CSV file"),  # type: ignore[arg-type]
        (lambda: retinagrade.grade(np.zeros((4, 4, 3), np.uint8)), "Grader.load().grade"),
        (lambda: retinagrade.ensemble("runs", "out"), "list"),
        (lambda: retinagrade.train("set", "scratch-1", "out", devices=4), "Devices(4)"),  # type: ignore[arg-type]
        (lambda: retinagrade.Run(3), "path"),  # type: ignore[arg-type]
        (lambda: retinagrade.Manifest.read(pd.DataFrame()), "path"),  # type: ignore[arg-type]
        (lambda: retinagrade.PreparedSet(3), "path"),  # type: ignore[arg-type]
        (lambda: retinagrade.Grader.load(3), "path"),  # type: ignore[arg-type]
    ],
)
def test_another_kind_of_argument_is_answered_with_the_right_one(call: Any, remedy: str) -> None:
    with pytest.raises(UsageError) as error:
        call()
    assert remedy in str(error.value)


def test_every_public_function_checks_its_arguments() -> None:
    functions = {name for name in retinagrade.__all__ if inspect.isfunction(getattr(retinagrade, name))}
    with_arguments = {name for name in functions if inspect.signature(getattr(retinagrade, name)).parameters}
    assert {name for name in with_arguments if not hasattr(getattr(retinagrade, name), "__wrapped__")} == set()


def test_classes_take_paths_as_text(tmp_path: Path) -> None:
    assert retinagrade.Run("x").folder == retinagrade.CrossValidation("x").folder == Path("x")
    file = tmp_path / "labels.csv"
    file.write_text("image_id,path\na,a.jpg\n", "utf-8")
    assert len(retinagrade.Manifest.read(str(file))) == 1
    assert retinagrade.Grader.load(str(BUNDLED)).metadata.name
