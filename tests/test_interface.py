"""The public interface of the package: complete, lazy, and free of frameworks until one is needed."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import retinagrade


def test_every_public_name_loads_and_is_documented() -> None:
    for name in set(retinagrade.__all__) - {"__version__"}:
        value = getattr(retinagrade, name)
        assert inspect.isclass(value) or inspect.isfunction(value), name
        assert value.__module__.startswith("retinagrade.")
        assert inspect.getdoc(value), name
    assert set(dir(retinagrade)) == set(retinagrade.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        retinagrade.no_such_name  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, json, retinagrade; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout))
    assert not loaded & {"torch", "numpy", "pandas", "cv2", "onnxruntime", "pydantic", "matplotlib", "typer"}


def test_public_functions_name_their_types() -> None:
    for name in set(retinagrade.__all__) - {"__version__"}:
        value = getattr(retinagrade, name)
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values()), name


@pytest.mark.parametrize(
    "order", [("explain", "retinagrade.explanations.cam"), ("export", "retinagrade.exporting.graph")]
)
def test_no_room_hides_a_function_of_its_name(order: tuple[str, str]) -> None:
    name, module = order
    code = f"import {module}, retinagrade; print(callable(retinagrade.{name}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"
