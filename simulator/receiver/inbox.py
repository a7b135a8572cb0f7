"""Remember what destinations were told, and tell what came twice or out of order."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.platform import Fault


@dataclass(frozen=True, slots=True)
class Told:
    """One request with a good signature.

    Args:
        destination: Who was told.
        webhook_id: The id that every attempt has.
        event_type: What of.
        conversation_id: The platform's conversation.
        sequence: Rises within a conversation.
        late: Whether something newer went before.
        body: All of it, decoded; `data` is what the platform sent.
        raw: The body as it came.
    """

    destination: str
    webhook_id: str
    event_type: str
    conversation_id: str
    sequence: int
    late: bool
    body: Mapping[str, Any]
    raw: bytes


class Inbox:
    """What came in; may be used by several threads.

    Args:
        secrets: The signing secret of each destination, by name.
        fault_of: What goes wrong with a request; None: it is taken.
    """

    def __init__(
        self, secrets: Mapping[str, str], fault_of: Callable[[Told], Fault | None] = lambda _: None
    ) -> None:
        self.secrets = secrets
        self.fault_of = fault_of
        self.asked: list[Told] = []
        self.taken: list[Told] = []
        self.forged = 0
        self._lock = threading.Lock()

    def ask(self, told: Told) -> None:
        """Note a request, whatever comes of it."""
        with self._lock:
            self.asked.append(told)

    def take(self, told: Told) -> None:
        """Note one that is answered 2xx."""
        with self._lock:
            self.taken.append(told)

    def forge(self) -> None:
        """Note one without a good signature."""
        with self._lock:
            self.forged += 1

    def told(self, destination: str) -> list[Told]:
        """Return what a destination took, in the order of arrival."""
        with self._lock:
            return [each for each in self.taken if each.destination == destination]

    def counts(self) -> dict[str, int]:
        """Count what was taken: distinct, once more, after something that follows it, unsigned."""
        with self._lock:
            newest: dict[tuple[str, str], int] = {}
            known: set[tuple[str, str]] = set()
            repeated = disordered = 0
            for each in self.taken:
                if (each.destination, each.webhook_id) in known:
                    repeated += 1
                    continue
                known.add((each.destination, each.webhook_id))
                place = each.destination, each.conversation_id
                disordered += each.sequence < newest.get(place, 0)
                newest[place] = max(each.sequence, newest.get(place, 0))
            return {
                "delivered": len(known),
                "repeated": repeated,
                "disordered": disordered,
                "forged": self.forged,
            }
