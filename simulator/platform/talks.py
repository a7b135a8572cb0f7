"""Have something happen in a conversation, and tell every webhook that is registered."""

from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from simulator.platform import bodies
from simulator.platform.organisation import Conversation, Participant
from simulator.platform.registrations import HEADERS, URL
from workers.filters import FilterError, checked

if TYPE_CHECKING:
    from simulator.platform.organisation import Organisation
    from workers.filters import Filter

QUEUE: Final = "simulated-queue"
AGENT: Final = "simulated-agent"

WAITING: Final = "waiting in the queue"
OVER: Final = "over"


class TalkOverError(ValueError):
    """Answer 409: nobody can say anything in a conversation that is over, or was never begun."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    who: str
    text: str
    time: str


@dataclass(slots=True)
class Talk:
    """One conversation."""

    conversation: Conversation
    customer: str
    said: list[Said] = field(default_factory=list)
    last: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> str:
        """Return the present as the platform writes it, later than anything before in this conversation."""
        self.last = max(datetime.now(UTC), self.last + timedelta(milliseconds=1))
        return f"{self.last:%Y-%m-%dT%H:%M:%S}.{self.last.microsecond // 1000:03d}Z"

    @property
    def state(self) -> str:
        """Where it is: waiting, with the agent, over."""
        if self.conversation.end_time:
            return OVER
        return "with the agent" if len(self.conversation.participants) > 2 else WAITING


class Talks:
    """What is said in conversations; may be used by any thread.

    Args:
        organisation: Whose conversations they are.
    """

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._talks: dict[str, Talk] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Talk]:
        """Return every conversation, the newest first."""
        with self._lock:
            return list(reversed(self._talks.values()))

    def begin(self, customer: str, text: str, *, is_lost: bool = False) -> tuple[str, str]:
        """Begin a conversation, which waits in a routing queue; return its id and its first message's."""
        conversation_id = str(uuid.uuid4())
        conversation = Conversation(conversation_id, "")
        talk = Talk(conversation, customer)
        conversation.start_time = talk.now()
        conversation.participants = [Participant("customer"), Participant("acd", queue_id=QUEUE)]
        with self._lock:
            self._organisation.put(conversation)
            self._talks[conversation_id] = talk
            self._tell(bodies.new(conversation_id, conversation.start_time, customer), is_lost=is_lost)
            message_id = self._say(talk, "customer", text, is_lost=is_lost)
            self._tell(bodies.routed(conversation_id, talk.now(), "CONTACT-QUEUED", QUEUE))
        return conversation_id, message_id

    def write(self, customer: str, text: str) -> tuple[str, str]:
        """Go on with the customer's open conversation, or begin one; return its id and the message's."""
        going_on = (each for each in self.all() if each.customer == customer and each.state != OVER)
        talk = next(going_on, None)
        if talk is None:
            return self.begin(customer, text)
        conversation_id = talk.conversation.conversation_id
        return conversation_id, self.say(conversation_id, "customer", text)

    def say(self, conversation_id: str, who: str, text: str, *, is_lost: bool = False) -> str:
        """Have the customer write or the agent answer; return the message's id.

        The agent's first answer takes the conversation out of the queue.

        Raises:
            TalkOverError: It has ended, or there is none.
        """
        with self._lock:
            talk = self._open(conversation_id)
            if who == "agent" and talk.state == WAITING:
                talk.conversation.participants.append(Participant("agent", QUEUE, AGENT))
                self._organisation.put(talk.conversation)
                self._tell(bodies.routed(conversation_id, talk.now(), "CONTACT-ROUTED", QUEUE))
            return self._say(talk, who, text, is_lost=is_lost)

    def end(self, conversation_id: str) -> None:
        """End a conversation; no webhook tells of it.

        Raises:
            TalkOverError: It has ended before, or there is none.
        """
        with self._lock:
            talk = self._open(conversation_id)
            talk.conversation.end_time = talk.now()
            self._organisation.put(talk.conversation)
            if self._organisation.history.conversation(conversation_id):
                self._organisation.history.end(conversation_id, talk.conversation.end_time)

    def _open(self, conversation_id: str) -> Talk:
        talk = self._talks.get(conversation_id)
        if talk is None or talk.conversation.end_time:
            raise TalkOverError("this conversation is over")
        return talk

    def _say(self, talk: Talk, who: str, text: str, *, is_lost: bool) -> str:
        time, message_id = talk.now(), secrets.token_hex(16)
        talk.said.append(Said(who, text, time))
        message = bodies.Message(
            talk.conversation.conversation_id,
            talk.customer,
            message_id,
            time,
            text,
            from_agent=who == "agent",
        )
        self._tell(message, is_lost=is_lost)
        return message_id

    def _tell(self, event: bodies.Event, *, is_lost: bool = False) -> None:
        """Send an event to each webhook that wants it and each integration that knows such events."""
        registrations = self._organisation.registrations
        for webhook in list(registrations.webhooks.values()):
            body = event.in_guide_s_form()
            if webhook["enabled"] and wants(webhook, body):
                target = webhook["target"]
                self._post(webhook["id"], target["url"], target.get("headers"), body, is_lost=is_lost)
        for integration_id, integration in list(registrations.integrations.items()):
            native = event.in_native_form(integration_id, integration["name"])
            if native is not None:
                self._post(
                    integration_id, integration[URL], integration.get(HEADERS), native, is_lost=is_lost
                )

    def _post(
        self,
        registered_id: str,
        url: str,
        headers: dict[str, str] | None,
        body: dict[str, Any],
        *,
        is_lost: bool,
    ) -> None:
        self._organisation.history.record(body)
        if is_lost:
            self._organisation.outbound.lose(registered_id, body)
        else:
            self._organisation.outbound.send(registered_id, url, headers or {}, body)


def wants(webhook: dict[str, Any], body: dict[str, Any]) -> bool:
    """Tell whether one of a webhook's filters is of the body's type and holds of it."""
    return any(
        each.get("eventType") == body["eventType"] and holds(each.get("filter"), body)
        for each in webhook.get("eventFilters") or ()
    )


def holds(expression: str | None, body: dict[str, Any]) -> bool:
    """Tell whether a filter holds of a body: an empty one always, one that cannot be told never."""
    if not expression:
        return True
    try:
        return _filter_of(expression).evaluate(body)
    except FilterError:
        return False


@lru_cache
def _filter_of(expression: str) -> Filter:
    return checked(expression)
