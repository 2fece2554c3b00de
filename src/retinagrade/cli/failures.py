"""The one place where a command's errors become a line on standard error and exit code 2."""

from __future__ import annotations

import codecs
import os
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import requires
from typing import IO, Final

from retinagrade.cli.console import discard_output, error_console
from retinagrade.errors import RetinagradeError
from retinagrade.storage.system_errors import describe_os_error

DISTRIBUTIONS: Final = {"sklearn": "scikit-learn", "upath": "universal-pathlib", "cv2": "opencv-python-headless"}
"""Distributions whose names differ from the names of their modules by more than a hyphen."""
NOT_DONE: Final = 2
_PLAIN: Final = {"–": "-", "—": "-", "−": "-", "×": "x", "…": "...", "±": "+/-", "≥": ">=", "≤": "<=", "→": "->",
                 "“": '"', "”": '"', "’": "'", "•": "*"}  # fmt: skip
"""Plain characters in place of those that an encoding may not have."""


def make_output_safe() -> None:
    """Makes standard output and standard error accept every character, in any encoding, and be there at all."""
    codecs.register_error("retinagrade", _replace_plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # open until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="retinagrade")


def finish_output() -> None:
    """Writes out what waits in standard output; a reader that has gone is no error.

    Raises:
        OSError: The output can't be written, such as to a full disk.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            discard_output(stream)
        except OSError as error:
            _discard_quietly(stream)
            error.filename = error.filename or "the output"
            raise


def report(error: BaseException, debug: bool) -> None:
    """Prints an error as one line, and before it the traceback if ``debug`` is set."""
    if debug:
        traceback.print_exception(error)
    error_console().print(f"error: {describe(error)}", style="red")


def describe(error: BaseException) -> str:
    """Describes an error with place, reason and remedy.

    Args:
        error: An error of retinagrade, of the operating system, of memory or of text; any other one is a bug.
    """
    match error:
        case RetinagradeError():
            return str(error)
        case ModuleNotFoundError() if (extra := extra_of(module := (error.name or "").split(".")[0])) is not None:
            return f"this command needs {module}, which the base install leaves out: pip install 'retinagrade[{extra}]'"
        case OSError():
            return describe_os_error(error)
        case UnicodeEncodeError() | UnicodeDecodeError():
            return f"a name or a text is not in {error.encoding}: rename the file, or save the table as UTF-8"
        case MemoryError():
            return "there is not enough memory: close other programs, use fewer --workers, or smaller photographs"
        case RecursionError():
            return "values are nested too deeply: look at the files that the command reads"
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (
        f"unexpected {name}{f': {text}' if text else ''}: this is a fault of retinagrade: give the command again with "
        "--debug, and report the output"
    )


def extra_of(module: str, requirements: Iterable[str] | None = None) -> str | None:
    """Finds the smallest extra that installs a module.

    Args:
        module: Name of a top-level module.
        requirements: The requirements of a distribution, as its metadata has them; by default those of retinagrade.

    Returns:
        The name of the extra; ``None`` where no extra names the module's distribution.

    Example:
        >>> extra_of("sklearn", ["scikit-learn>=1.5; extra == 'evaluate'", "numpy>=2.0"])
        'evaluate'
    """
    distribution = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    extras: dict[str, set[str]] = defaultdict(set)
    for requirement in requires("retinagrade") or [] if requirements is None else requirements:
        if match := re.match(r"([\w.-]+).*; extra == '([\w-]+)'", requirement):
            extras[match[2]].add(match[1])
    return min(
        (extra for extra, packages in extras.items() if distribution in packages and extra != "dev"),
        key=lambda extra: len(extras[extra]),
        default=None,
    )


def _replace_plainly(error: UnicodeError) -> tuple[str, int]:
    """Handles characters that an encoding lacks: a plain one takes their place, or an escape that JSON reads, too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    failed = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or _escape(character) for character in failed), error.end


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _discard_quietly(stream: IO[str]) -> None:
    try:
        discard_output(stream)
        stream.flush()
    except OSError:
        return
