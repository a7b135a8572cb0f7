"""Look at the settings: what they are, secrets left out, and who would start with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.check.finding import Finding, Level
from webhook_api.settings import EdgeSettings
from workers.genesys import read_genesys_settings
from workers.settings import read_intake_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AREA: Final = "configuration"
KNOWN: Final = frozenset(
    {
        "OM_ALLOW_UNSIGNED",
        "OM_AMQP_URL",
        "OM_BATCH_EVENTS",
        "OM_BATCH_SECONDS",
        "OM_BIND",
        "OM_DATABASE_URL",
        "OM_EDGE_PROCESSES",
        "OM_GENESYS_API_URL",
        "OM_GENESYS_CLIENT_ID",
        "OM_GENESYS_CLIENT_SECRET",
        "OM_GENESYS_LOGIN_URL",
        "OM_GENESYS_REGION",
        "OM_GENESYS_REQUESTS_PER_MINUTE",
        "OM_JOURNAL_FSYNC",
        "OM_JOURNAL_MAX_BYTES",
        "OM_KEEPALIVE_SECONDS",
        "OM_LOG_LEVEL",
        "OM_MANAGEMENT_URL",
        "OM_MAX_BODY_BYTES",
        "OM_PUBLISHER_CONFIRMS",
        "OM_QUEUE_DEPTH_HIGH",
        "OM_QUEUE_DEPTH_LOW",
        "OM_REQUEST_SECONDS",
        "OM_REQUIRED_HEADERS",
        "OM_RETRY_AFTER_MAX_SECONDS",
        "OM_STATE_DIRECTORY",
        "OM_STOP_SECONDS",
        "OM_STUCK_SECONDS",
        "OM_WEBHOOK_SECRETS",
    }
)
"""Every setting of this version; a test holds it to deploy/environment.example."""
ADDRESSES: Final = (
    "OM_AMQP_URL",
    "OM_MANAGEMENT_URL",
    "OM_DATABASE_URL",
    "OM_GENESYS_API_URL",
    "OM_GENESYS_LOGIN_URL",
)
SECRETS: Final = ("OM_WEBHOOK_SECRETS", "OM_REQUIRED_HEADERS", "OM_GENESYS_CLIENT_SECRET")


def check_configuration(variables: Mapping[str, str]) -> list[Finding]:
    """Return what is set, and whether the processes take it.

    Args:
        variables: The process's environment.
    """
    findings = [
        setting_finding(name, value) for name, value in sorted(variables.items()) if name.startswith("OM_")
    ]
    readers = {
        "edge": EdgeSettings.from_environment,
        "intake": read_intake_settings,
        "platform": lambda: read_genesys_settings(Environment()),
    }
    return [*findings, *(process_finding(process, read) for process, read in readers.items())]


def process_finding(process: str, read_settings: Callable[[], object]) -> Finding:
    """Tell whether *process* would start with the settings as they are."""
    try:
        read_settings()
    except ConfigurationError as error:
        return Finding(AREA, process, Level.PROBLEM, "would refuse to start", str(error))
    return Finding(AREA, process, Level.OK, "would start with these settings")


def setting_finding(name: str, value: str) -> Finding:
    """Tell one variable; the value of one that is not ours may be anything and is not shown."""
    if name.removesuffix("_FILE") not in KNOWN:
        advice = "Misspelt, or of another version: nothing reads it."
        return Finding(AREA, name, Level.WARNING, "is no setting of this version", advice)
    return Finding(AREA, name, Level.OK, shown(name, value))


def shown(name: str, value: str) -> str:
    """Return *value* fit for a screen: secrets counted, passwords left out of addresses."""
    if name.endswith("_FILE"):
        return f"read from {value}"
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if name in ADDRESSES:
        return ", ".join(map(without_password, parts))
    if name in SECRETS:
        return f"set, {len(parts)} value{'s' if len(parts) != 1 else ''}"
    return value


def without_password(address: str) -> str:
    """Return *address* without user and password; of one that is no address, nothing."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "set"
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else "set"
