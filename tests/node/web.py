"""A node over HTTP, and an archive that speaks DICOMweb, for tests."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from retinagrade.node.node import Node
from retinagrade.node.settings import NodeSettings
from retinagrade.node.web_app import WebAccess, make_app, make_server
from retinagrade.service.server import open_socket


@contextmanager
def served(node: Node, settings: NodeSettings, access: WebAccess) -> Iterator[str]:
    """Serves a node over HTTP while the block lasts, and stops it afterwards; yields its address."""
    server = make_server(make_app(node, settings, access), settings.tls)
    listener = open_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"{'https' if server.config.is_ssl else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def encode_parts(parts: Sequence[bytes], boundary: str = "limit") -> bytes:
    """Encodes the parts of a request."""
    opening = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(opening + part for part in parts) + f"\r\n--{boundary}--\r\n".encode()


Reply = tuple[int, dict[str, Any] | None]


@dataclass
class WebServer:
    """An archive that speaks DICOMweb, and notes what it gets.

    Attributes:
        url: Its base URL.
        reply: Returns status and body for the bytes of an object; ``None`` hangs up.
        headers: Headers of each request.
        digests: Digest of each object that came, in order.
    """

    url: str = ""
    reply: Callable[[bytes], Reply | None] = lambda _: (200, None)
    headers: list[dict[str, str]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """Runs an archive while the block lasts."""
    notes = WebServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = message_from_bytes(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body)
            parts = message.get_payload()
            assert isinstance(parts, list)
            assert isinstance(parts[0], Message)
            data = parts[0].get_payload(decode=True)
            assert isinstance(data, bytes)
            assert len(parts) == 1
            assert self.path == "/dicom-web/studies"
            notes.headers.append(dict(self.headers))
            notes.digests.append(hashlib.sha256(data).hexdigest())
            reply = notes.reply(data)
            if reply is None:
                self.close_connection = True
                return
            status, answer = reply
            text = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    notes.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield notes
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
