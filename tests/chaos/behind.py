"""Stand where the platform's API and the service behind stand, and misbehave as told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from simulator.platform import Conversation, Fault, Organisation, Participant, create_platform
from simulator.receiver import Inbox, serving
from simulator.serving import serving_app
from tests.chaos.proxy import Proxy
from tests.servers import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from simulator.receiver import Told
    from tests.chaos.stand import Stand
    from tests.stand.program import Program

DESTINATION: Final = "crm"
SIGNING_SECRET: Final = "whsec_Y29uc3RydWN0ZWQtZm9yLXRoZS1zdGFuZA=="
EVENTS: Final = ("new", "message", "updated")
TIMEOUT_SECONDS: Final = 2.0
"""Of one delivery."""

REQUESTS_PER_MINUTE: Final = 60_000
"""The limit of a real organisation would be what everything else waits for."""

WINDOW: Final = {"OM_WINDOW_SECONDS": "0.5", "OM_WINDOW_LIMIT_SECONDS": "2"}
"""Short, so that a window's commit is struck easily."""

PURPOSES: Final = {"CONTACT-QUEUED": frozenset({"acd"}), "CONTACT-ROUTED": frozenset({"agent"})}
"""Whom a conversation must hold for an update to be true: a routing queue, or an agent."""

NOBODY: Final = ""
"""What is noted where the platform was made to know no such conversation."""

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
    """Every conversation there may be; notes all that was said of each.

    Of every second one the platform says that it waits in a routing queue, of the others that an agent has
    it, whatever was notified. A platform that lies says something else at each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, set[str]] = {}
        self.lies = 0
        self.liar: Random | None = None

    def get(self, conversation_id: str, _default: object = None) -> Conversation | None:  # type: ignore[override]
        """Return what the platform says of a conversation now."""
        purpose = "acd" if conversation_id[-1] in "02468" else "agent"
        if self.liar is not None:
            self.lies += 1
            purpose = self.liar.choice(("acd", "agent", "workflow", NOBODY))
        self.said.setdefault(conversation_id, set()).add(purpose)
        if purpose == NOBODY:
            return None
        parts = [Participant("customer"), Participant(purpose, queue_id="queue-1")]
        return Conversation(conversation_id, "2026-01-01T00:00:00.000Z", participants=parts)


class CountingOrganisation(Organisation):
    """Knows how many of its answers were faults."""

    faults = 0

    def next_fault(self, method: str = "GET") -> Fault | None:
        """Take the fault of this answer, if there is one, and count it."""
        fault = super().next_fault(method)
        self.faults += fault is not None
        return fault


class Behind:
    """A destination that counts, a platform that contradicts, and a proxy in front of each.

    Args:
        directory: Gets the file of the destinations.
    """

    def __init__(self, directory: Path) -> None:
        self.contacts = Contacts()
        self.organisation = CountingOrganisation("stand", "secret", requests_per_minute=REQUESTS_PER_MINUTE)
        self.organisation.conversations = self.contacts
        self.inbox = Inbox({DESTINATION: SIGNING_SECRET})
        self.programs: list[Program] = []
        self._running = ExitStack()
        receiver = self._running.enter_context(serving(self.inbox))
        platform = self._running.enter_context(serving_app(create_platform(self.organisation)))
        self.receiver_proxy = Proxy(_port_of(receiver))
        self.platform_proxy = Proxy(_port_of(platform))
        self._destinations = directory / "destinations.toml"

    def settings(self) -> dict[str, str]:
        """Return what leads the workers here."""
        self._destinations.parent.mkdir(parents=True, exist_ok=True)
        self._destinations.write_text(
            f'[destinations.{DESTINATION}]\nurl = "http://{LOOPBACK}:{self.receiver_proxy.port}/{DESTINATION}"\n'
            f'secret = "{SIGNING_SECRET}"\ntimeout = {TIMEOUT_SECONDS}\n'
            f"events = {[f'openmessaging:conversation:{each}' for each in EVENTS]!r}\n",
            encoding="utf-8",
        )
        return {
            "OM_DESTINATIONS": str(self._destinations),
            "OM_GENESYS_API_URL": f"http://{LOOPBACK}:{self.platform_proxy.port}",
            "OM_GENESYS_CLIENT_ID": self.organisation.client_id,
            "OM_GENESYS_CLIENT_SECRET": self.organisation.client_secret,
            "OM_GENESYS_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
            **WINDOW,
        }

    def serve(self, stand: Stand) -> None:
        """Name the programs, not started, over a stand's product, and forget what was told so far."""
        url = stand.database_url()
        self.inbox.asked.clear()
        self.inbox.taken.clear()
        self.programs = [
            stand.product.worker(name, role=role, OM_DATABASE_URL=f"{url}?application_name={role}")
            for name, role in PROGRAMS
        ]

    def taken_of(self, run: str) -> list[Told]:
        """Return what the destination took of a run's conversations, in order."""
        return [each for each in self.inbox.told(DESTINATION) if each.conversation_id.startswith(run)]

    def of(self, role: str) -> list[Program]:
        """Return the programs of one role."""
        return [program for program in self.programs if program.name.startswith(role)]

    def close(self) -> None:
        """Serve nothing more."""
        self.receiver_proxy.close()
        self.platform_proxy.close()
        self._running.close()


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
