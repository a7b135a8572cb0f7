"""Check a request's Host header, so that a foreign web page cannot read our pages through a local browser."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def is_own_host(host: str) -> bool:
    """Return whether *host* is an address, a name without a dot, or this host's name with any domain.

    *host* is the header's value, with or without a port, or "" if there is none; browsers always send one.

    This prevents DNS rebinding: if `evil.example` resolves to 127.0.0.1 after its page has loaded, the page's
    requests still contain `Host: evil.example`. However, an attacker who knows this host's name can register
    `<name>.evil.example`, which passes this check.
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
    """Return a WSGI application that checks each request's Host header before it calls *app*."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if is_own_host(environ.get("HTTP_HOST", "")):
            return app(environ, start_response)
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"The Host header is neither an address nor a name of this host.\n"]

    return checked
