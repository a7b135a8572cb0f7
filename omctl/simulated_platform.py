"""Serve the simulated platform until somebody stops it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.errors import OpenMessagingError
from omctl.secrets import newest_secret
from simulator.platform import EventStatus, Organisation, serve_platform
from webhook_api.settings import header_pairs

if TYPE_CHECKING:
    from messaging.environment import Environment

NAME: Final = "Simulated"
CLIENT: Final = "simulated"
"""The OAuth client's id and secret, where the environment names none: it guards nothing."""

STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})
EVENT_TYPES: Final = ("new", "message", "updated")


class PortTakenError(OpenMessagingError):
    """Choose another port by --port."""


def serve(environment: Environment, url: str | None, port: int) -> None:
    """Serve it until SIGINT or SIGTERM.

    Args:
        environment: Where the OAuth client, the newest secret and the headers are read.
        url: What is posted to from the start; None: whatever gets registered.
        port: Where on this host.

    Raises:
        PortTakenError: Somebody else is there.
    """
    client_id = environment.string("OM_GENESYS_CLIENT_ID", CLIENT)
    # Before the first thread, so that none of them takes the signal away from here.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    organisation = Organisation(client_id, environment.string("OM_GENESYS_CLIENT_SECRET", CLIENT))
    if url:
        register(organisation, environment, url)
    database = environment.string("OM_DATABASE_URL")
    try:
        with serve_platform(
            organisation, port, event_status=EventStatus(database) if database else None
        ) as address:
            click.echo(f"The simulated platform and its page: {address}/")
            if client_id == CLIENT:
                click.echo(f"OM_GENESYS_API_URL={address}")
                click.echo(f"OM_GENESYS_CLIENT_ID={CLIENT} OM_GENESYS_CLIENT_SECRET={CLIENT}")
            click.echo("Ctrl-C stops it")
            signal.sigwait(STOPPING)
    except (OSError, SystemExit):
        # werkzeug says that a port is taken by leaving.
        raise PortTakenError(f"port {port} of this host is taken: choose another by --port") from None


def register(organisation: Organisation, environment: Environment, url: str) -> None:
    """Register the integration and the webhook of the guide, with the edge's own secret and headers.

    The webhook is signed only if the edge accepts nothing unsigned; the integration needs a secret.
    """
    headers = header_pairs(environment.strings("OM_REQUIRED_HEADERS"))
    target: dict[str, Any] = {"type": "http", "url": url, "headers": headers, "authType": "none"}
    if not environment.boolean("OM_ALLOW_UNSIGNED", default=False):
        target["secret"] = newest_secret(environment).decode()
    if environment.strings("OM_WEBHOOK_SECRETS"):
        organisation.registrations.create_integration(
            {
                "name": NAME,
                "outboundNotificationWebhookUrl": url,
                "outboundNotificationWebhookSignatureSecretToken": newest_secret(environment).decode(),
                "webhookHeaders": headers,
            }
        )
    filters = [{"eventType": f"openmessaging:conversation:{each}", "filter": ""} for each in EVENT_TYPES]
    organisation.registrations.create_webhook({"name": NAME, "target": target, "eventFilters": filters})
