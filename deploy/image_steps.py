"""Runs the steps of the Dockerfile in a Debian of its own, where there is no daemon that builds images.

    python deploy/image_steps.py FOLDER

Debian's Python stands for the base image. mmdebstrap (Debian package) makes FOLDER where there is none; it can be
deleted afterwards. Every COPY and RUN of the Dockerfile is carried out there with chroot. At the end, the service runs
as the user of the image, on a file system that nobody can write to, answers its health check and states its version. It
needs root.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_PACKAGES: Final = "python3,python3-venv,python-is-python3,ca-certificates"
_PORT: Final = 8000


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Returns the instructions of a Dockerfile with their arguments, without comments."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile).replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1].strip()) for line in text.splitlines() if line.strip()]


def copy(arguments: str, folder: Path, work: str) -> None:
    """Carries out COPY; what comes from an earlier stage is there already."""
    *sources, target = shlex.split(arguments)
    if sources[0].startswith("--from="):
        return
    into = folder / work.lstrip("/") / target
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, into, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, into)


def inside(folder: Path, command: str, path: str, work: str = "/") -> None:
    """Runs a shell command in the Debian, in a folder."""
    environment = {**_settings(), "PATH": path}
    subprocess.run(["chroot", folder, "sh", "-ec", f"cd {work} && {command}"], check=True, env=environment)


def serve(folder: Path, user: str, command: list[str], path: str) -> None:
    """Starts the service as the image does, and asks for its health and its version."""
    read_only = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    run = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    started = shlex.join(["chroot", str(folder), *run, *command])
    environment = {"PATH": path, "RETINAGRADE_TOKEN": "secret"}
    outside = ["unshare", "--mount", "sh", "-ec", f"{read_only} && exec {started}"]
    with subprocess.Popen(outside, env={**environment, "PATH": f"{path}:{os.environ['PATH']}"}) as service:
        try:
            check = f"from urllib.request import urlopen; urlopen('http://127.0.0.1:{_PORT}/healthz')"
            for _ in range(60):
                ask = ["chroot", str(folder), "python", "-c", check]
                if subprocess.run(ask, env=environment, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(1)
            else:
                raise SystemExit("the service does not answer")
        finally:
            service.terminate()


def _settings() -> dict[str, str]:
    """Returns what pip needs here: the package index of this machine, and its certificates."""
    kept = ("PIP_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_", "REQUESTS_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def main() -> None:
    """Makes the Debian and carries out the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.resolve()
    if not folder.exists():
        subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", folder], check=True)
    for name in ("pip.conf", "resolv.conf", "ssl/certs/ca-certificates.crt"):  # a machine's own package index
        if (Path("/etc") / name).exists():
            (folder / "etc" / name).write_bytes((Path("/etc") / name).read_bytes())
    work, user, path = "/", "0", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    command: list[str] = []
    for name, arguments in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        print(f"{name} {arguments[:100]}", file=sys.stderr)
        if name == "WORKDIR":
            work = arguments
            (folder / work.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "FROM":
            work = "/"
        elif name == "COPY":
            copy(arguments, folder, work)
        elif name == "RUN":
            inside(folder, arguments, path, work)
        elif name == "ENV":
            variable, value = arguments.split("=", 1)
            path = value.strip('"').replace("$PATH", path) if variable == "PATH" else path
        elif name == "USER":
            user = arguments
        elif name in ("ENTRYPOINT", "CMD"):
            command += re.findall(r'"(.*?)"', arguments)
    serve(folder, user, command, path)
    inside(folder, "retinagrade --version && rm -rf /build", path)


if __name__ == "__main__":
    main()
