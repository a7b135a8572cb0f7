"""Model the services that workers call: the destinations, the platform's API, the dead-letter exchange."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from messaging.errors import BrokerUnavailableError
from workers.deliver.outcome import HttpResult
from workers.genesys.errors import PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.parsing import QUEUED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.behind.world import Process, World
    from workers.deliver import WebhookMessage

TIMEOUT_SECONDS: Final = 2.0
ATTEMPTS: Final = 4
LATENCIES: Final = (0.002, 0.01, 0.05)
MIN_LEASE_SECONDS: Final = 9.0
"""The minimum number of seconds between an answer and the end of its delivery's lease: the margin that a run
of deliveries keeps, minus the duration of a slow statement."""


@dataclass
class Request:
    """A request to a destination, the time when its event was accepted, and the result that came back."""

    process: Process
    taken_at: float | None = None
    result: HttpResult | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the event was accepted but the process never received the answer."""
        return self.taken_at is not None and (self.result is None or self.result.status is None)


@dataclass
class Destination:
    """A destination that accepts events, refuses them, hangs or is down. `mode` is its current behaviour.

    Args:
        bad: Maps some conversations to the mode that always applies to their events.
    """

    world: World
    name: str
    bad: dict[str, str]
    mode: str = ""
    requests: dict[int, list[Request]] = field(default_factory=lambda: defaultdict(list))
    under_way: dict[str, Request] = field(default_factory=dict)
    longest_wait: float = 0.0

    def send(self, message: WebhookMessage, unended: list[int]) -> HttpResult:
        """Answer a request. *unended* lists the conversation's earlier deliveries that lack an outcome."""
        world, key, conversation = self.world, message.outbox_id, message.conversation_id
        assert world.process is not None
        request = Request(world.process)
        self._check_order(key, conversation, unended)
        self._check_repetition(key)
        self.requests[key].append(request)
        self.under_way[conversation] = request
        self._pause()
        mode = self.bad.get(conversation) or self.mode
        if mode in {"", "lost", "cut"}:
            if not any(one.taken_at for one in self.requests[key]):
                self.longest_wait = max(
                    self.longest_wait, (world.now_us() - message.created_at_us) / 1_000_000
                )
            request.taken_at = world.now
            world.note("%s takes %d of %s", self.name, key, conversation)
        self._pause()
        if mode in {"lost", "hang"}:
            world.sleep(TIMEOUT_SECONDS)
        request.result = _RESULTS[mode]
        self.under_way.pop(conversation, None)
        world.note("%s answers %d of %s: %s", self.name, key, conversation, request.result.reason)
        return request.result

    def _pause(self) -> None:
        chance = self.world.random
        self.world.sleep(chance.choice(LATENCIES) * chance.random())

    def _check_order(self, key: int, conversation: str, unended: list[int]) -> None:
        for earlier in unended:
            if not self._may_have_ended(earlier):
                self.world.fail(f"{self.name} gets {key} of {conversation} before {earlier} has ended")
        other = self.under_way.get(conversation)
        if other and not other.process.is_dead and self.world.disturbed_at < self.world.now - 60:
            self.world.fail(f"{self.name} gets two events of {conversation} at once")

    def _may_have_ended(self, key: int) -> bool:
        requests = self.requests.get(key)
        if not requests:
            return False
        result = requests[-1].result
        is_refused = result is not None and result.status is not None and result.status < 429
        return is_refused or len([one for one in requests if one.result]) >= ATTEMPTS

    def _check_repetition(self, key: int) -> None:
        """Check that an event is repeated only if its answer was lost, or a strike let its lease expire."""
        for earlier in self.requests[key]:
            if earlier.taken_at is None or earlier.is_lost or earlier.process.is_dead:
                continue
            if self.world.disturbed_at < earlier.taken_at:
                self.world.fail(f"{self.name} gets {key} again, though its answer arrived", repeated=True)

    def has_taken(self, key: int) -> bool:
        """Return whether the destination has accepted an event."""
        return any(request.taken_at for request in self.requests.get(key, ()))


def _result(status: int | None, reason: str = "", retry_after: float | None = None) -> HttpResult:
    return HttpResult(status, reason or str(status), retry_after)


_RESULTS: Final = {
    "": _result(200),
    "lost": _result(None, "timeout"),
    "hang": _result(None, "timeout"),
    "cut": _result(None, "connection"),
    "gone": _result(None, "connection"),
    "500": _result(500),
    "429": _result(429, retry_after=3.0),
    "400": _result(400),
    "401": _result(401),
    "404": _result(404),
}
MODES: Final = tuple(_RESULTS)[1:]


class Platform:
    """The platform's API for conversations, which lags behind its notifications by up to three seconds.

    `states` maps each conversation to its states, each with the time at which it begins.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.states: dict[str, list[tuple[float, str]]] = {}
        self.lags: dict[str, float] = {}
        self.mode = ""

    def get(self, path: str) -> dict[str, Any]:
        """Return a conversation or raise an error, as the product's own client does."""
        world, conversation = self._world, path.rpartition("/")[2]
        world.sleep(0.05 * world.random.random())
        if self.mode == "busy":
            raise PlatformBusyError("no budget", delay=1.0)
        if self.mode == "away":
            raise PlatformUnavailableError("timeout")
        if self.mode == "forbidden":
            raise PlatformRefusedError(403, "missing.permission", "1")
        at = world.now - self.lags.get(conversation, 0.0)
        known = [state for since, state in self.states.get(conversation, ()) if since <= at]
        if not known:
            raise PlatformRefusedError(404, "not.found", "1")
        purpose = "acd" if known[-1] == QUEUED else "agent"
        return {"participants": [{"purpose": "customer"}, {"purpose": purpose, "queueId": "queue-1"}]}


class DeadLetterExchange:
    """The exchange that accepts the dead letters of deliveries unless it is down."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_away = False
        self.taken: set[tuple[str, int]] = set()

    def publish(self, _urls: object, dead_letters: Iterator[Any]) -> Iterator[Any]:
        """Accept dead letters one by one, and yield each that is accepted."""
        for dead_letter in dead_letters:
            self._world.sleep(0.01 * self._world.random.random())
            if self.is_away:
                raise BrokerUnavailableError("away")
            key = int(dead_letter.envelope.message_id.rpartition("_")[2])
            self.taken.add((dead_letter.destination, key))
            yield dead_letter
