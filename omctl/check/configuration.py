"""Look at the settings: what they are, secrets left out, and who would start with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.setting_names import unknown_settings
from omctl.check.finding import Finding, Level
from omctl.installing import Role
from omctl.redaction import redact_url, redact_urls
from omctl.registration import read_wanted
from webhook_api.settings import EdgeSettings
from workers.deliver import configured_destinations
from workers.genesys import read_genesys_settings
from workers.settings import read_intake_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AREA: Final = "configuration"
URLS: Final = ("OM_DATABASE_URL", "OM_GENESYS_API_URL")
URL_LISTS: Final = ("OM_AMQP_URL", "OM_MANAGEMENT_URL")
SECRETS: Final = (
    "OM_WEBHOOK_SECRETS",
    "OM_REQUIRED_HEADERS",
    "OM_EVENTS_HEADERS",
    "OM_GENESYS_CLIENT_SECRET",
)


def check_configuration(
    variables: Mapping[str, str], roles: frozenset[Role] = frozenset(Role)
) -> list[Finding]:
    """Return what is set, and whether the processes take it.

    Args:
        variables: The process's environment.
        roles: What this host does: no process of another role starts here.
    """
    findings = [
        setting_finding(name, value) for name, value in sorted(variables.items()) if name.startswith("OM_")
    ]
    readers: dict[str, Callable[[], object]] = {}
    if Role.EDGE in roles:
        readers["edge"] = EdgeSettings.from_environment
    if Role.WORKER in roles:
        readers["intake"] = read_intake_settings
        readers["destinations"] = lambda: configured_destinations(Environment())
    readers["platform"] = lambda: read_genesys_settings(Environment())
    readers["registration"] = _read_registration
    return [*findings, *(process_finding(process, read) for process, read in readers.items())]


def _read_registration() -> object:
    environment = Environment()
    return read_wanted(environment) if environment.string("OM_REGISTRATION") else None


def process_finding(process: str, read_settings: Callable[[], object]) -> Finding:
    """Tell whether *process* would start with the settings as they are."""
    try:
        read_settings()
    except ConfigurationError as error:
        return Finding(AREA, process, Level.PROBLEM, "would refuse to start", str(error))
    return Finding(AREA, process, Level.OK, "would start with these settings")


def setting_finding(name: str, value: str) -> Finding:
    """Tell one variable; the value of one that is not ours may be anything and is not shown."""
    if advice := unknown_settings([name]).get(name):
        return Finding(AREA, name, Level.WARNING, "is no setting", advice)
    return Finding(AREA, name, Level.OK, shown(name, value))


def shown(name: str, value: str) -> str:
    """Return *value* fit for a screen: secrets counted, logins left out of URLs."""
    if name.endswith("_FILE"):
        return f"read from {value}"
    if name in URLS:
        return redact_url(value)
    if name in URL_LISTS:
        return redact_urls(value)
    if name in SECRETS:
        count = sum(1 for part in value.split(",") if part.strip())
        return f"set, {count} value{'s' if count != 1 else ''}"
    return value
