"""List every setting, and find OM_ variables that are none."""

import difflib
from collections.abc import Iterable
from typing import Final

from messaging.environment import PREFIX, variables_now
from messaging.log import logger

KNOWN: Final = frozenset(
    """
    OM_ALLOW_UNSIGNED OM_AMQP_URL OM_APPLY_UNVERIFIED_SECONDS OM_BATCH_EVENTS OM_BATCH_SECONDS
    OM_BIND OM_DATABASE_URL OM_DESTINATIONS OM_EDGE_PROCESSES OM_EVENTS_HEADERS OM_EVENT_FILTER
    OM_FAILED_RECEIPTS OM_FLASK_EXTENSIONS OM_GENESYS_API_URL OM_GENESYS_CLIENT_ID
    OM_GENESYS_CLIENT_SECRET OM_GENESYS_REGION OM_GENESYS_REQUESTS_PER_MINUTE OM_HANDLER_ATTEMPTS
    OM_HANDLER_SECONDS OM_JOURNAL_FSYNC OM_JOURNAL_MAX_BYTES OM_LOG_LEVEL OM_MANAGEMENT_URL
    OM_MAX_BODY_BYTES OM_MAX_CONNECTIONS OM_METRICS_BIND OM_PAYLOAD_RETENTION_DAYS
    OM_PUBLISHER_CONFIRMS OM_QUEUE_DEPTH_HIGH OM_QUEUE_DEPTH_LOW OM_REGISTRATION
    OM_REQUIRED_HEADERS OM_RETENTION_DAYS OM_RETRY_AFTER_MAX_SECONDS OM_ROUTING_GIVE_UP_SECONDS
    OM_ROUTING_TRANSITIONS OM_SCALE_CEILING OM_SCALE_FLOOR OM_SETTINGS_FILE OM_STATE_DIRECTORY
    OM_STORE_TYPING OM_WEBHOOK_SECRETS
    """.split()  # noqa: SIM905  # a list would be one name a line
)
"""A test compares it with the code and with deploy/environment.example."""


def unknown_settings(names: Iterable[str]) -> dict[str, str]:
    """Return each unknown OM_ variable among *names*, with a warning about it."""
    return {name: _advice(name) for name in sorted(names) if name.startswith(PREFIX) and not _is_known(name)}


def warn_of_unknown_settings() -> None:
    """Log the unknown OM_ variables of this process's environment; call it once at the start."""
    for advice in unknown_settings(variables_now()).values():
        logger().warning("setting_unknown", reason=advice)


def _is_known(name: str) -> bool:
    return name in KNOWN or name.removesuffix("_FILE") in KNOWN


def _advice(name: str) -> str:
    similar = difflib.get_close_matches(name.removesuffix("_FILE"), KNOWN, n=1, cutoff=0.8)
    question = f" Did you mean {similar[0]}?" if similar else ""
    return f"Unknown setting {name} is ignored.{question}"
