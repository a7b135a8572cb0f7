"""Call the Flask application for one whole request, as PEP 3333 has it."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from webhook_api.http import response as http_answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import WSGIApplication

    from webhook_api.http.request import Incoming


def respond(application: WSGIApplication, request: Incoming, peer: str, *, keep_alive: bool) -> bytes:
    """Return the application's whole response; HEAD gets its head only.

    Args:
        application: Called once.
        request: Read to its end.
        peer: The address of the other side of the connection.
        keep_alive: What the response says of the connection.
    """
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        started[:] = [(status, headers)]
        return started.append

    chunks: Iterable[bytes] = application(environ_of(request, peer), start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[0]
    head = http_answer.head_of(status, headers, keep_alive=keep_alive)
    return head if request.method == b"HEAD" else head + body


def environ_of(request: Incoming, peer: str) -> dict[str, Any]:
    """Return the WSGI environ of a request."""
    path, _, query = request.target.partition(b"?")
    body = request.body
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": peer,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
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
