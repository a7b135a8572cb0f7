"""Read the registrations from the file that OM_REGISTRATION names, and compare them with the platform's."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from messaging.environment import Environment, read_text
from messaging.errors import ConfigurationError
from omctl.signatures import live_secrets
from webhook_api.settings import MIN_SECRET_LENGTH
from workers.filters import FilterError, check_filter
from workers.genesys import is_safe

WEBHOOKS: Final = "/api/v2/integrations/webhooks"
INTEGRATIONS: Final = "/api/v2/conversations/messaging/integrations/open"
SECRET: Final = "outboundNotificationWebhookSignatureSecretToken"  # noqa: S105  a field's name
HTTPS_PORT: Final = 443
"""The only port that the platform posts to.

Source: Genesys Cloud, "Configure an open messaging integration".
"""

UNSIGNED: Final = (
    "OM_REGISTRATION: [webhook] has authType none and is not signed, so the edge would refuse its events: set"
    " OM_ALLOW_UNSIGNED=true and put a secret value into OM_REQUIRED_HEADERS, or remove [webhook]"
)
_HEADER_FIELDS: Final = frozenset({"headers", "webhookHeaders"})

_number: Final = partial(fields.Integer, load_default=5, strict=True, validate=validate.Range(0))


# Each field is named as in the TOML file; *attribute* is its name in the platform's API.
class _Filter(Schema):
    event_type = fields.String(required=True, attribute="eventType")
    filter = fields.String(load_default="")


class _RetryPolicy(Schema):
    max_retries = _number(attribute="maxRetries")
    retry_interval_seconds = _number(attribute="retryIntervalSeconds")
    backoff_multiplier = fields.Float(
        attribute="backoffMultiplier", load_default=2.0, validate=validate.Range(1)
    )


class _Integration(Schema):
    id = fields.String(load_default=None)
    name = fields.String(required=True, validate=validate.Length(1))


class _Webhook(_Integration):
    description = fields.String(load_default="")
    enabled = fields.Boolean(load_default=True, truthy={True}, falsy={False})
    filters = fields.List(fields.Nested(_Filter), attribute="eventFilters", load_default=list)
    retry_policy = fields.Nested(
        _RetryPolicy, attribute="retryPolicy", load_default=lambda: _RetryPolicy().load({})
    )


def _check_url(url: str) -> None:
    if not is_safe(url) or (parts := urlsplit(url)).username or parts.query or parts.port == 0:
        raise ValidationError("must be an https:// URL (http:// only on this host) with no user or query")


class _File(Schema):
    url = fields.String(required=True, validate=_check_url)
    webhook = fields.Nested(_Webhook)
    integration = fields.Nested(_Integration)


@dataclass(frozen=True, slots=True)
class Configured:
    """A registration that should exist on the platform: a "webhook" (as in the guide) or an "integration".

    `name` identifies it unless `registration_id` is set. `body` contains none of the accepted `secrets`.
    """

    kind: str
    path: str
    name: str
    body: dict[str, Any] = field(repr=False)
    registration_id: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r}"

    def locate(self, registration_id: str) -> str:
        """Return the path of a registration of this kind."""
        return f"{self.path}/{quote(registration_id, safe='')}"

    def render(self, registered: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the request body that creates or changes the registration.

        A registered secret is kept if the edge accepts it: during a rotation, some edges might not accept the
        newest one yet. A secret that the platform hides is kept too; `omctl rotate-secret` can change it.
        """
        if not self.secrets or (registered is not None and registered.get(SECRET) is None):
            return self.body
        current = (registered or {}).get(SECRET)
        return self.body | {SECRET: current if current in self.secrets else self.secrets[0]}


def read_configured(environment: Environment, secrets: tuple[str, ...] = ()) -> tuple[Configured, ...]:
    """Return OM_REGISTRATION's registrations, with *secrets* or, if it is empty, OM_WEBHOOK_SECRETS."""
    path = environment.string("OM_REGISTRATION")
    if not path:
        raise ConfigurationError("OM_REGISTRATION must name a file like deploy/registration.example.toml")
    content = _read_file(path)
    pairs = (pair.partition("=") for pair in environment.strings("OM_REQUIRED_HEADERS"))
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    configured = []
    if webhook := content.get("webhook"):
        if not environment.boolean("OM_ALLOW_UNSIGNED", default=False):
            raise ConfigurationError(UNSIGNED)
        configured.append(_webhook(webhook, content["url"], headers))
    if integration := content.get("integration"):
        secrets = secrets or tuple(secret.decode() for secret in live_secrets(environment))
        configured.append(_integration(integration, content["url"], headers, secrets))
    if not configured:
        raise ConfigurationError("OM_REGISTRATION: [webhook] or [integration] is required")
    return tuple(configured)


def _read_file(path: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = _File().load(tomllib.loads(read_text(path, "OM_REGISTRATION")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"OM_REGISTRATION: invalid TOML: {error}") from None
    except ValidationError as error:
        problems = (f"{path}: {' '.join(messages)}" for path, messages in _flatten(error.messages))
        raise ConfigurationError(f"OM_REGISTRATION: {'; '.join(problems)}") from None
    return content


def _webhook(table: dict[str, Any], url: str, headers: dict[str, str]) -> Configured:
    target = {"type": "http", "url": url, "headers": headers, "authType": "none"}
    body = {name: value for name, value in table.items() if name != "id"} | {"target": target}
    warnings = tuple(_filter_warnings(table["eventFilters"]))
    return Configured("webhook", WEBHOOKS, table["name"], body, table["id"], warnings=warnings)


def _filter_warnings(filters: list[dict[str, str]]) -> Iterator[str]:
    """Yield the warnings about a webhook's event filters. An empty filter accepts every event of its type."""
    for one in filters:
        event_type = one["eventType"]
        try:
            found = check_filter(one["filter"] or "true", event_type)
        except FilterError as error:
            text = f"webhook.filters: {event_type}: {error}; test it with `omctl filter check`"
            raise ConfigurationError(f"OM_REGISTRATION: {text}") from None
        yield from (f"the filter of {event_type} {warning}" for warning in found.warnings)


def _integration(
    table: dict[str, Any], url: str, headers: dict[str, str], secrets: tuple[str, ...]
) -> Configured:
    if len(secrets[0]) < MIN_SECRET_LENGTH:
        raise ConfigurationError("OM_WEBHOOK_SECRETS: the platform requires more than 15 characters")
    body = {"name": table["name"], "outboundNotificationWebhookUrl": url, "webhookHeaders": headers}
    parts = urlsplit(url)
    warnings: tuple[str, ...] = ()
    if parts.scheme == "https" and parts.port not in {None, HTTPS_PORT}:
        warnings = (f"url names port {parts.port}, but the platform posts only to {HTTPS_PORT}",)
    return Configured("integration", INTEGRATIONS, table["name"], body, table["id"], secrets, warnings)


def find_differences(
    configured: Mapping[str, Any], registered: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return each field whose configured and registered values differ, with placeholders for secrets."""
    wanted = dict(_flatten(configured))
    found = dict(_flatten({name: (registered or {}).get(name) for name in configured}))
    different = (name for name in sorted(wanted | found) if found.get(name) != wanted.get(name))
    return [
        {
            "field": name,
            "registered": _show(name, found.get(name), "another value"),
            "configured": _show(name, wanted.get(name), "not shown"),
        }
        for name in different
    ]


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field's dotted name and value: headers with lowercase names, filters named by event type."""
    name = path.rpartition(".")[2]
    if name == "eventFilters" and not isinstance(next(iter(value or ()), None), str):
        texts: dict[str, list[str]] = {}
        for one in value or []:
            texts.setdefault(str(one.get("eventType")), []).append(str(one.get("filter") or "everything"))
        value = {event_type: " or ".join(sorted(alternatives)) for event_type, alternatives in texts.items()}
    if not isinstance(value, dict):
        if value is not None:
            yield path, value
        return
    for key, inner in value.items():
        key = str(key).lower() if name in _HEADER_FIELDS else key  # noqa: PLW2901
        yield from _flatten(inner, f"{path}.{key}" if path else str(key))


def _show(name: str, value: Any, instead: str) -> str | None:
    """Return the text to display for a field's value, or *instead* if the value is secret."""
    if value is None:
        return None
    if name == SECRET or not _HEADER_FIELDS.isdisjoint(name.split(".")):
        return instead
    return str(value).lower() if isinstance(value, bool) else str(value)
