"""The names by which clients may call the service: a page elsewhere can lead a browser here under a name of its own."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from retinagrade.errors import UsageError

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine for itself."""
ANY: Final = "*"
"""Stands for every name."""


def allowed_hosts(host: str, further: Iterable[str]) -> frozenset[str] | None:
    """Returns the names by which a service may be called.

    Args:
        host: Name or address that the service listens on.
        further: Further names; ``*`` for all.

    Returns:
        The names in lower case; ``None`` for all.

    Raises:
        UsageError: A name is empty, or has a port or a path.
    """
    names = [name.strip().lower() for name in further]
    for name in names:
        if not name or "/" in name or (":" in name and not _is_address(name)):
            raise UsageError(f"allowed hosts: {name!r} is no name of a machine: leave out scheme, port and path")
    if ANY in names:
        return None
    return LOOPBACK | {host.lower(), *names}


def is_allowed(scope: Scope, allowed: frozenset[str] | None) -> bool:
    """Whether a request calls the service by a name that is allowed, or by the address that it reached.

    A request without a name, which HTTP/1.0 knows, comes from no browser and is allowed.
    """
    if allowed is None:
        return True
    header = Headers(scope=scope).get("host")
    if header is None:
        return True
    name = _without_port(header.strip().lower())
    server = scope.get("server")
    return name in allowed or (_is_address(name) and (_is_loopback(name) or (server is not None and name == server[0])))


def serves_others(host: str) -> bool:
    """Whether a service on this address can be reached from other machines.

    Raises:
        UsageError: The name is unknown.
    """
    try:
        addresses = {str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UsageError(f"can't listen on {host}: {error.strerror or error}") from error
    return not all(_is_loopback(address) for address in addresses)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
