"""Send a canary, an event of our own, through the whole service, and report the stage that stops it."""

import base64
import hmac
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import requests
from urllib3.exceptions import NameResolutionError

from messaging.envelope import CANARY_HEADER
from messaging.errors import OpenMessagingError
from workers.db.canary import Canary
from workers.observe.probe import Probe, Reading

REQUEST_SECONDS: Final = 4.0
"""Timeout of a canary's request: for the connection, and again for the answer."""

ARRIVAL_SECONDS: Final = 12.0
"""How long a canary may take: an event takes milliseconds, and a worker restarts within seconds. A fault's
stage is still reported within 90 s, including the wait for the next canary and for a silent name server."""

SECOND_LOOK_SECONDS: Final = 3.0
"""Pause before a refused canary is posted again, because a gateway or an edge might just be restarting."""

STAGES: Final = ("dns", "certificate", "gateway", "edge", "broker", "intake", "database")
"""The stages at which a canary can stop, in the order in which it passes them; the database comes last."""

UNKNOWN_STAGE: Final = "unknown"
"""Exported as the stage while canaries have no result, so that an alert rule can react."""

_EDGE_ANSWERS: Final = {
    401: "refuses the signature or a header: set OM_WEBHOOK_SECRETS and OM_REQUIRED_HEADERS as on the edge",
    413: "refuses a small body as too large",
    429: "refuses events for now: the queue is too deep",
    500: "failed with an internal error",
    502: "does not answer the gateway",
    503: "refuses events: its journal is full or cannot be written",
    504: "does not answer the gateway in time",
}


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """The address to which canaries are posted, and the secret and headers that the edge requires."""

    url: str
    secret: bytes | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class CanaryStoppedError(OpenMessagingError):
    """Report the stage that stopped a canary, and why. `find_stage` reads the stage from the text."""

    def __init__(self, stage: str, text: str) -> None:
        super().__init__(f"{stage}: {text}")


def find_stage(reading: Reading[float]) -> str | None:
    """Return the stage that stopped the last canary; None if the canary arrived or the stage is unknown."""
    stage = (reading.problem or "").partition(":")[0]
    return stage if stage in STAGES else None


def send(settings: CanarySettings, broker: Probe[None], newest: Probe[int]) -> float:
    """Send a canary, and return how many seconds it took to reach the database; blocks for up to 30 seconds.

    *newest* reads when this host's newest recorded canary was sent. If the new canary does not arrive,
    CanaryStoppedError is raised.
    """
    # If the clock was set back, the newest recorded canary is in the future, and the new one must be later.
    sent_at_us = max(time.time_ns() // 1000, (newest.read(1.0).value or 0) + 1)
    canary, began = Canary(socket.gethostname(), sent_at_us), time.monotonic()
    try:
        post(settings, canary)
    except CanaryStoppedError:
        if time.monotonic() - began >= SECOND_LOOK_SECONDS:
            raise
        time.sleep(SECOND_LOOK_SECONDS)
        began = time.monotonic()
        post(settings, canary)
    ends = time.monotonic() + ARRIVAL_SECONDS
    broker.read(0.0)
    while True:
        arrived = newest.read(1.0)
        if arrived.problem is None and (arrived.value or 0) >= canary.sent_at_us:
            return time.monotonic() - began
        if time.monotonic() >= ends:
            break
        time.sleep(0.2)
    if arrived.problem is not None:
        raise CanaryStoppedError("database", arrived.problem)
    if problem := broker.read(REQUEST_SECONDS).problem:
        raise CanaryStoppedError("broker", problem)
    raise CanaryStoppedError("intake", f"answered 200 but not processed within {ARRIVAL_SECONDS:.0f} s")


def post(settings: CanarySettings, canary: Canary) -> None:
    """Post a canary; raise CanaryStoppedError if a stage before the journal stops it."""
    body = canary.encode()
    headers = {**settings.headers, CANARY_HEADER: "1", "Content-Type": "application/json"}
    if settings.secret is not None:
        digest = hmac.digest(settings.secret, body, "sha256")
        headers["X-Hub-Signature-256"] = f"sha256={base64.b64encode(digest).decode()}"
    try:
        # Read only the status, because a body that arrives slowly would block the thread.
        with requests.post(
            settings.url, body, headers=headers, timeout=REQUEST_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            status, kind = answer.status_code, answer.headers.get("Content-Type", "")
    except Exception as error:  # noqa: BLE001  # http.client raises other errors for a header it cannot send
        raise _explain(error) from None
    if status != 200:
        # Gateways too can answer with 429 or 503, but only the edge answers in JSON.
        is_edge = status in _EDGE_ANSWERS and ("json" in kind or status in {500, 502, 504})
        text = f"{_EDGE_ANSWERS[status]} ({status})" if is_edge else f"answers {status}"
        raise CanaryStoppedError("edge" if is_edge else "gateway", text)


def _explain(error: Exception) -> CanaryStoppedError:
    """Return an error that names the stage at which an unanswered request failed."""
    if isinstance(error, requests.exceptions.SSLError):
        return CanaryStoppedError("certificate", "has expired, is for another host name, or is not trusted")
    if isinstance(error, requests.Timeout):
        return CanaryStoppedError("gateway", f"does not answer in {REQUEST_SECONDS:.0f} s")
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, NameResolutionError):
        return CanaryStoppedError("dns", "the host name of OM_CANARY_URL cannot be resolved")
    if isinstance(error, requests.ConnectionError):
        return CanaryStoppedError("gateway", "accepts no connection")
    return CanaryStoppedError("gateway", "cannot be sent: check OM_CANARY_URL and OM_REQUIRED_HEADERS")
