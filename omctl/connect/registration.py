"""Read the registrations of OM_REGISTRATION, and compare them with those at the platform."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from messaging.environment import Environment
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
ABSENT: Final = "-"
_HEADER_FIELDS: Final = frozenset({"headers", "webhookHeaders"})


_number: Final = partial(fields.Integer, load_default=5, strict=True, validate=validate.Range(0))


# The fields have their names in the file; *attribute* is the platform's name.
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
    with suppress(ValueError):
        parts = urlsplit(url)
        if is_safe(url) and not parts.username and not parts.query and parts.port != 0:
            return
    raise ValidationError("must be https:// (http:// only on this host), without user and query")


class _File(Schema):
    url = fields.String(required=True, validate=_check_url)
    webhook = fields.Nested(_Webhook)
    integration = fields.Nested(_Integration)


@dataclass(frozen=True, slots=True)
class Configured:
    """A registration that should exist: the guide's "webhook", or the platform's "integration".

    Its name identifies it unless an id is given. The body has no secret; `secrets` are the live secrets.
    """

    kind: str
    path: str
    name: str
    body: dict[str, Any] = field(repr=False)
    registration_id: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    def render(self, registered: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the body to send.

        A registered secret that the edge accepts is kept, because the newest may not be live on every edge
        during a rotation. A secret that the platform does not show is kept: `omctl rotate-secret` sets it.
        """
        if not self.secrets or (registered is not None and registered.get(SECRET) is None):
            return self.body
        current = (registered or {}).get(SECRET)
        return self.body | {SECRET: current if current in self.secrets else self.secrets[0]}


def read_configured(environment: Environment, secrets: tuple[str, ...] = ()) -> tuple[Configured, ...]:
    """Return the registrations with OM_REQUIRED_HEADERS, and with *secrets* or OM_WEBHOOK_SECRETS."""
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
        content: dict[str, Any] = _File().load(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("OM_REGISTRATION must name a readable text file") from None
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
    """Yield warnings about event filters; an empty one accepts every event of its type."""
    for one in filters:
        event_type = one["eventType"]
        try:
            found = check_filter(one["filter"] or "true", event_type)
        except FilterError as error:
            raise ConfigurationError(
                f"OM_REGISTRATION: webhook.filters: {event_type}: {error}; `omctl filter check` tries others"
            ) from None
        yield from (f"the filter of {event_type} {warning}" for warning in found.warnings)


def _integration(
    table: dict[str, Any], url: str, headers: dict[str, str], secrets: tuple[str, ...]
) -> Configured:
    if len(secrets[0]) < MIN_SECRET_LENGTH:
        raise ConfigurationError("OM_WEBHOOK_SECRETS: the platform requires more than 15 characters")
    body = {"name": table["name"], "outboundNotificationWebhookUrl": url, "webhookHeaders": headers}
    parts = urlsplit(url)
    has_other_port = parts.scheme == "https" and parts.port not in {None, HTTPS_PORT}
    warning = f"url names port {parts.port}, but the platform posts only to {HTTPS_PORT}"
    warnings = (warning,) if has_other_port else ()
    return Configured("integration", INTEGRATIONS, table["name"], body, table["id"], secrets, warnings)


def find_differences(
    configured: Mapping[str, Any], registered: Mapping[str, Any] | None
) -> list[dict[str, str]]:
    """Return each field that differs from the platform's version (None: it has none), without secrets."""
    wanted = dict(_flatten(configured))
    found = dict(_flatten({name: (registered or {}).get(name) for name in configured}))
    return [
        _difference(name, found.get(name), wanted.get(name))
        for name in sorted({*wanted, *found})
        if found.get(name) != wanted.get(name)
    ]


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field with its dotted name. Headers are in lower case; filters are named by their type."""
    name = path.rpartition(".")[2]
    if name == "eventFilters":
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


def _difference(name: str, registered: Any, configured: Any) -> dict[str, str]:
    """Describe a difference. For a secret, report only that it differs."""
    if name == SECRET or not _HEADER_FIELDS.isdisjoint(name.split(".")):
        registered = None if registered is None else "another value"
        configured = None if configured is None else "not shown"
    return {"field": name, "registered": _text(registered), "configured": _text(configured)}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else ABSENT if value is None else str(value)
