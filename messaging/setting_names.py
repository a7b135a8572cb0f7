"""Name every setting of this version, and tell which of the environment's OM_ variables is none."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from messaging.settings_file import variables_now

if TYPE_CHECKING:
    from collections.abc import Iterable

KNOWN: Final = frozenset(
    {
        "OM_ACCESS_LOG",
        "OM_ALLOW_UNSIGNED",
        "OM_AMQP_URL",
        "OM_APPLY_UNVERIFIED_SECONDS",
        "OM_BATCH_EVENTS",
        "OM_BATCH_SECONDS",
        "OM_BIND",
        "OM_DATABASE_URL",
        "OM_DESTINATIONS",
        "OM_EDGE_PROCESSES",
        "OM_EVENTS_HEADERS",
        "OM_EVENT_FILTER",
        "OM_FAILED_RECEIPTS",
        "OM_FLASK_EXTENSIONS",
        "OM_GENESYS_API_URL",
        "OM_GENESYS_CLIENT_ID",
        "OM_GENESYS_CLIENT_SECRET",
        "OM_GENESYS_REGION",
        "OM_GENESYS_REQUESTS_PER_MINUTE",
        "OM_HANDLER_ATTEMPTS",
        "OM_HANDLER_SECONDS",
        "OM_JOURNAL_FSYNC",
        "OM_JOURNAL_MAX_BYTES",
        "OM_KEEPALIVE_SECONDS",
        "OM_LOG_FORMAT",
        "OM_LOG_LEVEL",
        "OM_MANAGEMENT_URL",
        "OM_MAX_BODY_BYTES",
        "OM_MAX_CONNECTIONS",
        "OM_METRICS_BIND",
        "OM_PAYLOAD_RETENTION_DAYS",
        "OM_PUBLISHER_CONFIRMS",
        "OM_QUEUE_DEPTH_HIGH",
        "OM_QUEUE_DEPTH_LOW",
        "OM_REGISTRATION",
        "OM_REQUEST_SECONDS",
        "OM_REQUIRED_HEADERS",
        "OM_RETENTION_DAYS",
        "OM_RETRY_AFTER_MAX_SECONDS",
        "OM_ROUTING_GIVE_UP_SECONDS",
        "OM_ROUTING_TRANSITIONS",
        "OM_SCALE_CEILING",
        "OM_SCALE_FLOOR",
        "OM_SETTINGS_FILE",
        "OM_STATE_DIRECTORY",
        "OM_STATISTICS_SECONDS",
        "OM_STORE_TYPING",
        "OM_WEBHOOK_SECRETS",
    }
)
"""A test holds it to the code and to deploy/environment.example."""

PREFIX: Final = "OM_"


def unknown_settings(names: Iterable[str]) -> dict[str, str]:
    """Return each OM_ variable among *names* that nothing reads, with what to say about it."""
    return {name: _advice(name) for name in sorted(names) if name.startswith(PREFIX) and not _is_known(name)}


def warn_of_unknown_settings() -> None:
    """Log what this process's environment sets in vain; call it once at the start."""
    for advice in unknown_settings(variables_now()).values():
        logger().warning("setting_unknown", reason=advice)


def _is_known(name: str) -> bool:
    return name in KNOWN or name.removesuffix("_FILE") in KNOWN


def _advice(name: str) -> str:
    similar = difflib.get_close_matches(name.removesuffix("_FILE"), KNOWN, n=1, cutoff=0.8)
    meant = f"; did you mean {similar[0]}?" if similar else ""
    return f"{name} is no setting of this version, nothing reads it{meant}"
