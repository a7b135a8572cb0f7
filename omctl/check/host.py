"""Look at what an installation has put on this host: the platform's addresses, and where secrets are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omctl.check.finding import Finding, Level
from omctl.installing import REFUSE_UNLISTED, SITE
from webhook_api.health import platform_list_age

if TYPE_CHECKING:
    from collections.abc import Mapping

AREA: Final = "host"
MAX_LIST_AGE: Final = 7 * 86400.0
"""Seconds. om-ipranges.timer runs once a day; the platform announces changes weeks before."""

SECRETS: Final = (
    *("OM_WEBHOOK_SECRETS", "OM_REQUIRED_HEADERS", "OM_EVENTS_HEADERS", "OM_GENESYS_CLIENT_SECRET"),
    *("OM_AMQP_URL", "OM_MANAGEMENT_URL", "OM_DATABASE_URL"),
)


def check_addresses() -> list[Finding]:
    """Return the state of the platform's list on a host with a gateway."""
    if not SITE.exists():
        return []
    is_enforced = REFUSE_UNLISTED in SITE.read_text(encoding="utf-8")
    return [list_finding(platform_list_age(), is_enforced=is_enforced)]


def list_finding(age: float | None, *, is_enforced: bool) -> Finding:
    """Judge the list by its age in seconds, None if there is none."""
    subject = "the platform's addresses"
    if age is None:
        advice = "Set OM_GENESYS_REGION and the OAuth client, then systemctl start om-ipranges."
        return Finding(AREA, subject, Level.WARNING, "have not been fetched", advice)
    text = f"were fetched {age / 86400:.1f} days ago"
    if age > MAX_LIST_AGE:
        return Finding(AREA, subject, Level.WARNING, text, "See journalctl -u om-ipranges.")
    if not is_enforced:
        advice = "omctl install --platform-only has nginx refuse all others."
        return Finding(AREA, subject, Level.WARNING, f"{text}; others are logged, not refused", advice)
    return Finding(AREA, subject, Level.OK, f"{text}; others are refused")


def secret_findings(in_file: Mapping[str, str]) -> list[Finding]:
    """Return a warning for each secret in the settings file, which every unit gets in its environment."""
    advice = "Move it to a file of this name in /etc/open-messaging/credentials (docs/install.md)."
    return [
        Finding(AREA, name, Level.WARNING, "is a secret and stands in the settings file", advice)
        for name in SECRETS
        if in_file.get(name, "").strip()
    ]
