"""Grading by one file, with ONNX Runtime and no deep-learning framework."""

from retinagrade.grader.results import Grading
from retinagrade.grader.runtime import Grader

__all__ = ["Grader", "Grading"]
