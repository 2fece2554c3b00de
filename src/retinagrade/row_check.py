"""The check of a row of a table: some digits of the digest of its values, by which a changed row is known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

CHECK: Final = "check"
"""Name of the column with the checks; it is the last one."""
_DIGITS: Final = 12
CHECK_PATTERN: Final = rf"x[0-9a-f]{{{_DIGITS}}}"
_CHECK: Final = re.compile(CHECK_PATTERN)


def row_check(values: Mapping[str, Any]) -> str:
    """Returns the check of a row: a letter, so that no spreadsheet takes it for a number, and digits of its digest.

    Args:
        values: Values of JSON by column.

    Example:
        >>> row_check({"image_id": "7_left", "grade": 2}) == row_check({"grade": 2, "image_id": "7_left"})
        True
    """
    text = json.dumps(values, sort_keys=True)
    return f"x{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


def is_check(cell: str) -> bool:
    """Whether a cell looks like a check."""
    return _CHECK.fullmatch(cell.strip()) is not None
