"""Parse the broker's addresses, with the same heartbeat and time limits everywhere, and its close reasons."""

import re
import sys
from typing import Final
from urllib.parse import urlsplit

import pika

from messaging.errors import ConfigurationError

HEARTBEAT_SECONDS = 10
"""A dead peer is detected after 15 to 30 s, because pika counts received bytes every 15 s. That is long for a
request, but short for a journal."""

CONNECT_SECONDS = 5.0
"""Limit for one attempt on one node, before the next node of the list is tried."""

ATTEMPT_SECONDS = 30.0
"""Limit from the start of an attempt until the connection can be used; then the next attempt starts.

pika's own limits are shorter, so that it may try every address of a name: CONNECT_SECONDS for each, twice
that for the handshake. They do not apply if pika swallows an error (a socket that cannot be created), or once
the connection is open.
"""

TCP_OPTIONS = {"TCP_USER_TIMEOUT": 15_000, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Data that the peer's kernel has not acknowledged for 15 s end the connection (milliseconds)."""


NO_LIMIT: Final = sys.maxsize
_TOO_LARGE: Final = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


def parameters_of(urls: tuple[str, ...], *, client_name: str) -> list[pika.URLParameters]:
    """Turn OM_AMQP_URL's addresses, of the nodes of one cluster, into pika's parameters.

    The broker shows *client_name* for the connection. Raises ConfigurationError if an address is not an AMQP
    URL, or names a certificate that cannot be loaded; the text does not repeat it.
    """
    if not urls:
        raise ConfigurationError(
            "OM_AMQP_URL must name at least one broker, e.g. amqp://user:pass@host:5672/"
        )
    return [_parameters(url, client_name) for url in urls]


def virtual_host(urls: tuple[str, ...]) -> str:
    """Return the virtual host of OM_AMQP_URL's first address; "/" without an address.

    Raises ConfigurationError if the address is not an AMQP URL.
    """
    name: str = _read(urls[0]).virtual_host if urls else "/"
    return name


def _parameters(url: str, client_name: str) -> pika.URLParameters:
    parameters = _read(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS * 2
    # An alarm may last long, and closing the connection would drop messages that are on their way.
    parameters.blocked_connection_timeout = None
    parameters.tcp_options = TCP_OPTIONS
    parameters.client_properties = {"connection_name": client_name}
    return parameters


def _read(url: str) -> pika.URLParameters:
    malformed = ConfigurationError(
        "OM_AMQP_URL must contain amqp:// or amqps:// addresses with percent-encoded special characters"
    )
    try:
        scheme = urlsplit(url).scheme
        parameters = pika.URLParameters(url)
    except OSError:
        raise ConfigurationError("OM_AMQP_URL: what ssl_options names cannot be loaded") from None
    except Exception:  # noqa: BLE001  # pika evaluates options as Python literals, which may raise anything
        raise malformed from None
    if scheme not in {"amqp", "amqps"}:
        raise malformed
    return parameters


def describe(reason: object) -> str:
    """Return pika's reason in one line, without addresses or credentials."""
    code = getattr(reason, "reply_code", None)
    text = getattr(reason, "reply_text", None)
    return f"{code} {text}" if code else type(reason).__name__


def size_limit_of(reason: object) -> int:
    """Return the largest body that the broker accepts, if it closed the channel because of a larger one.

    Source:
        RabbitMQ 4.0.5, `check_msg_size` in rabbit_channel.erl: a 406 of this text.
    """
    too_large = _TOO_LARGE.search(str(getattr(reason, "reply_text", "")))
    return int(too_large[1]) if too_large else NO_LIMIT
