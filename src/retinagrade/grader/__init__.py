"""Grading with a single file and ONNX Runtime, without a deep-learning framework."""

from retinagrade.grader.runtime import Grader
from retinagrade.gradings.grading import Grading

__all__ = ["Grader", "Grading"]
