"""All steps of an installation in their order, ending with an event through the whole service.

An upgrade is the same installation again.
"""

import json
import secrets
import time
import warnings
from collections.abc import Iterator
from typing import Final

import requests
import sqlalchemy as sa
from urllib3.exceptions import InsecureRequestWarning

from messaging.environment import Environment
from omctl.installing import credentials
from omctl.installing.broker import LISTENERS, server_steps, users_step
from omctl.installing.cluster import cluster_steps
from omctl.installing.credentials import read_stripped
from omctl.installing.database import READER, database_steps, has_reader, is_ours
from omctl.installing.gateway import ADDRESSES, CERTIFICATE, find_certificate, firewall_steps, gateway_steps
from omctl.installing.options import Options, save_options_step, saved_option_steps
from omctl.installing.steps import InstallationError, Step, always, run
from omctl.installing.units import account_step, configuration_steps, start_steps, unit_steps
from omctl.signatures import SIGNATURE_HEADER
from webhook_api.application import WEBHOOK_PATH
from webhook_api.settings import parse_headers
from webhook_api.signature import sign

FIRST_EVENT_SECONDS: Final = 30.0
_FIND_EVENT: Final = sa.text("SELECT count(*) FROM processed_events WHERE conversation_id = :conversation")


def plan_installation(options: Options) -> Iterator[Step]:
    """Return the steps."""
    yield from saved_option_steps(options)
    yield account_step()
    yield from credentials.given_steps()
    yield from _server_steps(options)
    # Options that fail before this point, for want of an address or a host's name, are not saved.
    yield save_options_step(options)
    yield from credentials.missing_steps()
    yield from configuration_steps(options)
    if options.is_worker:
        reader = ("--read-only-role", READER) if has_reader() else ()
        yield _omctl_step("update the tables", options, "migrate", *reader)
        yield _omctl_step("declare exchanges and queues", options, "setup")
    yield from unit_steps(options)
    yield from start_steps(options)
    if options.is_edge:
        yield from gateway_steps(options)
        yield from firewall_steps(options)
    if options.is_edge and options.is_worker:
        yield always("send an event through TLS and find it in SQL", lambda: _try_event(options))


def _server_steps(options: Options) -> Iterator[Step]:
    """Return the steps for broker and database, unless the environment names them."""
    if options.cluster:
        yield from cluster_steps(options)
        return
    is_lone = options.is_edge and options.is_worker
    if (is_lone and LISTENERS.exists()) or not credentials.is_server_named("OM_AMQP_URL"):
        if not is_lone:
            raise _missing("OM_AMQP_URL", "the broker, and OM_MANAGEMENT_URL its management API")
        yield from server_steps(options)
        yield users_step(options)
    has_own_database = is_lone and is_ours(options)
    if options.is_worker and (has_own_database or not credentials.is_server_named("OM_DATABASE_URL")):
        if not is_lone:
            raise _missing("OM_DATABASE_URL", "the database")
        yield from database_steps(options)


def _missing(name: str, server: str) -> InstallationError:
    return InstallationError(f"{name} must name {server}: edges and workers on several hosts share it")


def _omctl_step(title: str, options: Options, *command: str) -> Step:
    program = [f"{options.prefix}/bin/omctl", *command]
    return always(title, lambda: run(program, environment=credentials.owner_environment()))


def _try_event(options: Options) -> None:
    """Send an event through TLS and wait for its row."""
    conversation = f"omctl-install-{secrets.token_hex(8)}"
    _send(render_event(conversation), options)
    engine = sa.create_engine(read_stripped(credentials.OWNER_DATABASE))
    deadline = time.monotonic() + FIRST_EVENT_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(_FIND_EVENT, {"conversation": conversation}).scalar_one():
                return
        time.sleep(0.2)
    raise InstallationError(
        f"the event was answered 200 but is not in SQL after {FIRST_EVENT_SECONDS:.0f} s: "
        "see journalctl -u 'om-worker@*'"
    )


def render_event(conversation: str) -> bytes:
    """Return an event that is recorded and has no effect: it belongs to a call, not to a message."""
    detail = {
        "conversationId": conversation,
        "eventTime": time.time_ns() // 1_000_000,
        "mediaType": "VOICE",
    }
    topic = f"v2.detail.events.conversation.{conversation}.customer.end"
    return json.dumps({"topicName": topic, "eventBody": detail}).encode()


def request_headers(body: bytes) -> dict[str, str]:
    """Return the headers that the edge requires: the signature and those of OM_REQUIRED_HEADERS."""
    secret = read_stripped(credentials.WEBHOOK_SECRETS).split(",")[0].encode()
    text = Environment().string("OM_REQUIRED_HEADERS") or read_stripped(credentials.REQUIRED_HEADERS)
    required = dict(parse_headers(tuple(part.strip() for part in text.split(",") if part.strip())))
    return {**required, "Content-Type": "application/json", SIGNATURE_HEADER: sign(body, secret)}


def _send(body: bytes, options: Options) -> None:
    url = f"https://127.0.0.1{WEBHOOK_PATH}"
    # Only the certificate that the installation made itself contains this address.
    verify = str(CERTIFICATE) if find_certificate(options)[0] == CERTIFICATE else False
    headers = request_headers(body)
    try:
        with warnings.catch_warnings(category=InsecureRequestWarning, action="ignore"):
            response = requests.post(url, data=body, headers=headers, timeout=10.0, verify=verify)
    except requests.RequestException as error:
        raise InstallationError(f"{url} does not answer ({type(error).__name__})") from error
    if response.status_code == 403:
        raise InstallationError(f"nginx refuses {url}: check that 127.0.0.1 is on the list of {ADDRESSES}")
    if response.status_code != 200:
        raise InstallationError(f"{url} answered {response.status_code}: see journalctl -u om-api")
