"""Define the settings of the observe role."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.settings import WorkerSettings, setting
from workers.genesys import is_safe
from workers.observe.canary import CanarySettings

OBSERVER_SESSION: Final[Mapping[str, str]] = {
    # A scrape must not delay other transactions, and Prometheus abandons a scrape after 10 s.
    "default_transaction_read_only": "on",
    "statement_timeout": "2s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "60s",
    # Only an index scan stops at the limit of a count. Sequential and bitmap scans read all rows first.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # A scan of a small table then looks so costly that PostgreSQL would spend a second compiling the query.
    "jit": "off",
}
"""Options of the observe role's PostgreSQL sessions."""


def _read_canary(environment: Environment, name: str, default: None) -> CanarySettings | None:
    url = environment.string(name)
    if not url:
        return default
    if not is_safe(url):
        problem = "must be the webhook's address, with https:// unless it is on this host"
        raise ConfigurationError(f"{name} {problem}")
    secrets = environment.strings("OM_WEBHOOK_SECRETS")
    pairs = [pair.partition("=") for pair in environment.strings("OM_REQUIRED_HEADERS")]
    headers = {header.strip(): value.strip() for header, _, value in pairs}
    if not secrets and not headers:
        raise ConfigurationError(f"{name} needs OM_WEBHOOK_SECRETS or OM_REQUIRED_HEADERS for its requests")
    return CanarySettings(url, secrets[0].encode() if secrets else None, headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveSettings(WorkerSettings):
    """Settings of the observe role. `edge` is the address of this host's edge; `bind` is the role's own."""

    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    management_urls: tuple[str, ...] = setting("OM_MANAGEMENT_URL", Environment.strings, (), is_secret=True)
    edge: str = setting("OM_BIND", Environment.string, "127.0.0.1:8080")
    bind: str = setting("OM_METRICS_BIND", Environment.string, "127.0.0.1:9464")
    canary: CanarySettings | None = setting("OM_CANARY_URL", _read_canary, None)

    def __post_init__(self) -> None:
        if not self.amqp_urls:
            raise ConfigurationError("OM_AMQP_URL must name the broker")
        host, _, port = self.bind.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigurationError("OM_METRICS_BIND must be host:port")

    @property
    def is_edge_reachable(self) -> bool:
        """Whether the edge listens on host:port rather than on a socket file."""
        return not self.edge.startswith(("unix:", "fd:"))
