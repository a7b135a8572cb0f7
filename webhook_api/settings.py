"""Read what the edge is told by its environment, once, or refuse to start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from messaging.broker import parameters_of
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable

MEBIBYTE = 1024 * 1024
LARGEST_MESSAGE_BYTES = 16 * MEBIBYTE
"""RabbitMQ's own default of `max_message_size` since 4.0."""

MIN_SECRET_LENGTH = 16
"""Of a signature secret, and of a header's value that is a proof.

Source: the platform's error for a signature secret: "must be longer than 15 characters".
"""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What one edge process works with; deploy/environment.example says what each is for.

    Args:
        secrets: Newest first, as bytes; a request signed with any of them is accepted.
        allow_unsigned: Whether a request without a signature is accepted if it has the required headers.
        required_headers: Lower-case names with the value that each must have.
        events_headers: Names with a value, any one of which lets an event of the event bus in; none: no such
            endpoint.
        amqp_urls: Nodes of one broker, tried in turn.
        management_urls: Bases of the management API with credentials; as many as amqp_urls: each is the
            same node's.
        publisher_confirms: Whether the broker's confirms prove the events, instead of probes.
        journal_max_bytes: What all processes of this host together may keep, in bytes.
        request_seconds: From a request's first byte to its last.
        max_connections: What all processes of this host together hold open.
        flask_extensions: package.module:function, each called with the Flask application.
        statistics_seconds: Between two counts of answers that a process tells; 0: none is told.
        keepalive_seconds: How long an idle connection stays open; above the proxy's own.
        access_log: Whether each request gets a line.
        payload_days: How long set-aside files are kept.
    """

    bind: str
    processes: int
    secrets: tuple[bytes, ...] = field(repr=False)
    allow_unsigned: bool
    required_headers: dict[str, str] = field(repr=False)
    amqp_urls: tuple[str, ...] = field(repr=False)
    management_urls: tuple[str, ...] = field(repr=False)
    publisher_confirms: bool
    state_directory: Path
    journal_max_bytes: int
    journal_fsync: bool
    max_body_bytes: int
    queue_depth_high: int
    queue_depth_low: int
    retry_after_max_seconds: int
    request_seconds: float
    keepalive_seconds: float
    max_connections: int
    flask_extensions: tuple[str, ...]
    log_level: str
    log_form: str = JSON
    access_log: bool = False
    events_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    statistics_seconds: float = 60.0
    payload_days: int = 30

    @classmethod
    def from_environment(cls) -> EdgeSettings:
        """Read and check every variable.

        Raises:
            ConfigurationError: One is missing, malformed or contradicts another; its text names it.
        """
        env = Environment()
        settings = cls(
            bind=env.string("OM_BIND", "127.0.0.1:8080"),
            processes=env.integer("OM_EDGE_PROCESSES", os.cpu_count() or 1, minimum=1),
            secrets=tuple(secret.encode() for secret in env.strings("OM_WEBHOOK_SECRETS")),
            allow_unsigned=env.boolean("OM_ALLOW_UNSIGNED", default=False),
            required_headers=header_pairs(env.strings("OM_REQUIRED_HEADERS")),
            amqp_urls=env.strings("OM_AMQP_URL"),
            management_urls=env.strings("OM_MANAGEMENT_URL"),
            publisher_confirms=env.boolean("OM_PUBLISHER_CONFIRMS", default=False),
            state_directory=Path(env.string("OM_STATE_DIRECTORY", "/var/lib/open-messaging")),
            journal_max_bytes=env.integer("OM_JOURNAL_MAX_BYTES", 1024 * MEBIBYTE, minimum=MEBIBYTE),
            journal_fsync=env.boolean("OM_JOURNAL_FSYNC", default=False),
            max_body_bytes=env.integer("OM_MAX_BODY_BYTES", MEBIBYTE, minimum=1024),
            queue_depth_high=env.integer("OM_QUEUE_DEPTH_HIGH", 50_000, minimum=1),
            queue_depth_low=env.integer("OM_QUEUE_DEPTH_LOW", 30_000),
            retry_after_max_seconds=env.integer("OM_RETRY_AFTER_MAX_SECONDS", 30, minimum=1),
            request_seconds=env.seconds("OM_REQUEST_SECONDS", 10.0, minimum=0.1),
            keepalive_seconds=env.seconds("OM_KEEPALIVE_SECONDS", 75.0),
            max_connections=env.integer("OM_MAX_CONNECTIONS", 1000, minimum=1),
            flask_extensions=env.strings("OM_FLASK_EXTENSIONS"),
            log_level=env.one_of("OM_LOG_LEVEL", LEVELS, "info"),
            log_form=env.one_of("OM_LOG_FORMAT", FORMS, JSON),
            access_log=env.boolean("OM_ACCESS_LOG", default=False),
            events_headers=_pairs(env.strings("OM_EVENTS_HEADERS"), "OM_EVENTS_HEADERS"),
            statistics_seconds=env.seconds("OM_STATISTICS_SECONDS", 60.0),
            payload_days=env.integer("OM_PAYLOAD_RETENTION_DAYS", 30, minimum=1),
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if self.queue_depth_low >= self.queue_depth_high:
            raise ConfigurationError("OM_QUEUE_DEPTH_LOW must be below OM_QUEUE_DEPTH_HIGH")
        self._check_secrets()
        if not all(url.startswith(("http://", "https://")) for url in self.management_urls):
            raise ConfigurationError("OM_MANAGEMENT_URL must be http:// or https:// addresses")
        if self.max_body_bytes > LARGEST_MESSAGE_BYTES:
            raise ConfigurationError(
                f"OM_MAX_BODY_BYTES must be at most {LARGEST_MESSAGE_BYTES}, which is what RabbitMQ takes"
            )
        parameters_of(self.amqp_urls, client_name="check")

    def _check_secrets(self) -> None:
        """Refuse settings under which requests could come in without proof."""
        if not self.secrets and not self.allow_unsigned:
            raise ConfigurationError(
                "OM_WEBHOOK_SECRETS must contain a secret, unless OM_ALLOW_UNSIGNED is true"
            )
        if any(len(secret) < MIN_SECRET_LENGTH for secret in self.secrets):
            raise ConfigurationError(
                f"OM_WEBHOOK_SECRETS: each secret must have at least {MIN_SECRET_LENGTH} characters"
                " (a comma separates two secrets)"
            )
        is_proof_wanted = self.secrets or self.required_headers
        if self.allow_unsigned and is_proof_wanted and not has_secret(self.required_headers.values()):
            raise ConfigurationError(
                "OM_ALLOW_UNSIGNED must be false, unless OM_REQUIRED_HEADERS has a secret value of at least"
                f" {MIN_SECRET_LENGTH} characters: it is the only proof of an unsigned request"
            )
        if not all(has_secret([value]) for _, value in self.events_headers):
            raise ConfigurationError(
                f"OM_EVENTS_HEADERS: each value must have at least {MIN_SECRET_LENGTH} characters"
            )

    def prepare_state_directory(self) -> None:
        """Make the state directory, or refuse to start where nothing can be written."""
        try:
            self.state_directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise ConfigurationError("OM_STATE_DIRECTORY must name a directory that can be made") from None
        if not os.access(self.state_directory, os.W_OK | os.X_OK):
            raise ConfigurationError("OM_STATE_DIRECTORY must be writable")

    @property
    def is_cluster_unwatched(self) -> bool:
        """Whether nothing tells if a cluster's queue has the majority without which it loses events."""
        return len(self.amqp_urls) > 1 and not (self.management_urls or self.publisher_confirms)

    @property
    def journal_directory(self) -> Path:
        """Where each process keeps a journal directory of its own."""
        return self.state_directory / "journal"


def has_secret(values: Iterable[str]) -> bool:
    """Return whether one of the values is long enough to be a secret."""
    return any(len(value) >= MIN_SECRET_LENGTH for value in values)


def header_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read OM_REQUIRED_HEADERS: Name=value pairs; names come out in lower case."""
    return dict(_pairs(pairs, "OM_REQUIRED_HEADERS"))


def _pairs(pairs: tuple[str, ...], variable: str) -> tuple[tuple[str, str], ...]:
    """Read Name=value pairs; an empty value, which would let everybody in, is none."""
    headers = []
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name.strip() or not value.strip():
            raise ConfigurationError(f"{variable} must be Name=value pairs, comma-separated")
        headers.append((name.strip().lower(), value.strip()))
    return tuple(headers)
