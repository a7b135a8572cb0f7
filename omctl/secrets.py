"""Find the secrets that sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.errors import ConfigurationError

if TYPE_CHECKING:
    from messaging.environment import Environment

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
"""As the platform's documents write it."""


def newest_secret(environment: Environment) -> bytes:
    """Return the secret that a sender signs with: the first of OM_WEBHOOK_SECRETS.

    Raises:
        ConfigurationError: There is none.
    """
    return live_secrets(environment)[0]


def live_secrets(environment: Environment) -> tuple[bytes, ...]:
    """Return all of OM_WEBHOOK_SECRETS, newest first.

    Raises:
        ConfigurationError: There is none.
    """
    secrets = environment.strings("OM_WEBHOOK_SECRETS")
    if not secrets:
        raise ConfigurationError(
            "OM_WEBHOOK_SECRETS is not set: set it to what the edge has, newest secret first"
        )
    return tuple(secret.encode() for secret in secrets)
