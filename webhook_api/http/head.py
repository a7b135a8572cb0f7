"""Judge a request's head by RFC 9110 and RFC 9112: what the parser lets pass and the RFCs do not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from webhook_api.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTH_DIGITS: Final = 19
"""A longer Content-Length is no length; Python refuses to read one of some thousand digits at all."""

KNOWN_NAMES: Final = 512
"""Names of headers whose keys are kept, so that a sender of ever new ones costs no memory."""

VERSIONS: Final = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}

MALFORMED: Final = Answer(400, "malformed request")
TOO_LARGE: Final = Answer(413, "body too large")
HEAD_TOO_LARGE: Final = Answer(431, "request head too large")
NOT_SUPPORTED: Final = Answer(505, "http version not supported")
UNKNOWN_CODING: Final = Answer(501, "transfer coding not implemented")

_SINGLE: Final = {"HTTP_HOST", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)


def environ_key(name: str) -> str:
    """Return the WSGI key of a header's name."""
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


class _Keys(dict[bytes, str]):
    """The WSGI key of a header's name as it was sent; empty where the header must not count.

    WSGI folds `X-Signature` and `X_Signature` into one key, so the second spelling is dropped: nobody in
    front of us would have checked it.
    """

    def __missing__(self, name: bytes) -> str:
        if b"_" in name:
            return ""
        key = environ_key(name.decode("latin-1"))
        if len(self) < KNOWN_NAMES:
            self[name] = key
        return key


KEYS: Final = _Keys()


def must_be_single(key: str) -> bool:
    """Tell whether a second header of this key makes a request ambiguous."""
    return key in _SINGLE


def fault_in(environ: Mapping[str, str], version: str, body_bytes: int) -> Answer | None:
    """Return what a head is refused with, or None where the request may go on.

    Args:
        environ: With the headers.
        version: As "1.1".
        body_bytes: The limit of a body.
    """
    if version not in VERSIONS:
        return NOT_SUPPORTED if version == "2.0" else MALFORMED
    host = environ.get("HTTP_HOST")
    if host is None:
        if version == "1.1":
            return MALFORMED
    elif not _is_host(host):
        return MALFORMED
    length = environ.get("CONTENT_LENGTH")
    if length is not None:
        if len(length) > LENGTH_DIGITS:
            return MALFORMED
        if int(length) > body_bytes:
            return TOO_LARGE
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    return _coding_fault(coding, version) if coding is not None else None


@lru_cache(maxsize=64)
def request_line(method: bytes, target: bytes, version: str) -> Mapping[str, str]:
    """Return what an environ holds of a request's first line, its host only where the target has one."""
    host, path, query = _split_target(target)
    line = {
        "REQUEST_METHOD": method.decode("latin-1"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": VERSIONS[version],
    }
    return line | {"HTTP_HOST": host} if host else line


def _split_target(raw: bytes) -> tuple[str, str, str]:
    """Return host, path and query of a request target; the host is empty but in absolute form.

    The path comes out decoded, as WSGI has it: bytes as latin-1.
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


def _coding_fault(coding: str, version: str) -> Answer | None:
    if version == "1.0":
        return MALFORMED
    return None if coding.lower() == "chunked" else UNKNOWN_CODING
