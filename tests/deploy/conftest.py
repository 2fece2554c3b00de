"""A grader file and photographs, as the tests of the service have them."""

from __future__ import annotations

from tests.service.conftest import eyes, grader_file

__all__ = ["eyes", "grader_file"]
