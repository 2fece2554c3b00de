"""Errors of the operating system in words: the place, the reason and a remedy, in one line."""

from __future__ import annotations

import errno
import os
from json import JSONDecodeError
from pathlib import Path
from typing import Final

_FULL: Final = "the disk is full", "make room, and give the same command again"
_FORBIDDEN: Final = "there is no permission", "change its permissions, or choose another place"
_LOCKED: Final = "another program uses it", "close that program, and give the same command again"
_DEVICE: Final = "the disk or the network drive doesn't answer", "check it, and give the same command again"
_NETWORK: Final = "the network doesn't answer", "check address and network, and give the same command again"
_REASONS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("the quota of the disk is used up", "make room, and give the same command again"),
    errno.EROFS: ("the place is read-only", "choose another place"),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOENT: ("it doesn't exist", "check the name"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the name, or choose another place"),
    errno.EISDIR: ("it is a folder, not a file", "name a file"),
    errno.EEXIST: ("it exists already", "choose another name"),
    errno.ENOTEMPTY: ("the folder is not empty", "choose another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ELOOP: ("it is a link that leads to itself", "name the file itself"),
    errno.EINVAL: ("the name or the file can't be used", "choose another name"),
    errno.EILSEQ: ("the name has bytes that are no text", "rename it"),
    errno.EBUSY: _LOCKED,
    errno.ETXTBSY: _LOCKED,
    errno.EAGAIN: _LOCKED,
    errno.EDEADLK: _LOCKED,
    errno.ENOLCK: _LOCKED,
    errno.EIO: _DEVICE,
    errno.ENXIO: _DEVICE,
    errno.ENODEV: _DEVICE,
    errno.ESTALE: _DEVICE,
    errno.EFBIG: ("it is too large for this disk", "choose another disk"),
    errno.EMFILE: ("too many files are open", "allow more with `ulimit -n`, or use fewer --workers"),
    errno.ENFILE: ("too many files are open on this machine", "close other programs"),
    errno.ENOMEM: ("there is not enough memory", "close other programs, or use fewer --workers"),
    errno.EXDEV: ("it is on another disk", "choose a place on one disk"),
    errno.EADDRINUSE: ("another program uses this address", "choose another port"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "choose another address"),
    errno.ECONNREFUSED: _NETWORK,
    errno.ECONNRESET: _NETWORK,
    errno.EHOSTUNREACH: _NETWORK,
    errno.ENETUNREACH: _NETWORK,
    errno.ETIMEDOUT: _NETWORK,
}
"""Reason and remedy by the number of an error."""


def describe_os_error(error: OSError) -> str:
    """Describes an error of the operating system.

    Returns:
        Place, reason and remedy in one line, such as ``results/r.csv can't be used: the disk is full: make room, …``.
    """
    if _is_working_folder_gone():
        return "the working folder was deleted: change to another folder"
    reason, remedy = reason_and_remedy(error)
    place = error.filename2 or error.filename
    if place is None:
        return f"{reason}: {remedy}"
    name = os.fsdecode(place) if isinstance(place, str | bytes) else str(place)
    return f"{name} can't be used: {reason}: {remedy}"


def reason_and_remedy(error: OSError) -> tuple[str, str]:
    """Returns the reason of an error and what to do, in words."""
    known = _REASONS.get(error.errno) if error.errno is not None else None
    return known or (error.strerror or str(error) or type(error).__name__, "check the place, or choose another one")


def reason(error: Exception) -> str:
    """Returns the reason why a file can't be read, in words, for the message of another error.

    Example:
        >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv"))
        "it doesn't exist"
    """
    match error:
        case OSError():
            return reason_and_remedy(error)[0]
        case UnicodeError():
            return "it is not text in UTF-8"
        case JSONDecodeError():
            return f"line {error.lineno} is not valid JSON"
        case RecursionError():
            return "its values are nested too deeply"
        case MemoryError():
            return "it is too large for the memory"
        case KeyError():
            return f"it has no {error}"
    return " ".join(str(error).split()) or type(error).__name__


def _is_working_folder_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
