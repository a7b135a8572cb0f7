"""Send an event of our own through the whole service once a minute, and name the stage that stops it."""

import base64
import hmac
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import requests
from urllib3.exceptions import NameResolutionError

from messaging.envelope import CANARY_HEADER
from messaging.log import logger
from workers.db.canary import Canary
from workers.observe.probe import Probe

INTERVAL_SECONDS: Final = 60.0

REQUEST_SECONDS: Final = 4.0
"""For the connection, and again for the answer."""

ARRIVAL_SECONDS: Final = 12.0
"""An event takes milliseconds; a worker that starts again takes some seconds. With the interval, and a name
server that does not answer, a stage is named within 90 s."""

SECOND_LOOK_SECONDS: Final = 3.0
"""A refusal counts if it lasts: a gateway or an edge may be starting again."""

STAGES: Final = ("dns", "certificate", "gateway", "edge", "broker", "intake", "database")
"""In the order in which an event passes them, but for the database."""

_EDGE_ANSWERS: Final = {
    401: "refuses the signature or a header: OM_WEBHOOK_SECRETS and OM_REQUIRED_HEADERS must be the edge's",
    413: "refuses a small body as too large",
    429: "refuses events for now: the queue is too deep",
    500: "has failed to answer",
    502: "does not answer the gateway",
    503: "refuses events: its journal is full or cannot be written",
    504: "does not answer the gateway in time",
}


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """Where canaries are posted, and how they prove themselves to the edge."""

    url: str
    secret: bytes | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """The stage that stops canaries, one of STAGES, and what it does."""

    stage: str
    text: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.text}"


class CanarySender:
    """Sends a canary every *interval* seconds from a thread of its own; the last result may be read any time.

    Args:
        settings: Where to.
        broker: Whether the broker answers.
        newest: When the newest canary of this host that arrived was sent, from the database.
        interval: Seconds from one to the next.

    `fault`: what stopped the last one; None if it arrived, or none has been sent yet.
    `seconds`: how long the last one that arrived took; None before.
    `arrived_at`: when that was, in monotonic seconds.
    `finished_at`: when the last attempt ended, in monotonic seconds; None before.
    """

    def __init__(
        self,
        settings: CanarySettings,
        broker: Probe[None],
        newest: Probe[int],
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._newest = newest
        self._interval = interval
        self.fault: Fault | None = None
        self.seconds: float | None = None
        self.arrived_at: float | None = None
        self.finished_at: float | None = None
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_current(self) -> bool:
        """Whether an attempt ended in the last three intervals: otherwise nothing is known."""
        return self.finished_at is not None and time.monotonic() - self.finished_at <= 3 * self._interval

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                fault = self._send()
            except Exception as error:  # noqa: BLE001  # the outermost loop of a thread
                fault = Fault("gateway", f"could not be asked: {type(error).__name__}")
            self.finished_at = time.monotonic()
            if fault is not None and fault.stage != (self.fault.stage if self.fault else None):
                logger().warning("canary_stopped", stage=fault.stage, reason=fault.text)
            self.fault = fault
            time.sleep(max(0.0, began + self._interval - time.monotonic()))

    def _send(self) -> Fault | None:
        """Send one, and wait until it is in the database; return what stops it."""
        canary = Canary(socket.gethostname(), time.time_ns() // 1000)
        began = time.monotonic()
        fault = post(self._settings, canary)
        if fault is not None and time.monotonic() - began < SECOND_LOOK_SECONDS:
            time.sleep(SECOND_LOOK_SECONDS)
            began = time.monotonic()
            fault = post(self._settings, canary)
        return fault or self._wait_for(canary, began)

    def _wait_for(self, canary: Canary, began: float) -> Fault | None:
        ends = time.monotonic() + ARRIVAL_SECONDS
        self._broker.read(0.0)
        while True:
            newest = self._newest.read(1.0)
            if newest.problem is None and (newest.value or 0) >= canary.sent_at_us:
                self.arrived_at = time.monotonic()
                self.seconds = self.arrived_at - began
                return None
            if time.monotonic() >= ends:
                break
            time.sleep(0.2)
        if newest.problem is not None:
            return Fault("database", newest.problem)
        if problem := self._broker.read(REQUEST_SECONDS).problem:
            return Fault("broker", problem)
        return Fault("intake", f"it was answered 200 and not processed in {ARRIVAL_SECONDS:.0f} s")


def post(settings: CanarySettings, canary: Canary) -> Fault | None:
    """Post a canary; return the stage before the journal that stops it."""
    body = canary.encode()
    headers = {**settings.headers, CANARY_HEADER: "1", "Content-Type": "application/json"}
    if settings.secret is not None:
        digest = hmac.digest(settings.secret, body, "sha256")
        headers["X-Hub-Signature-256"] = f"sha256={base64.b64encode(digest).decode()}"
    try:
        # The status is enough: a body that comes slowly would hold the thread up.
        with requests.post(
            settings.url, body, headers=headers, timeout=REQUEST_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return explain_failure(error)
    if status == 200:
        return None
    if status in _EDGE_ANSWERS:
        return Fault("edge", f"{_EDGE_ANSWERS[status]} ({status})")
    return Fault("gateway", f"answers {status}")


def explain_failure(error: requests.RequestException) -> Fault:
    """Return the stage that a request met that got no answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return Fault("certificate", "is expired, or not valid for this name or authority")
    if isinstance(error, requests.Timeout):
        return Fault("gateway", f"does not answer in {REQUEST_SECONDS:.0f} s")
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(cause, NameResolutionError):
        return Fault("dns", "the name of OM_CANARY_URL has no address")
    return Fault("gateway", "accepts no connection")
