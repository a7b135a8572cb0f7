"""Say what shall be registered: the TOML file that OM_REGISTRATION names, with the edge's own settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from messaging.errors import ConfigurationError
from omctl.registration.file import read_file
from omctl.signatures import live_secrets
from webhook_api.settings import MIN_SECRET_LENGTH
from workers.filters import FilterError, checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from messaging.environment import Environment

WEBHOOKS: Final = "/api/v2/integrations/webhooks"
INTEGRATIONS: Final = "/api/v2/conversations/messaging/integrations/open"
SECRET: Final = "outboundNotificationWebhookSignatureSecretToken"  # noqa: S105  a field's name
HTTPS_PORT: Final = 443
"""The only one that the platform posts to.

Source: Genesys Cloud, "Configure an open messaging integration".
"""

UNSIGNED: Final = (
    "OM_REGISTRATION: [webhook] has authType none and is not signed, so the edge would accept none of its"
    " events: set OM_ALLOW_UNSIGNED=true and put a secret value into OM_REQUIRED_HEADERS, or remove [webhook]"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that shall be registered.

    Args:
        kind: "webhook", the guide's, or "integration", the platform's.
        path: Where its kind is listed and created.
        name: What it is looked up by, where no id is given.
        body: What is sent, the secret left out.
        registered_id: Its id, where it was registered under another name.
        secrets: The live ones, newest first; none where its kind has none.
        warnings: What a person should think about first.
    """

    kind: str
    path: str
    name: str
    body: dict[str, Any] = field(repr=False)
    registered_id: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def body_against(self, registered: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what to send, given what is there.

        A secret that the edge takes stays: while one is being rotated, the newest may not be live everywhere.
        One that the platform does not show stays, too: `omctl rotate-secret` sets it.
        """
        if not self.secrets:
            return self.body
        newest = {SECRET: self.secrets[0]}
        if registered is None:
            return self.body | newest
        current = registered.get(SECRET)
        if current is None:
            return self.body
        return self.body | (newest if current not in self.secrets else {SECRET: current})


def read_wanted(environment: Environment, secrets: tuple[str, ...] = ()) -> tuple[Wanted, ...]:
    """Return what shall be registered: OM_REGISTRATION, OM_REQUIRED_HEADERS, OM_WEBHOOK_SECRETS.

    Args:
        environment: Where they are read.
        secrets: Instead of OM_WEBHOOK_SECRETS.

    Raises:
        ConfigurationError: One is missing or malformed; its text names it and repeats no value.
    """
    path = environment.string("OM_REGISTRATION")
    if not path:
        raise ConfigurationError("OM_REGISTRATION must name a file like deploy/registration.example.toml")
    content = read_file(path)
    url = content["url"]
    headers = _headers(environment.strings("OM_REQUIRED_HEADERS"))
    wanted = []
    if webhook := content.get("webhook"):
        if not environment.boolean("OM_ALLOW_UNSIGNED", default=False):
            raise ConfigurationError(UNSIGNED)
        wanted.append(_webhook(webhook, url, headers))
    if integration := content.get("integration"):
        secrets = secrets or tuple(each.decode() for each in live_secrets(environment))
        wanted.append(_integration(integration, url, headers, secrets))
    if not wanted:
        raise ConfigurationError("OM_REGISTRATION: [webhook] or [integration] must be there")
    return tuple(wanted)


def _headers(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return OM_REQUIRED_HEADERS with the names as they are written."""
    split = (pair.partition("=") for pair in pairs)
    return {name.strip(): value.strip() for name, _, value in split}


def _webhook(table: dict[str, Any], url: str, headers: dict[str, str]) -> Wanted:
    policy = table["retry_policy"]
    body = {
        "name": table["name"],
        "description": table["description"],
        "target": {"type": "http", "url": url, "headers": headers, "authType": "none"},
        "eventFilters": [
            {"eventType": each["event_type"], "filter": each["filter"]} for each in table["filters"]
        ],
        "retryPolicy": {
            "maxRetries": policy["max_retries"],
            "retryIntervalSeconds": policy["retry_interval_seconds"],
            "backoffMultiplier": policy["backoff_multiplier"],
        },
        "enabled": table["enabled"],
    }
    warnings = tuple(_warnings(table["filters"]))
    return Wanted("webhook", WEBHOOKS, table["name"], body, table["id"], warnings=warnings)


def _warnings(filters: list[dict[str, str]]) -> Iterator[str]:
    """Yield what is to be said of event filters; one without a text takes every event of its type."""
    for each in filters:
        event_type = each["event_type"]
        try:
            found = checked(each["filter"] or "true", event_type)
        except FilterError as error:
            raise ConfigurationError(
                f"OM_REGISTRATION: webhook.filters: {event_type}: {error}; `omctl filter check` tries others"
            ) from None
        yield from (f"the filter of {event_type} {warning}" for warning in found.warnings)


def _integration(
    table: dict[str, Any], url: str, headers: dict[str, str], secrets: tuple[str, ...]
) -> Wanted:
    if len(secrets[0]) < MIN_SECRET_LENGTH:
        raise ConfigurationError("OM_WEBHOOK_SECRETS: the platform wants more than 15 characters")
    body = {"name": table["name"], "outboundNotificationWebhookUrl": url, "webhookHeaders": headers}
    parts = urlsplit(url)
    has_own_port = parts.scheme == "https" and parts.port not in {None, HTTPS_PORT}
    return Wanted(
        "integration",
        INTEGRATIONS,
        table["name"],
        body,
        table["id"],
        secrets,
        (f"url names port {parts.port}: the platform posts to {HTTPS_PORT} alone",) if has_own_port else (),
    )
