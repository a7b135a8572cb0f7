"""Send one event through the whole way, TLS first, and find its row: the installation's last word."""

from __future__ import annotations

import json
import secrets
import time
import warnings
from typing import TYPE_CHECKING, Final

import requests
import sqlalchemy as sa
from urllib3.exceptions import InsecureRequestWarning

from messaging.environment import Environment
from omctl.installing import credentials
from omctl.installing.files import read
from omctl.installing.gateway import ADDRESSES, CERTIFICATE, certificate_of
from omctl.installing.step import InstallationError, Step
from omctl.signatures import SIGNATURE_HEADER
from webhook_api.routes import WEBHOOK_PATH
from webhook_api.settings import header_pairs
from webhook_api.signature import sign

if TYPE_CHECKING:
    from pathlib import Path

    from omctl.installing.options import Options

PATIENCE_SECONDS: Final = 30.0
_FIND: Final = sa.text("SELECT count(*) FROM processed_events WHERE conversation_id = :conversation")


def first_event_step(options: Options) -> Step:
    """Return the step that sends an event by TLS and waits for it in SQL."""
    return Step("send an event through TLS and find it in SQL", lambda: False, lambda: _try(options))


def _try(options: Options) -> None:
    conversation = f"omctl-install-{secrets.token_hex(8)}"
    _send(body_of(conversation), options)
    engine = sa.create_engine(_read(credentials.OWNER_DATABASE))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(_FIND, {"conversation": conversation}).scalar_one():
                return
        time.sleep(0.2)
    raise InstallationError(
        f"the event was answered 200 and is not in SQL after {PATIENCE_SECONDS:.0f} s: "
        "journalctl -u 'om-worker@*' says why"
    )


def body_of(conversation: str) -> bytes:
    """Return an event that is put on record and has no effect: of a call, which is none of this service's."""
    return json.dumps(
        {
            "topicName": f"v2.detail.events.conversation.{conversation}.customer.end",
            "eventBody": {
                "conversationId": conversation,
                "eventTime": time.time_ns() // 1_000_000,
                "mediaType": "VOICE",
            },
        }
    ).encode()


def headers_of(body: bytes) -> dict[str, str]:
    """Return what the edge wants to see of a request: signature, and the headers that settings require."""
    secret = _read(credentials.WEBHOOK_SECRETS).split(",")[0].encode()
    text = Environment().string("OM_REQUIRED_HEADERS") or read(credentials.REQUIRED_HEADERS) or ""
    required = header_pairs(tuple(part.strip() for part in text.split(",") if part.strip()))
    return {**required, "Content-Type": "application/json", SIGNATURE_HEADER: sign(body, secret)}


def _send(body: bytes, options: Options) -> None:
    url = f"https://127.0.0.1{WEBHOOK_PATH}"
    # Only the certificate that the installation itself made has this address in it.
    verify = str(CERTIFICATE) if certificate_of(options)[0] == CERTIFICATE else False
    try:
        with warnings.catch_warnings(category=InsecureRequestWarning, action="ignore"):
            answer = requests.post(url, data=body, headers=headers_of(body), timeout=10.0, verify=verify)
    except requests.RequestException as error:
        raise InstallationError(f"{url} does not answer ({type(error).__name__})") from error
    if answer.status_code == 403:
        raise InstallationError(f"{url} is refused by nginx: is 127.0.0.1 on the list of {ADDRESSES}?")
    if answer.status_code != 200:
        raise InstallationError(f"{url} answered {answer.status_code}: journalctl -u om-api says why")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
