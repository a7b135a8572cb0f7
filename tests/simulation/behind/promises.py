"""Check that settle and deliver lose, repeat and reorder no events, and that bad events delay no good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.behind.outside import DeadLetterExchange, Destination, Platform
from tests.simulation.behind.product import SUBSCRIBED, database
from workers.parsing import CONVERSATION_MESSAGE

if TYPE_CHECKING:
    from tests.simulation.behind.world import World

GOOD_SECONDS: Final = 2.0 + 1.0
"""The maximum wait of a good event: the bound in guarantees 7.6 to 7.9, plus a second, because an idle
process pauses longer in the simulation."""

UNENDED: Final = """SELECT outbox_id FROM deliveries WHERE destination = ? AND conversation_id = ?
    AND outbox_id < ? AND outcome IS NULL"""
WORK_LEFT: Final = """SELECT (SELECT count(*) FROM conversations WHERE window_opened_at IS NOT NULL)
    + (SELECT count(*) FROM routing_updates WHERE decision IS NULL)
    + (SELECT count(*) FROM deliveries WHERE outcome IS NULL)
    + (SELECT count(*) FROM deliveries WHERE outcome = 'dead' AND dead_lettered_at IS NULL)"""
ENTRIES: Final = """SELECT e.id, e.event_type, u.decision, count(o.id), u.conversation_id, u.routing_status
    FROM processed_events e LEFT JOIN outbox o ON o.event_id = e.id
    LEFT JOIN routing_updates u ON u.event_id = e.id GROUP BY e.id ORDER BY e.id"""
UNORDERED: Final = """SELECT a.id, b.id FROM outbox a JOIN outbox b ON a.conversation_id = b.conversation_id
    AND a.id < b.id WHERE NOT a.late AND NOT b.late AND a.occurred_at > b.occurred_at"""
DELIVERIES: Final = """SELECT o.id, o.event_type, d.destination, d.outcome
    FROM outbox o LEFT JOIN deliveries d ON d.outbox_id = o.id"""
ROUTING: Final = """SELECT c.conversation_id, c.routing_status, u.routing_status FROM conversations c
    JOIN routing_updates u ON u.conversation_id = c.conversation_id AND u.decision IN ('applied', 'late')
    WHERE u.occurred_at = (SELECT max(occurred_at) FROM routing_updates m
        WHERE m.conversation_id = c.conversation_id AND m.decision IN ('applied', 'late'))"""


@dataclass
class Behind:
    """The state of one run, and the checks of its promises.

    Args:
        is_calm: Whether the run has no strikes, so only bad conversations could delay good ones.
    """

    world: World
    is_calm: bool
    bad: dict[str, dict[str, str]]
    has_platform: bool
    events: int = 0

    def __post_init__(self) -> None:
        self.platform = Platform(self.world) if self.has_platform else None
        self.exchange = DeadLetterExchange(self.world)
        self.destinations = {
            name: Destination(self.world, name, self.bad.get(name, {})) for name in SUBSCRIBED
        }

    def find_unended(self, message: Any, destination: str) -> list[int]:
        """Return the ids of a conversation's deliveries before *message* that have no outcome yet."""
        values = destination, message.conversation_id, message.outbox_id
        return [row[0] for row in database().read(UNENDED, *values)]

    def is_settled(self) -> bool:
        """Return whether every event that must be settled, delivered or dead-lettered has been."""
        [(left,)] = database().read(WORK_LEFT)
        return left == 0

    def judge(self) -> None:
        """Check all promises. Call this only when `is_settled` returns true."""
        fail, read = self.world.fail, database().read
        entries = read(ENTRIES)
        if len(entries) != self.events:
            fail(f"{self.events} events were taken in, {len(entries)} are recorded", lost=True)
        for event_id, event_type, decision, count, conversation, status in entries:
            expected = int(event_type == CONVERSATION_MESSAGE or decision in {"applied", "late"})
            if count != expected:
                text = f"event {event_id} has {count} entries of the outbox, not {expected}"
                fail(text, lost=count < expected, repeated=count > expected)
            if self.platform is not None and decision is not None:
                self._judge_decision(conversation, status, decision)
        for first, second in read(UNORDERED):
            fail(f"entry {second} is not late, and is older than {first}")
        for conversation, state, newest in read(ROUTING):
            if state != newest:
                fail(f"{conversation} is {state}, and its newest update says {newest}")
        for row in read(DELIVERIES):
            self._judge_delivery(*row)
        longest = max(destination.longest_wait for destination in self.destinations.values())
        if self.is_calm and longest > GOOD_SECONDS:
            fail(f"bad events delay a good one by {longest:.1f} s")

    def _judge_decision(self, conversation: str, status: str, decision: str) -> None:
        assert self.platform is not None
        states = [state for _, state in self.platform.states[conversation]]
        if status not in states and decision in {"applied", "late"}:
            self.world.fail(f"{status} of {conversation} is applied, and was never true")
        if status == states[-1] and decision == "superseded":
            self.world.fail(f"{status} of {conversation} is superseded, and is true")

    def _judge_delivery(self, key: int, event_type: str, name: str, outcome: str) -> None:
        if name is None or event_type not in SUBSCRIBED[name]:
            self.world.fail(f"entry {key} is planned for {name}")
        elif outcome == "delivered" and not self.destinations[name].has_taken(key):
            self.world.fail(f"{key} is delivered, and {name} has not taken it", lost=True)
        elif outcome == "dead" and (name, key) not in self.exchange.taken:
            self.world.fail(f"{key} is given up for {name}, and its dead letter is lost", lost=True)
