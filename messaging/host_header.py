"""Check a request's Host header, so that a foreign page cannot read ours through a browser on this host."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def is_own_host(host: str) -> bool:
    """Return whether *host* can only mean this host: an address, a name without a dot, or this host's name.

    *host* is the header's value, with or without a port; empty without a header, which browsers always send.

    This prevents DNS rebinding: a page of `evil.example`, whose name resolves to 127.0.0.1 a moment later,
    still sends `Host: evil.example`. An attacker who knows this host's name can register
    `<name>.evil.example` and pass this check.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    label, dot, _ = name.partition(".")
    if not dot or label == socket.gethostname().partition(".")[0].lower() != "localhost":
        return True
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def refuse_foreign_hosts(app: WSGIApplication) -> WSGIApplication:
    """Return *app* behind the check of every request's Host header."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_own_host(environ.get("HTTP_HOST", "")):
            return app(environ, start_response)
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"The Host header is neither an address nor a name of this host.\n"]

    return checked
