"""Read the file that OM_REGISTRATION names, in TOML; what is malformed is refused by its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from messaging.errors import ConfigurationError
from workers.genesys import is_safe

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Filter(Schema):
    event_type = fields.String(required=True)
    filter = fields.String(load_default="")


class _RetryPolicy(Schema):
    max_retries = fields.Integer(load_default=5, strict=True, validate=validate.Range(0))
    retry_interval_seconds = fields.Integer(load_default=5, strict=True, validate=validate.Range(0))
    backoff_multiplier = fields.Float(load_default=2.0, validate=validate.Range(1))


class _Webhook(Schema):
    id = fields.String(load_default=None)
    name = fields.String(required=True, validate=validate.Length(1))
    description = fields.String(load_default="")
    enabled = fields.Boolean(load_default=True, truthy={True}, falsy={False})
    filters = fields.List(fields.Nested(_Filter), load_default=list)
    retry_policy = fields.Nested(_RetryPolicy, load_default=lambda: _RetryPolicy().load({}))


class _Integration(Schema):
    id = fields.String(load_default=None)
    name = fields.String(required=True, validate=validate.Length(1))


class _File(Schema):
    url = fields.String(required=True)
    webhook = fields.Nested(_Webhook)
    integration = fields.Nested(_Integration)


def read_file(path: str) -> dict[str, Any]:
    """Return the file's tables, with defaults for what they leave out.

    Raises:
        ConfigurationError: It cannot be read, or something in it is malformed; no value is repeated.
    """
    try:
        content: dict[str, Any] = _File().load(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("OM_REGISTRATION must name a readable text file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"OM_REGISTRATION: is no TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"OM_REGISTRATION: {'; '.join(_said(error.messages))}") from None
    _check(content["url"])
    return content


def _said(messages: Any, path: str = "") -> Iterator[str]:
    """Yield what marshmallow says of each key."""
    if not isinstance(messages, dict):
        yield f"{path}: {' '.join(messages)}"
        return
    for key, inner in messages.items():
        yield from _said(inner, f"{path}.{key}" if path else str(key))


def _check(url: str) -> None:
    """Refuse an address that the platform cannot or must not post to."""
    try:
        parts = urlsplit(url)
        is_usable = is_safe(url) and not parts.username and not parts.query and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigurationError(
            "OM_REGISTRATION: url: must be https:// (http:// only on this host), without user and query"
        )
