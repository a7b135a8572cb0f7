"""Remember what a simulated organisation holds: OAuth client, conversations, what goes wrong in it."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulator.platform.history import History
from simulator.platform.outbound import Outbound
from simulator.platform.registrations import Registrations

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Communication:
    """One communication of a participant, as the platform's model Message has it."""

    state: str = "connected"
    direction: str = "inbound"
    provider: str = "PureCloud Messaging"
    kind: str = "open"


@dataclass(slots=True)
class Participant:
    """Somebody or something in a conversation.

    Args:
        purpose: customer, acd, agent and so on.
        queue_id: The routing queue, where there is one.
        user_id: The agent, where it is one.
        end_time: When it left, as the platform writes times; None while it is there.
        communications: What it takes part by.
    """

    purpose: str
    queue_id: str | None = None
    user_id: str | None = None
    end_time: str | None = None
    communications: list[Communication] = field(default_factory=lambda: [Communication()])


@dataclass(slots=True)
class Conversation:
    """One conversation, as the platform knows it."""

    conversation_id: str
    start_time: str
    end_time: str | None = None
    participants: list[Participant] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """One published range, as the platform's model IpAddressRange has it."""

    cidr: str
    service: str = "open-messaging"
    region: str = "eu-central-1"
    direction: str = "outbound"


PUBLISHED: Final = (
    AddressRange("192.0.2.0/25"),
    AddressRange("192.0.2.128/25", direction="both"),
    AddressRange("2001:db8:1::/48"),
    AddressRange("198.51.100.0/24", region="us-east-1"),
    AddressRange("203.0.113.0/24", direction="inbound"),
    AddressRange("203.0.113.0/24", service="data-actions"),
)
"""Networks that documents may use; the real ones are in no public document.

Source: RFC 5737, RFC 3849.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the next answers shall be instead.

    Args:
        status: The HTTP status.
        times: How many answers.
        retry_after: Seconds of a Retry-After header; None for none.
        delay: Seconds to wait before answering.
        is_carried_out: Whether what was asked is done all the same, and only its answer is lost.
    """

    status: int
    times: int = 1
    retry_after: int | None = None
    delay: float = 0.0
    is_carried_out: bool = False


class Organisation:
    """The state behind the API; every method may be called by any thread.

    Args:
        client_id: The only OAuth client.
        client_secret: Its secret.
        requests_per_minute: What it may ask in a minute.
        token_seconds: How long an access token lives.
        latency: Seconds that each answer takes at least.
        lag: The most seconds that the API is behind what was notified; it does not know a new conversation
            until then.
        timer: Returns seconds, of the limit and of the lag.

    The login service answers next with the bodies and HTTP statuses in `login_answers`. The API answers 403
    for the conversations of `forbidden`. Every option may be changed while it runs.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        requests_per_minute: int = 300,
        token_seconds: float = 86_400.0,
        latency: float = 0.0,
        lag: float = 0.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.requests_per_minute = requests_per_minute
        self.token_seconds = token_seconds
        self.latency = latency
        self.lag = lag
        self.forbidden: set[str] = set()
        self.conversations: dict[str, Conversation] = {}
        self.history = History()
        self.registrations = Registrations()
        self.outbound = Outbound(self.registrations)
        self.address_ranges = list(PUBLISHED)
        self.receipts: list[dict[str, Any]] = []
        self.tokens_issued = 0
        self.requests: list[str] = []
        self.refused = 0
        self.login_answers: deque[tuple[str, int]] = deque()
        self._timer = timer
        self._behind: dict[str, list[tuple[float, Conversation]]] = {}
        self._tokens: dict[str, float] = {}
        self._asked: deque[float] = deque()
        self._faults: deque[Fault] = deque()
        self._faults_of: dict[str, Fault] = {}
        self._lock = threading.Lock()

    def issue_token(self) -> str:
        """Return a new access token."""
        with self._lock:
            token = secrets.token_urlsafe(24)
            self._tokens[token] = self._timer() + self.token_seconds
            self.tokens_issued += 1
            return token

    def revoke_tokens(self) -> None:
        """Make every token issued so far worthless."""
        with self._lock:
            self._tokens.clear()

    def knows(self, token: str) -> bool:
        """Tell whether a token is good."""
        with self._lock:
            return self._tokens.get(token, 0.0) > self._timer()

    def seconds_until_room(self, request: str) -> float:
        """Count a request; return 0, or after how many seconds it would be within the limit."""
        with self._lock:
            now = self._timer()
            self._forget(now)
            if len(self._asked) >= self.requests_per_minute:
                self.refused += 1
                return MINUTE_SECONDS - (now - self._asked[0])
            self._asked.append(now)
            self.requests.append(request)
            return 0.0

    def asked_in_the_last_minute(self) -> int:
        """Return how many requests count towards the limit now."""
        with self._lock:
            self._forget(self._timer())
            return len(self._asked)

    def _forget(self, now: float) -> None:
        """Let go of the requests that are older than a minute."""
        while self._asked and now - self._asked[0] >= MINUTE_SECONDS:
            self._asked.popleft()

    def strike(self, fault: Fault) -> None:
        """Have the next answers fail."""
        with self._lock:
            self._faults.extend([fault] * fault.times)

    def strike_at(self, method: str, fault: Fault) -> None:
        """Have the next answer to a request of this method fail."""
        with self._lock:
            self._faults_of[method] = fault

    def next_fault(self, method: str) -> Fault | None:
        """Take the fault of this answer, if there is one."""
        with self._lock:
            return self._faults.popleft() if self._faults else self._faults_of.pop(method, None)

    def put(self, conversation: Conversation) -> None:
        """Add a conversation, or note that it has changed; with a lag the API shows it some time later."""
        conversation_id = conversation.conversation_id
        with self._lock:
            self.conversations[conversation_id] = conversation
            if self.lag:
                versions = self._behind.setdefault(conversation_id, [])
                at = self._timer() + random.uniform(0.0, self.lag)  # noqa: S311  # guards nothing
                versions.append((max([at, *(shown for shown, _ in versions)]), deepcopy(conversation)))

    def find(self, conversation_id: str) -> Conversation | None:
        """Return what the API shows of a conversation now."""
        with self._lock:
            if conversation_id not in self._behind:
                return self.conversations.get(conversation_id)
            now = self._timer()
            shown = [version for at, version in self._behind[conversation_id] if at <= now]
            return shown[-1] if shown else None
