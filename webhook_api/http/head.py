"""Check the head of a request against RFC 9110 and RFC 9112, in addition to the parser's own checks."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from webhook_api.http.response import Response

MAX_LENGTH_DIGITS: Final = 19
"""Maximum number of digits in a Content-Length; Python refuses to parse numbers with thousands of digits."""

MAX_KNOWN_NAMES: Final = 512
"""Limit on the cached header names, so that a sender that keeps inventing names cannot exhaust memory."""

VERSIONS: Final = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}

MALFORMED: Final = Response(400, "malformed request")
TOO_LARGE: Final = Response(413, "body too large")
HEAD_TOO_LARGE: Final = Response(431, "request head too large")
NOT_SUPPORTED: Final = Response(505, "http version not supported")
UNKNOWN_CODING: Final = Response(501, "transfer coding not implemented")

SINGLE_KEYS: Final = {"HTTP_HOST", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}
"""The WSGI keys of headers that may occur only once; a second one makes a request ambiguous."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)


def environ_key(name: str) -> str:
    """Return the WSGI environ key of a header's name."""
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


class _Keys(dict[bytes, str]):
    """Maps header names to WSGI keys. The key is empty if the header must be ignored.

    WSGI maps `X-Signature` and `X_Signature` to the same key, but a proxy might check only `X-Signature`.
    """

    def __missing__(self, name: bytes) -> str:
        if b"_" in name:
            return ""
        key = environ_key(name.decode("latin-1"))
        if len(self) < MAX_KNOWN_NAMES:
            self[name] = key
        return key


KEYS: Final = _Keys()


def find_fault(environ: Mapping[str, str], version: str, max_body_bytes: int) -> Response | None:
    """Return the response that refuses a request because of its head; None if the head is acceptable."""
    if version not in VERSIONS:
        return NOT_SUPPORTED if version == "2.0" else MALFORMED
    host = environ.get("HTTP_HOST")
    if (version == "1.1") if host is None else not _is_host(host):
        return MALFORMED
    length = environ.get("CONTENT_LENGTH")
    if length is not None:
        if len(length) > MAX_LENGTH_DIGITS:
            return MALFORMED
        if int(length) > max_body_bytes:
            return TOO_LARGE
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is None:
        return None
    is_known = coding.lower() == "chunked"
    return MALFORMED if version == "1.0" else None if is_known else UNKNOWN_CODING


@lru_cache(maxsize=64)
def parse_request_line(method: bytes, target: bytes, version: str) -> Mapping[str, str]:
    """Return the environ entries of a request line, with HTTP_HOST only if the request target has a host."""
    host, path, query = _split_target(target)
    line = {
        "REQUEST_METHOD": method.decode("latin-1"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": VERSIONS[version],
    }
    return line | {"HTTP_HOST": host} if host else line


def _split_target(raw: bytes) -> tuple[str, str, str]:
    """Return host, path and query of a request target; the host is empty unless the target is a full URL.

    The path is decoded as WSGI requires, with its bytes as latin-1.
    """
    host, target = "", raw.decode("latin-1")
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute:
            host, target = absolute[1].rpartition("@")[2], absolute[2]
    path, _, query = target.partition("?")
    return host, unquote_to_bytes(path or "/").decode("latin-1"), query


@lru_cache(maxsize=64)
def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None
