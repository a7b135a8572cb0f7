"""Keep the state of a simulated organisation: OAuth client, conversations, rate limit, injected faults."""

import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final

from simulator.platform.history import History
from simulator.platform.outbound import Outbound
from simulator.platform.registrations import Registrations

MINUTE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Participant:
    """A party to a conversation: customer, acd (with its routing queue), agent (with its user) and so on."""

    purpose: str
    queue_id: str | None = None
    user_id: str | None = None
    end_time: str | None = None


@dataclass(slots=True)
class Conversation:
    """One conversation. Its times have the platform's text format."""

    conversation_id: str
    start_time: str
    end_time: str | None = None
    participants: list[Participant] = field(default_factory=list)


USUAL_RANGE: Final = {"service": "open-messaging", "region": "eu-central-1", "direction": "outbound"}
PUBLISHED: Final = (
    {"cidr": "192.0.2.0/25"},
    {"cidr": "192.0.2.128/25", "direction": "both"},
    {"cidr": "2001:db8:1::/48"},
    {"cidr": "198.51.100.0/24", "region": "us-east-1"},
    {"cidr": "203.0.113.0/24", "direction": "inbound"},
    {"cidr": "203.0.113.0/24", "service": "data-actions"},
)
"""Networks reserved for documentation (RFC 5737, RFC 3849): no public document lists the platform's own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A faulty response, which is sent *times* times, each time after *delay* seconds."""

    status: int
    times: int = 1
    retry_after: int | None = None  # seconds in the header Retry-After; None for no header
    delay: float = 0.0
    is_carried_out: bool = False  # whether the request takes effect, and only its answer is lost


@dataclass(eq=False)
class Organisation:
    """The state behind the simulated API; thread-safe. Its options may be changed at any time."""

    client_id: str  # of the only OAuth client
    client_secret: str = field(repr=False)
    _: KW_ONLY
    requests_per_minute: int = 300
    token_seconds: float = 86_400.0  # how long an access token is valid
    lag: float = 0.0  # maximum seconds until the API shows a new or changed conversation
    timer: Callable[[], float] = time.monotonic  # for the rate limit and the lag

    def __post_init__(self) -> None:
        """Start without conversations and registrations."""
        self.conversations: dict[str, Conversation] = {}
        self.history = History()
        self.registrations = Registrations()
        self.outbound = Outbound(self.registrations)
        self.address_ranges = [USUAL_RANGE | published for published in PUBLISHED]
        self.receipts: list[dict[str, Any]] = []
        self.tokens_issued = self.refused = 0
        self.requests: list[str] = []
        self._versions: dict[str, list[tuple[float, Conversation]]] = {}
        self._tokens: dict[str, float] = {}
        self._recent: deque[float] = deque()
        self._faults: deque[Fault] = deque()
        self._method_faults: dict[str, Fault] = {}
        self._lock = threading.RLock()

    def issue_token(self) -> str:
        """Return a new access token."""
        with self._lock:
            token = secrets.token_urlsafe(24)
            self._tokens[token] = self.timer() + self.token_seconds
            self.tokens_issued += 1
            return token

    def revoke_tokens(self) -> None:
        """Invalidate every token issued so far."""
        self._tokens.clear()

    def is_valid(self, token: str) -> bool:
        """Return whether an access token is valid."""
        return self._tokens.get(token, 0.0) > self.timer()

    def take_request(self, request: str) -> float:
        """Count a request against the rate limit; return 0, or how many seconds to wait if it is refused."""
        with self._lock:
            now = self.timer()
            if self.recent_requests() >= self.requests_per_minute:
                self.refused += 1
                return self._recent[0] + MINUTE_SECONDS - now
            self._recent.append(now)
            self.requests.append(request)
            return 0.0

    def recent_requests(self) -> int:
        """Return how many requests of the last minute count towards the rate limit."""
        with self._lock:
            now = self.timer()
            while self._recent and now - self._recent[0] >= MINUTE_SECONDS:
                self._recent.popleft()
            return len(self._recent)

    def inject_fault(self, fault: Fault, method: str | None = None) -> None:
        """Make the next responses fail or, if *method* is given, only the next response to that method."""
        if method is None:
            self._faults.extend([fault] * fault.times)
        else:
            self._method_faults[method] = fault

    def next_fault(self, method: str) -> Fault | None:
        """Remove and return the fault for the response to a request, or return None if none is injected."""
        with self._lock:
            return self._faults.popleft() if self._faults else self._method_faults.pop(method, None)

    def put(self, conversation: Conversation) -> None:
        """Add or update a conversation. The API shows the change after a random delay of at most `lag`."""
        conversation_id = conversation.conversation_id
        with self._lock:
            self.conversations[conversation_id] = conversation
            if self.lag:
                versions = self._versions.setdefault(conversation_id, [])
                at = self.timer() + random.uniform(0.0, self.lag)  # noqa: S311  not for security
                versions.append((max([at, *(shown for shown, _ in versions)]), deepcopy(conversation)))

    def find(self, conversation_id: str) -> Conversation | None:
        """Return a conversation as the API shows it now."""
        with self._lock:
            if conversation_id not in self._versions:
                return self.conversations.get(conversation_id)
            now = self.timer()
            shown = [version for at, version in self._versions[conversation_id] if at <= now]
            return shown[-1] if shown else None
