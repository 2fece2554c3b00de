"""Numbers in environment variables."""

from __future__ import annotations

import math
import os

from retinagrade.errors import UsageError


def environment_number(name: str, default: float) -> float:
    """Returns the number in an environment variable, or the default where it isn't set or is empty.

    Raises:
        UsageError: The value is no number above 0.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"the environment variable {name} is {text!r}: set it to a number above 0, or unset it")
    return value
