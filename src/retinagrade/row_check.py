"""The check of a row of a table: some digits of the digest of its values, by which a changed row is known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

CHECK: Final = "check"
"""Name of the column with the checks; it is the last one."""
_DIGITS: Final = 12
_SHOWN: Final = 5
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


def count_changed(places: Sequence[str]) -> str:
    """Returns how many rows of a table were changed, for the message about the first one; nothing for a single row.

    Args:
        places: The places of the changed rows, in their order.

    Example:
        >>> count_changed(["line 2"]), count_changed(["line 2", "line 5"])
        ('', '; 2 rows were changed (line 2, line 5)')
    """
    if len(places) == 1:
        return ""
    more = ", …" if len(places) > _SHOWN else ""
    return f"; {len(places)} rows were changed ({', '.join(places[:_SHOWN])}{more})"


def is_check(cell: str) -> bool:
    """Whether a cell looks like a check."""
    return _CHECK.fullmatch(cell.strip()) is not None
