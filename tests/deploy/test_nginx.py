"""The service behind nginx, with the file of deploy/: TLS, accounts, token, limits, and the page under /retina/."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.programs import require_program
from tests.service.served import served

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "grading.example"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def proxied(grader_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of nginx, which runs with the file of deploy/ but for ports and places."""
    nginx, openssl = require_program("nginx", "nginx-light"), require_program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("nginx")
    run = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    names = ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/fullchain.pem"]
    subprocess.run([openssl, *run, *names], check=True, capture_output=True)
    hashed = subprocess.run([openssl, "passwd", "-apr1", "word"], check=True, capture_output=True, text=True).stdout
    (folder / "retinagrade.users").write_text(f"nurse:{hashed}")
    (folder / "token").write_text("secret\n")
    options = ("--allowed-hosts", NAME, "--token-file", str(folder / "token"))
    with served(grader_file, *options) as service:
        port = free_port()
        server = CONFIGURATION.read_text(encoding="utf-8")
        for shipped, here in {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/retinagrade": str(folder),
            "/etc/nginx": str(folder),
            "http://127.0.0.1:8000": service.url,
        }.items():
            assert shipped in server
            server = server.replace(shipped, here)
        places = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root; " if os.geteuid() == 0 else ""  # others can't read the folders of tests
        (folder / "nginx.conf").write_text(
            f"{user}daemon off; pid {folder}/pid; worker_processes 1; error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log {folder}/access.log;\n{places}{server}}}\n"
        )
        with subprocess.Popen([nginx, "-c", folder / "nginx.conf", "-p", folder]) as process:
            try:
                trusted = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
                base = f"https://127.0.0.1:{port}"
                transport = httpx2.HTTPTransport(verify=trusted)
                with httpx2.Client(base_url=base, headers={"Host": NAME}, transport=transport, timeout=60) as client:
                    yield _when_ready(client)
            finally:
                process.terminate()


def _when_ready(client: httpx2.Client) -> httpx2.Client:
    for _ in range(100):
        try:
            client.get("/retina/healthz", extensions={"sni_hostname": NAME})
        except httpx2.HTTPError:
            time.sleep(0.1)
        else:
            return client
    raise AssertionError("nginx does not answer")


@pytest.mark.slow
def test_accounts_token_and_limits_stand_beside_each_other(proxied: httpx2.Client, eyes: list[Path]) -> None:
    def ask(
        method: str, path: str, account: str | None = "nurse:word", token: str | None = "secret", **content: Any
    ) -> httpx2.Response:
        headers = {} if token is None else {"X-API-Key": token}
        if account is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(account.encode()).decode()}"
        return proxied.request(method, path, headers=headers, extensions={"sni_hostname": NAME}, **content)

    assert ask("GET", "/retina").headers["location"].endswith("/retina/")
    assert ask("GET", "/retina/healthz", None, None).json() == {"status": "alive"}
    assert ask("GET", "/retina/readyz", None, None).status_code == 200
    assert ask("GET", "/retina/", None, None).status_code == 401
    assert ask("GET", "/retina/", "nurse:other").status_code == 401
    page = ask("GET", "/retina/", token=None)
    assert page.headers["strict-transport-security"]
    assert 'src="page/page.js"' in page.text  # relative, so that it works below /retina/
    assert ask("GET", "/retina/page/page.js").status_code == 200
    assert ask("GET", "/retina/v1/model", token=None).json()["detail"] == "this service needs its token"
    assert ask("HEAD", "/retina/v1/model").status_code == 200
    assert ask("GET", "/retina/metrics").status_code == 404
    sent = {"photographs": ("7_left.jpg", eyes[0].read_bytes())}
    graded = ask("POST", "/retina/v1/grade", files=sent)
    assert graded.json()["photographs"][0]["grading"]["predicted_grade"] is not None
    assert ask("POST", "/retina/v1/grade", content=bytes(66 << 20)).status_code == 413
