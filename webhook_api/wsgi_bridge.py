"""Call the Flask application for one whole request, as PEP 3333 has it."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from webhook_api import http_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import WSGIApplication


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read to its end.

    Args:
        target: Path and query as they were sent.
        version: "1.1" or "1.0".
        headers: Lower-case names.
        peer: The address of the other side of the connection.
    """

    method: str
    target: bytes
    version: str
    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str


def respond(application: WSGIApplication, request: Request, *, keep_alive: bool) -> bytes:
    """Return the application's whole response; HEAD gets its head only."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        started[:] = [(status, headers)]
        return started.append

    chunks: Iterable[bytes] = application(environ_of(request), start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[0]
    head = http_answer.head_of(status, headers, keep_alive=keep_alive)
    return head if request.method == "HEAD" else head + body


def environ_of(request: Request) -> dict[str, Any]:
    """Return the WSGI environ of a request."""
    path, _, query = request.target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": request.peer,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif key not in {"CONTENT_LENGTH", "TRANSFER_ENCODING"}:
            environ[f"HTTP_{key}"] = value.decode("latin-1")
    return environ
