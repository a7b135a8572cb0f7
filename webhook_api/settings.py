"""Read the edge's settings from the environment, refuse invalid settings, and reload them on request."""

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from messaging.broker import parameters_of
from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import configure_logging, logger
from messaging.settings import Settings, positive, setting
from webhook_api.extensions import load_extensions

MEBIBYTE: Final = 1024 * 1024
MAX_MESSAGE_BYTES: Final = 16 * MEBIBYTE
"""Largest body that OM_MAX_BODY_BYTES may allow: RabbitMQ's default `max_message_size` since version 4.0."""

MIN_SECRET_LENGTH: Final = 16
"""Minimum length of a signature secret, and of a header value that authenticates a request.

Source: the platform's error for a signature secret: "must be longer than 15 characters".
"""

FIXED: Final = {"bind": "OM_BIND", "processes": "OM_EDGE_PROCESSES", "state_directory": "OM_STATE_DIRECTORY"}
"""Fields and variables of the settings that gunicorn's master uses; changing them requires a restart."""


Headers = tuple[tuple[str, str], ...]
"""Header names in lower case, each with the header's value."""


def parse_headers(pairs: tuple[str, ...], variable: str = "OM_REQUIRED_HEADERS") -> Headers:
    """Parse Name=value pairs, and lower-case the names. Refuse empty values: they would admit any request."""
    headers = []
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name.strip() or not value.strip():
            raise ConfigurationError(f"{variable} must be Name=value pairs, comma-separated")
        headers.append((name.strip().lower(), value.strip()))
    return tuple(headers)


def _read_secrets(environment: Environment, name: str, _: object) -> tuple[bytes, ...]:
    return tuple(secret.encode() for secret in environment.strings(name))


def _read_headers(environment: Environment, name: str, _: object) -> Headers:
    return parse_headers(environment.strings(name), name)


def _read_path(environment: Environment, name: str, default: Path) -> Path:
    return Path(environment.string(name, str(default)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings(Settings):
    """The settings of an edge process; deploy/environment.example explains each setting."""

    bind: str = setting("OM_BIND", Environment.string, "127.0.0.1:8080")
    processes: int = setting("OM_EDGE_PROCESSES", positive, os.cpu_count() or 1)
    secrets: tuple[bytes, ...] = setting("OM_WEBHOOK_SECRETS", _read_secrets, (), is_secret=True)
    allow_unsigned: bool = setting("OM_ALLOW_UNSIGNED", Environment.boolean, False)
    required_headers: Headers = setting("OM_REQUIRED_HEADERS", _read_headers, (), is_secret=True)
    events_headers: Headers = setting("OM_EVENTS_HEADERS", _read_headers, (), is_secret=True)
    amqp_urls: tuple[str, ...] = setting("OM_AMQP_URL", Environment.strings, (), is_secret=True)
    management_urls: tuple[str, ...] = setting("OM_MANAGEMENT_URL", Environment.strings, (), is_secret=True)
    publisher_confirms: bool = setting("OM_PUBLISHER_CONFIRMS", Environment.boolean, False)
    state_directory: Path = setting("OM_STATE_DIRECTORY", _read_path, Path("/var/lib/open-messaging"))
    journal_max_bytes: int = setting(
        "OM_JOURNAL_MAX_BYTES", partial(Environment.integer, minimum=MEBIBYTE), 1024 * MEBIBYTE
    )
    journal_fsync: bool = setting("OM_JOURNAL_FSYNC", Environment.boolean, False)
    max_body_bytes: int = setting("OM_MAX_BODY_BYTES", partial(Environment.integer, minimum=1024), MEBIBYTE)
    queue_depth_high: int = setting("OM_QUEUE_DEPTH_HIGH", positive, 50_000)
    queue_depth_low: int = setting("OM_QUEUE_DEPTH_LOW", Environment.integer, 30_000)
    retry_after_max_seconds: int = setting("OM_RETRY_AFTER_MAX_SECONDS", positive, 30)
    max_connections: int = setting("OM_MAX_CONNECTIONS", positive, 1000)
    flask_extensions: tuple[str, ...] = setting("OM_FLASK_EXTENSIONS", Environment.strings, ())
    payload_days: int = setting("OM_PAYLOAD_RETENTION_DAYS", positive, 30)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.queue_depth_low >= self.queue_depth_high:
            raise ConfigurationError("OM_QUEUE_DEPTH_LOW must be below OM_QUEUE_DEPTH_HIGH")
        self._check_secrets()
        if not all(url.startswith(("http://", "https://")) for url in self.management_urls):
            raise ConfigurationError("OM_MANAGEMENT_URL must be http:// or https:// addresses")
        if self.max_body_bytes > MAX_MESSAGE_BYTES:
            raise ConfigurationError(
                f"OM_MAX_BODY_BYTES must be at most {MAX_MESSAGE_BYTES}, RabbitMQ's limit for a message"
            )
        if self.journal_max_bytes // self.processes < 2 * self.max_body_bytes:
            # An event larger than a process's share of the journal would be refused even by an empty journal.
            raise ConfigurationError(
                "OM_JOURNAL_MAX_BYTES must be at least 2 * OM_MAX_BODY_BYTES * OM_EDGE_PROCESSES"
            )
        parameters_of(self.amqp_urls, client_name="check")

    def _check_secrets(self) -> None:
        """Refuse settings that would allow requests to be accepted without proof of their origin."""
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
        has_secret_header = any(len(value) >= MIN_SECRET_LENGTH for _, value in self.required_headers)
        if self.allow_unsigned and is_proof_wanted and not has_secret_header:
            raise ConfigurationError(
                "OM_ALLOW_UNSIGNED must be false, unless OM_REQUIRED_HEADERS has a secret value of at least"
                f" {MIN_SECRET_LENGTH} characters: only such a header authenticates an unsigned request"
            )
        if any(len(value) < MIN_SECRET_LENGTH for _, value in self.events_headers):
            raise ConfigurationError(
                f"OM_EVENTS_HEADERS: each value must have at least {MIN_SECRET_LENGTH} characters"
            )

    def prepare_state_directory(self) -> None:
        """Create the state directory; raise ConfigurationError if it cannot be created or written."""
        try:
            self.state_directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise ConfigurationError("OM_STATE_DIRECTORY must name a directory that can be created") from None
        if not os.access(self.state_directory, os.W_OK | os.X_OK):
            raise ConfigurationError("OM_STATE_DIRECTORY must be writable")

    @property
    def is_cluster_unwatched(self) -> bool:
        """Whether a cluster could lose events, because no source reports whether its queue has a majority."""
        return len(self.amqp_urls) > 1 and not (self.management_urls or self.publisher_confirms)

    @property
    def journal_directory(self) -> Path:
        """The directory that contains the journal directory of each process."""
        return self.state_directory / "journal"


class ReloadableSettings:
    """The current settings of gunicorn's master; each process that it forks uses them."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings

    def reload(self) -> None:
        """Reread the settings; if the new settings are invalid, keep the previous settings."""
        try:
            new = EdgeSettings.from_environment()
            load_extensions(new.flask_extensions)
            settings, waiting = merge_reload(self.settings, new)
        except ConfigurationError as exc:
            logger().error("reload_refused", reason=str(exc), consequence="keeping the previous settings")
            return
        self.settings = settings
        configure_logging(self.settings.log_level, process="edge")
        logger().info("settings_reloaded", restart_needed_for=waiting)


def merge_reload(old: EdgeSettings, new: EdgeSettings) -> tuple[EdgeSettings, list[str]]:
    """Return the settings after a reload, and the variables whose new values require a restart."""
    kept = {name: getattr(old, name) for name in FIXED}
    waiting = [variable for name, variable in FIXED.items() if getattr(new, name) != kept[name]]
    return replace(new, **kept), waiting
