"""Parse the broker's addresses and close reasons, and give all connections the same time limits."""

import re
import sys
from typing import Final
from urllib.parse import urlsplit

import pika

from messaging.errors import ConfigurationError

HEARTBEAT_SECONDS = 10
"""Heartbeat timeout: pika detects a dead peer in 15 to 30 s; in the meantime, the journal keeps events."""

CONNECT_SECONDS = 5.0
"""Time limit for an attempt to connect to one node; after that, pika tries the next node in the list."""

TCP_OPTIONS = {"TCP_USER_TIMEOUT": 15_000, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Socket options: a connection ends if the peer's kernel acknowledges no data for 15 s (15,000 ms)."""

NO_LIMIT: Final = sys.maxsize
_TOO_LARGE: Final = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")


def parameters_of(urls: tuple[str, ...], *, client_name: str) -> list[pika.URLParameters]:
    """Convert the addresses in OM_AMQP_URL, which are nodes of one cluster, into pika's parameters.

    The broker shows *client_name* as the connection's name. Raises ConfigurationError, whose text does not
    repeat the address, if an address is not an AMQP URL or names a certificate that cannot be loaded.
    """
    if not urls:
        raise ConfigurationError(
            "OM_AMQP_URL must name at least one broker, e.g. amqp://user:pass@host:5672/"
        )
    return [_parameters(url, client_name) for url in urls]


def virtual_host(urls: tuple[str, ...]) -> str:
    """Return the virtual host of the first address in OM_AMQP_URL, or "/"; can raise ConfigurationError."""
    name: str = _read(urls[0]).virtual_host if urls else "/"
    return name


def _parameters(url: str, client_name: str) -> pika.URLParameters:
    parameters = _read(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS * 2
    # An alarm can last a long time, and closing the connection during it would drop unprocessed messages.
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
        raise ConfigurationError("OM_AMQP_URL: a file in ssl_options cannot be loaded") from None
    except Exception:  # noqa: BLE001  # pika evaluates options as Python literals, which can raise anything
        raise malformed from None
    if scheme not in {"amqp", "amqps"}:
        raise malformed
    return parameters


def describe(reason: object) -> str:
    """Return pika's reason for a lost connection or channel in one line, without addresses or credentials."""
    code = getattr(reason, "reply_code", None)
    text = getattr(reason, "reply_text", None)
    return f"{code} {text}" if code else type(reason).__name__


def size_limit_of(reason: object) -> int:
    """Return the broker's size limit if it closed the channel because a body exceeded it, else NO_LIMIT.

    Source: RabbitMQ 4.0.5, `check_msg_size` in rabbit_channel.erl, which closes the channel with 406.
    """
    too_large = _TOO_LARGE.search(str(getattr(reason, "reply_text", "")))
    return int(too_large[1]) if too_large else NO_LIMIT
