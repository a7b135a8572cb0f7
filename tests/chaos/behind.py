"""Simulate the platform's API and the workers' destinations, all of which misbehave on request."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import abort

from simulator.platform import Conversation, Fault, Organisation, Participant, create_platform
from simulator.receiver import Inbox, serve_receiver
from simulator.serving import serve_app
from tests.chaos.proxy import Proxy
from tests.servers import LOOPBACK
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from simulator.receiver import ReceivedEvent
    from tests.chaos.stand import Stand
    from tests.stand.program import Program

DESTINATION: Final = "crm"
ARCHIVE: Final = "archive"
"""The second destination. It receives only messages, and no fault strikes it."""

SIGNING_SECRET: Final = "whsec_Y29uc3RydWN0ZWQtZm9yLXRoZS1zdGFuZA=="
EVENTS: Final = ("new", "message", "updated")
TIMEOUT_SECONDS: Final = 2.0
"""The time limit for one delivery to a destination, in seconds."""

REQUESTS_PER_MINUTE: Final = 60_000
"""The request limit of the simulated platform. A real organisation's lower limit would delay the updates."""

PURPOSES: Final = {"CONTACT-QUEUED": frozenset({"acd"}), "CONTACT-ROUTED": frozenset({"agent"})}
"""For each routing status, the participants' purposes that confirm the status."""

NO_PARTICIPANT: Final = ""
"""The simulated platform's recorded answer about a conversation that it does not have."""

FORBIDDEN: Final = "forbidden"
"""The simulated platform's recorded answer when it responds with 403."""

MAX_LAG_SECONDS: Final = 3.0
"""How long after a conversation's first notification the platform's answers can be out of date, in seconds.

In this simulation, the state of a conversation never changes after that notification.
"""

WITH_SHORT_WINDOWS: Final = (str(Path(__file__).with_name("short_windows.py")),)
PROGRAMS: Final = (
    ("settle-1", "settle"),
    ("settle-2", "settle"),
    ("deliver-1", "deliver"),
    ("deliver-2", "deliver"),
)
UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
        + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
        + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)
"""


class Contacts(dict[str, Conversation]):
    """The platform's conversations, and a record of the platform's answers about each of them.

    Half of the conversations wait in a routing queue, and the other half are with an agent, regardless of the
    notifications. A lying platform gives a random answer to each request. A lagging platform answers with 404
    or the earlier state for some time after a conversation's first notification.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, set[str]] = {}
        self.lies = 0
        self.liar: Random | None = None
        self.lagging: Random | None = None
        self.lagged: dict[str, tuple[float, str]] = {}
        self.notified_seconds_ago: Callable[[str], float] = lambda _: 0.0
        self.is_forbidden: Callable[[str], bool] = lambda _: False
        self.forbidden = 0

    def get(self, conversation_id: str, _default: object = None) -> Conversation | None:  # type: ignore[override]
        """Return the platform's current answer about a conversation."""
        if self.is_forbidden(conversation_id):
            self.forbidden += 1
            self._note(conversation_id, FORBIDDEN)
            abort(403)
        purpose = self._purpose_before(conversation_id)
        if purpose is None:
            purpose = self._purpose_now(conversation_id)
            self._note(conversation_id, purpose)
        if purpose == NO_PARTICIPANT:
            return None
        parts = [Participant("customer"), Participant(purpose, queue_id="queue-1")]
        return Conversation(conversation_id, "2026-01-01T00:00:00.000Z", participants=parts)

    def _note(self, conversation_id: str, purpose: str) -> None:
        self.said.setdefault(conversation_id, set()).add(purpose)

    def _purpose_now(self, conversation_id: str) -> str:
        if self.liar is None:
            return purpose_of(conversation_id)
        self.lies += 1
        return self.liar.choice(("acd", "agent", "workflow", NO_PARTICIPANT))

    def _purpose_before(self, conversation_id: str) -> str | None:
        """Return the earlier state while the platform lags, or None once the platform has caught up.

        The earlier state is not recorded as an answer, because it does not justify withholding an update.
        """
        now = time.monotonic()
        if self.lagging is not None and conversation_id not in self.lagged:
            lag = self.lagging.uniform(0.0, MAX_LAG_SECONDS) - self.notified_seconds_ago(conversation_id)
            if lag > 0:
                self.lagged[conversation_id] = now + lag, self.lagging.choice(("workflow", NO_PARTICIPANT))
        until, before = self.lagged.get(conversation_id, (0.0, ""))
        return before if now < until else None


def purpose_of(conversation_id: str) -> str:
    """Return the true purpose of a conversation's participant other than the customer."""
    return "acd" if conversation_id[-1] in "02468" else "agent"


class WatchedInbox(Inbox):
    """An inbox that records when each event was first accepted."""

    def __init__(self, secrets: dict[str, str]) -> None:
        super().__init__(secrets)
        self._moments: dict[tuple[str, bytes], float] = {}

    def accept(self, told: ReceivedEvent) -> None:
        """Record an event that gets a 2xx, and the time of that response."""
        self._moments.setdefault((told.destination, digest_of(payload_of(told))), time.monotonic())
        super().accept(told)

    def moments(self, destination: str) -> dict[bytes, float]:
        """Return when a destination accepted each event, by the digest of its body."""
        return {digest: at for (name, digest), at in list(self._moments.items()) if name == destination}


def payload_of(told: ReceivedEvent) -> bytes:
    """Return the platform's body as the destination received it."""
    return told.raw.partition(b',"data":')[2][:-1]


class CountingOrganisation(Organisation):
    """An organisation that counts its faulty answers, and whose request budget a strike can exhaust."""

    faults = 0
    is_out_of_budget = False

    def take_request(self, request: str) -> float:
        """Count a request as usual, or return a wait of one second while a strike exhausts the budget."""
        if not self.is_out_of_budget:
            return super().take_request(request)
        self.refused += 1
        return 1.0

    def next_fault(self, method: str = "GET") -> Fault | None:
        """Return the fault for the next answer, or None, and count the faults returned."""
        fault = super().next_fault(method)
        self.faults += fault is not None
        return fault


class Behind:
    """The simulated destinations and platform, with proxies in front of the platform and one destination.

    Args:
        directory: The directory for the files that list the destinations.
    """

    def __init__(self, directory: Path) -> None:
        self.contacts = Contacts()
        self.organisation = CountingOrganisation("stand", "secret", requests_per_minute=REQUESTS_PER_MINUTE)
        self.organisation.conversations = self.contacts
        self.inbox = WatchedInbox({DESTINATION: SIGNING_SECRET, ARCHIVE: SIGNING_SECRET})
        self.programs: list[Program] = []
        self._running = ExitStack()
        receiver = self._running.enter_context(serve_receiver(self.inbox))
        platform = self._running.enter_context(serve_app(create_platform(self.organisation)))
        self.receiver_proxy = Proxy(_port_of(receiver))
        self.platform_proxy = Proxy(_port_of(platform))
        self._archive_port = _port_of(receiver)
        self.directory = directory

    def settings(self) -> dict[str, str]:
        """Return the settings that point the workers at the simulated services."""
        crm = _destination(DESTINATION, self.receiver_proxy.port, EVENTS)
        archive = _destination(ARCHIVE, self._archive_port, EVENTS[1:2])
        self.directory.mkdir(parents=True, exist_ok=True)
        self.older_file.write_text(crm, encoding="utf-8")
        destinations = self.directory / "destinations.toml"
        destinations.write_text(crm + archive, encoding="utf-8")
        return {
            "OM_DESTINATIONS": str(destinations),
            "OM_GENESYS_API_URL": f"http://{LOOPBACK}:{self.platform_proxy.port}",
            "OM_GENESYS_CLIENT_ID": self.organisation.client_id,
            "OM_GENESYS_CLIENT_SECRET": self.organisation.client_secret,
            "OM_GENESYS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        }

    def serve(self, stand: Stand) -> None:
        """Create a stand's settle and deliver workers without starting them. Discard earlier deliveries."""
        url = stand.database_url()
        self.inbox.requested.clear()
        self.inbox.accepted.clear()
        self.programs = [
            stand.product.worker(
                name, runs=WITH_SHORT_WINDOWS, role=role, OM_DATABASE_URL=f"{url}?application_name={role}"
            )
            for name, role in PROGRAMS
        ]

    @property
    def older_file(self) -> Path:
        """The path of an older destinations file, which does not list the archive yet."""
        return self.directory / "older.toml"

    def taken_of(self, run: str, destination: str = DESTINATION) -> list[ReceivedEvent]:
        """Return the events of a run's conversations that a destination accepted, in order."""
        return [each for each in self.inbox.accepted_by(destination) if each.conversation_id.startswith(run)]

    def of(self, role: str) -> list[Program]:
        """Return the programs that run one role."""
        return [program for program in self.programs if program.name.startswith(role)]

    def close(self) -> None:
        """Stop the simulated services."""
        self.receiver_proxy.close()
        self.platform_proxy.close()
        self._running.close()


def _destination(name: str, port: int, events: Iterable[str]) -> str:
    """Return the TOML table for a destination."""
    return (
        f'[destinations.{name}]\nurl = "http://{LOOPBACK}:{port}/{name}"\n'
        f'secret = "{SIGNING_SECRET}"\ntimeout = {TIMEOUT_SECONDS}\n'
        f"events = {[f'openmessaging:conversation:{event}' for event in events]!r}\n"
    )


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
