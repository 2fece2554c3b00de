"""A Python process, and those that it starts, whose connections to other machines are refused and written down."""

from __future__ import annotations

import os
from pathlib import Path

_PATCH = """
import os
import socket

_LOOPBACK = ("127.", "::1", "localhost", "::ffff:127.")


def _refuse_others(name, address_of):
    original = getattr(socket, name) if name != "connect" else socket.socket.connect

    def watched(*arguments, **options):
        address = address_of(*arguments)
        if address is not None and not str(address).startswith(_LOOPBACK):
            with open(os.environ["WATCHED_NETWORK"], "a") as file:
                file.write(f"{name} {address}\\n")
            raise socket.gaierror(socket.EAI_AGAIN, "no network in this test")
        return original(*arguments, **options)

    if name == "connect":
        class Watched(socket.socket):
            connect = watched
        socket.socket = Watched
    else:
        setattr(socket, name, watched)


_refuse_others("getaddrinfo", lambda host, *_, **__: host)
_refuse_others("gethostbyname", lambda host: host)
_refuse_others("connect", lambda own, address: address[0] if isinstance(address, tuple) else None)
"""


def watched_environment(folder: Path) -> dict[str, str]:
    """Returns an environment in which Python processes may connect to this machine only.

    Args:
        folder: An empty folder. The file ``connections`` there gets a line for each refused connection or name, and
            ``home`` is the home folder.
    """
    (folder / "patch").mkdir()
    (folder / "home").mkdir()
    (folder / "patch" / "sitecustomize.py").write_text(_PATCH)
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [str(folder / "patch"), root, os.environ.get("PYTHONPATH")]))
    unset = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "HF_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    home = str(folder / "home")
    return {
        **inherited,
        "PYTHONPATH": path,
        "WATCHED_NETWORK": str(folder / "connections"),
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
    }


def refused(folder: Path) -> list[str]:
    """Returns the refused connections and names."""
    file = folder / "connections"
    return file.read_text().splitlines() if file.exists() else []
