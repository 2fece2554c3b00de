"""The token that clients must send over HTTP."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from retinagrade.errors import UsageError
from retinagrade.service.hosts import serves_others


def choose_token(
    host: str, token: str | None, token_file: str | os.PathLike[str] | None, open_to_all: bool
) -> str | None:
    """Returns the token of a server; ``None`` where everybody may call.

    Args:
        host: Address on which the server listens.
        token: The token itself.
        token_file: File with the token, instead.
        open_to_all: Whether other machines may call without a token.

    Raises:
        UsageError: The token can't be read or sent in a header, there are two, or there is none, other machines reach
            the address, and nobody wants that.
    """
    if token_file is not None:
        token = _read_token(token_file, token)
    if token is None:
        if not open_to_all and serves_others(host):
            raise UsageError(
                f"other machines reach {host} without a token: set RETINAGRADE_TOKEN, or serve everybody with --open"
            )
    elif not token:
        raise UsageError("the token is empty: write a secret to RETINAGRADE_TOKEN or --token-file, or leave both out")
    elif token != token.strip() or not token.isprintable():
        raise UsageError(
            "the token has control characters, or a space at an end, which no header can carry: choose another token"
        )
    return token


def contains_token(sent: Iterable[str], token: str) -> bool:
    """Whether one of the values of headers is the token; the bytes of UTF-8 are compared, in constant time."""
    # Starlette decodes each byte of a header to one character.
    return any(secrets.compare_digest(each.encode("latin-1"), token.encode()) for each in sent)


def _read_token(path: str | os.PathLike[str], token: str | None) -> str:
    if token is not None:
        raise UsageError(f"there are two tokens: leave out {path} (--token-file), or unset RETINAGRADE_TOKEN")
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{path}: the token can't be read ({reason}): check --token-file") from error
