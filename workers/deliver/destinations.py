"""Read the services that events are delivered to, from the TOML file that OM_DESTINATIONS names."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from messaging.errors import ConfigurationError
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED, RECEIPT

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_TYPES: Final = (CONVERSATION_NEW, CONVERSATION_MESSAGE, CONVERSATION_UPDATED, RECEIPT)
"""What is ever put into the outbox."""

MOST_SECONDS: Final = 300.0
"""A request that takes longer is no notification."""

MOST_CONCURRENCY: Final = 64

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Where nobody listens in."""

_SECRET: Final = re.compile(r"(whsec_)?[A-Za-z0-9+/]+={0,2}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Destination:
    """One service behind, and how it is told.

    Args:
        name: What operators, tables and logs call it.
        url: Where its events are posted.
        secrets: Signing keys, newest first; each signs, so that one can be rotated.
        events: The event types that it is told of.
        timeout: Seconds that a whole request may take, its answer included.
        concurrency: Requests under way at a time, of each process.
        attempts: How often it may fail over one event before that is given up …
        give_up: … and seconds from the first attempt after which it is given up whatever the number.
        enabled: Whether it is delivered to at all.
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
        """Return the address without user, password, query, which may be secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_destinations(path: str) -> tuple[Destination, ...]:
    """Return the destinations of the file.

    Raises:
        ConfigurationError: It cannot be read, or a key is malformed, missing or unknown; the text names it.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("OM_DESTINATIONS must name a readable text file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"OM_DESTINATIONS: is no TOML: {error}") from None
    tables, is_none = content.pop("destinations", {}), content.pop("none", False)
    if content or not isinstance(tables, dict):
        unknown = ", ".join(content) or "destinations"
        raise ConfigurationError(f"OM_DESTINATIONS: {unknown}: only [destinations.NAME] tables are known")
    if bool(tables) == (is_none is True):
        # An empty file is a template gone wrong more often than a decision.
        raise ConfigurationError(
            "OM_DESTINATIONS: has no [destinations.NAME] table; if that is intended, it must say none = true"
            if not tables
            else "OM_DESTINATIONS: none = true, and destinations, exclude each other"
        )
    return tuple(_destination(name, table, Path(path).parent) for name, table in tables.items())


def digest_of(destinations: tuple[Destination, ...]) -> int:
    """Return a number by which processes with different files differ; secrets are left out."""
    shown = [(repr(each), each.url) for each in sorted(destinations, key=lambda each: each.name)]
    # Fewer than 53 bits, so that JSON and Prometheus keep it exactly.
    return int.from_bytes(hashlib.sha256(repr(shown).encode()).digest()[:6], "big")


def _destination(name: str, table: object, directory: Path) -> Destination:
    reader = _Reader(f"destinations.{name}", table)
    if not _NAME.fullmatch(name):
        raise reader.error("", "a name has small letters, digits, - and _, 63 at most")
    destination = Destination(
        name=name,
        url=_url(reader),
        secrets=_secrets(reader, directory),
        events=_events(reader),
        timeout=reader.number("timeout", 10.0, most=MOST_SECONDS),
        concurrency=int(reader.number("concurrency", 8, least=1, most=MOST_CONCURRENCY, whole=True)),
        attempts=int(reader.number("attempts", 12, least=1, whole=True)),
        give_up=reader.number("give_up", 86_400.0),
        enabled=reader.boolean("enabled", default=True),
    )
    reader.end()
    return destination


def _url(reader: _Reader) -> str:
    url = reader.text("url")
    allows_http = reader.boolean("allow_http", default=False)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    is_open = parts.scheme == "http" and (allows_http or host in LOOPBACK) if host else False
    if not host or not (is_open or parts.scheme == "https"):
        raise reader.error("url", "must be https:// (http:// on this host, or with allow_http = true)")
    return url


def _secrets(reader: _Reader, directory: Path) -> tuple[str, ...]:
    """Return the secrets; a relative file is systemd's credential, else beside the TOML file."""
    texts = reader.texts("secret")
    if file := reader.text("secret_file", ""):
        home = Path(os.environ.get("CREDENTIALS_DIRECTORY", directory))
        try:
            texts += tuple((home / file).read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError):
            raise reader.error("secret_file", f"must name a readable text file in {home}") from None
    if not texts:
        raise reader.error("secret", "or secret_file must be given")
    if not all(_is_secret(text) for text in texts):
        raise reader.error("secret", "must be whsec_ and base64")
    return texts


def _is_secret(text: str) -> bool:
    """Tell whether the library can sign with it; it ignores what is no base64, which would be a mistake."""
    if not _SECRET.fullmatch(text):
        return False
    try:
        Webhook(text)
    except (EmptyWebhookSecretError, ValueError):
        return False
    return True


def _events(reader: _Reader) -> tuple[str, ...]:
    events = reader.texts("events")
    if not events or not set(events) <= set(EVENT_TYPES):
        raise reader.error("events", f"must be some of {', '.join(EVENT_TYPES)}")
    return tuple(dict.fromkeys(events))


class _Reader:
    """One table of the file, read key by key; what is left at the end is unknown."""

    def __init__(self, name: str, table: object) -> None:
        self._name = name
        if not isinstance(table, dict):
            raise self.error("", "must be a table")
        self._left: Mapping[str, Any] = table
        self._known: set[str] = set()

    def error(self, key: str, what: str) -> ConfigurationError:
        """Return what to raise of a key; it repeats no value."""
        return ConfigurationError(f"OM_DESTINATIONS: {self._name}{key and '.'}{key}: {what}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, "must be a text" if key in self._left else "is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text, or a list of them, or nothing."""
        value = self._take(key, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise self.error(key, "must be a text or a list of texts")
        return tuple(values)

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def number(
        self, key: str, default: float, *, least: float = 0.001, most: float = 1e9, whole: bool = False
    ) -> float:
        value = self._take(key, default)
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value):
            raise self.error(key, f"must be a {'whole number' if whole else 'number of seconds'}")
        if not least <= value <= most:
            raise self.error(key, f"must be from {least:g} to {most:g}")
        return value

    def end(self) -> None:
        """Refuse what nobody has read: it is misspelt."""
        for key in self._left:
            if key not in self._known:
                raise self.error(key, f"is unknown; known are {', '.join(sorted(self._known))}")

    def _take(self, key: str, default: object) -> Any:
        self._known.add(key)
        return self._left.get(key, default)
