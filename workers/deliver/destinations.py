"""Read the destinations (the services that receive events) from a TOML file."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from messaging.environment import Environment, read_text
from messaging.errors import ConfigurationError
from workers.genesys import is_safe
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, RECEIPT

EVENT_TYPES: Final = (CONVERSATION_NEW, CONVERSATION_MESSAGE, CONVERSATION_UPDATED, RECEIPT)
"""The event types to which a destination can subscribe."""

_KEYS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "url": ((str,), "must be a string"),
    "allow_http": ((bool,), "must be true or false"),
    "secret": ((str, list), "must be a string or a list of strings"),
    "secret_file": ((str,), "must be a string"),
    "events": ((str, list), "must be a string or a list of strings"),
    "timeout": ((int, float), "must be a number of seconds"),
    "concurrency": ((int,), "must be a whole number"),
    "attempts": ((int,), "must be a whole number"),
    "give_up": ((int, float), "must be a number of seconds"),
    "enabled": ((bool,), "must be true or false"),
}
_LIMITS: Final = {
    # No notification needs a request that lasts more than 300 seconds.
    "timeout": (0.001, 300.0),
    "concurrency": (1, 64),
    "attempts": (1, 1e9),
    "give_up": (0.001, 1e9),
}
_SECRET: Final = re.compile(r"(whsec_)?[A-Za-z0-9+/]+={0,2}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A service to which events are delivered.

    Args:
        secrets: Signing keys, newest first. Each event is signed with every key, so that keys can be rotated.
        timeout: How many seconds a whole request may take, including its response.
        concurrency: Maximum number of concurrent requests from one process to this destination.
        attempts: Give up on an event after this number of failures, or *give_up* seconds after the first.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...]
    timeout: float = 10.0
    concurrency: int = 8
    attempts: int = 12
    give_up: float = 86_400.0
    enabled: bool = True

    @property
    def shown_url(self) -> str:
        """The address without user, password and query, because these might be secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_destinations(path: str) -> tuple[Destination, ...]:
    """Return the destinations in the file; raise a ConfigurationError that names the invalid key."""
    try:
        content = tomllib.loads(read_text(path, "OM_DESTINATIONS"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"OM_DESTINATIONS: is not valid TOML: {error}") from None
    tables, is_none = content.pop("destinations", {}), content.pop("none", False)
    if content or not isinstance(tables, dict):
        unknown = ", ".join(content) or "destinations"
        raise ConfigurationError(f"OM_DESTINATIONS: {unknown}: only [destinations.NAME] tables are allowed")
    if bool(tables) == (is_none is True):
        # An empty file is more likely to come from a broken template than from an operator's decision.
        raise ConfigurationError(
            "OM_DESTINATIONS: has no [destinations.NAME] table; if that is intended, set none = true"
            if not tables
            else "OM_DESTINATIONS: none = true contradicts the [destinations.NAME] tables: remove one"
        )
    return tuple(_read_table(name, table, Path(path).parent) for name, table in tables.items())


def compute_digest(destinations: tuple[Destination, ...]) -> int:
    """Return a number that is equal in two processes with the same destinations; it ignores secrets."""
    shown = sorted((destination.name, repr(destination), destination.url) for destination in destinations)
    # Use fewer than 53 bits, so that JSON and Prometheus represent the number exactly.
    return int.from_bytes(hashlib.sha256(repr(shown).encode()).digest()[:6], "big")


def _read_table(name: str, table: object, directory: Path) -> Destination:
    if not isinstance(table, dict):
        raise _error(name, "", "must be a table")
    if not _NAME.fullmatch(name):
        raise _error(name, "", "the name must be 1 to 63 of a-z, 0-9, - and _, starting with a-z or 0-9")
    for key, value in table.items():
        _check(name, key, value)
    if "url" not in table:
        raise _error(name, "url", "is missing")
    if not is_safe(table["url"], allows_http=table.get("allow_http", False)):
        raise _error(name, "url", "must be https:// (http:// on this host, or with allow_http = true)")
    events = _list(table, "events")
    if not events or not set(events) <= set(EVENT_TYPES):
        raise _error(name, "events", f"must be one or more of {', '.join(EVENT_TYPES)}")
    return Destination(
        name=name,
        url=table["url"],
        secrets=_read_secrets(name, table, directory),
        events=tuple(dict.fromkeys(events)),
        **{key: table[key] for key in (*_LIMITS, "enabled") if key in table},
    )


def _check(name: str, key: str, value: Any) -> None:
    """Check that a key is known and that its value has the right type and is within its limits."""
    if key not in _KEYS:
        raise _error(name, key, f"is unknown; the known keys are {', '.join(sorted(_KEYS))}")
    types, expectation = _KEYS[key]
    # Compare the exact type, because true is also an int.
    if type(value) not in types or (
        isinstance(value, list) and not all(isinstance(text, str) for text in value)
    ):
        raise _error(name, key, expectation)
    if key in _LIMITS:
        lowest, highest = _LIMITS[key]
        # This comparison also refuses NaN.
        if not lowest <= value <= highest:
            raise _error(name, key, f"must be from {lowest:g} to {highest:g}")


def _read_secrets(name: str, table: Mapping[str, Any], directory: Path) -> tuple[str, ...]:
    """Return the secrets; `secret_file` is in $CREDENTIALS_DIRECTORY or, if unset, beside the TOML file."""
    secrets = _list(table, "secret")
    if file := table.get("secret_file"):
        home = Path(os.environ.get("CREDENTIALS_DIRECTORY", directory))
        try:
            secrets += tuple((home / file).read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError):
            raise _error(name, "secret_file", f"must name a readable text file in {home}") from None
    if not secrets:
        raise _error(name, "secret", "is missing, and so is secret_file")
    try:
        # Check that the library can sign with each key; _SECRET rejects characters that the library ignores.
        is_usable = all(_SECRET.fullmatch(secret) and Webhook(secret) for secret in secrets)
    except (EmptyWebhookSecretError, ValueError):
        is_usable = False
    if not is_usable:
        raise _error(name, "secret", "must be base64, with or without the prefix whsec_")
    return secrets


def _list(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    return (value,) if isinstance(value, str) else tuple(value)


def _error(name: str, key: str, expectation: str) -> ConfigurationError:
    """Return the error for an invalid key; its text does not contain the key's value."""
    return ConfigurationError(f"OM_DESTINATIONS: destinations.{name}{key and '.'}{key}: {expectation}")


def configured_destinations(
    environment: Environment, name: str = "OM_DESTINATIONS", default: tuple[Destination, ...] = ()
) -> tuple[Destination, ...]:
    """Return the destinations from the file at OM_DESTINATIONS, or *default* if it is not set."""
    path = environment.string(name)
    return read_destinations(path) if path else default
