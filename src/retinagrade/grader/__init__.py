"""Grading with a single file and ONNX Runtime, without a deep-learning framework."""

from retinagrade.grader.results import Grading
from retinagrade.grader.runtime import Grader

__all__ = ["Grader", "Grading"]
