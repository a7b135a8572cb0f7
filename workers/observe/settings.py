"""Read the settings of the observe role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError

OBSERVER_SESSION: Final[Mapping[str, str]] = {
    # A scrape delays no other transaction, and Prometheus gives up on one that takes longer than 10 s.
    "default_transaction_read_only": "on",
    "statement_timeout": "2s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "60s",
    # A count stops at its limit only along an index; these two read all rows first.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}
"""Options of its PostgreSQL sessions."""


@dataclass(frozen=True, slots=True)
class ObserveSettings:
    """What the observe role needs; `edge` is the OM_BIND of this host's edge, `host:port` our own address."""

    database_url: str = field(repr=False)
    amqp_urls: tuple[str, ...] = field(repr=False)
    management_urls: tuple[str, ...] = field(repr=False)
    edge: str = "127.0.0.1:8080"
    host: str = "127.0.0.1"
    port: int = 9464

    @property
    def is_edge_reachable(self) -> bool:
        """Whether the edge listens at host:port, and not at a socket file."""
        return not self.edge.startswith(("unix:", "fd:"))


def read_observe_settings() -> ObserveSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the message names it.
    """
    environment = Environment()
    bind = environment.string("OM_METRICS_BIND", "127.0.0.1:9464")
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError("OM_METRICS_BIND must be host:port")
    settings = ObserveSettings(
        database_url=environment.string("OM_DATABASE_URL"),
        amqp_urls=environment.strings("OM_AMQP_URL"),
        management_urls=environment.strings("OM_MANAGEMENT_URL"),
        edge=environment.string("OM_BIND", "127.0.0.1:8080"),
        host=host,
        port=int(port),
    )
    if not settings.database_url or not settings.amqp_urls:
        raise ConfigurationError("OM_DATABASE_URL and OM_AMQP_URL must name the database and the broker")
    return settings
