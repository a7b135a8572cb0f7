"""The state of a simulated organisation: OAuth client, conversations, rate limit and injected faults."""

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
    """A party of a conversation: customer, acd (with its routing queue), agent (with its user) and so on."""

    purpose: str
    queue_id: str | None = None
    user_id: str | None = None
    end_time: str | None = None


@dataclass(slots=True)
class Conversation:
    """One conversation; times are in the platform's notation."""

    conversation_id: str
    start_time: str
    end_time: str | None = None
    participants: list[Participant] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """One published range: the platform's model IpAddressRange."""

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
"""Networks reserved for documentation; no public document lists the real ones.

Source: RFC 5737, RFC 3849.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer to give instead of the right one, *times* times after *delay* seconds.

    `retry_after`: seconds of that header; None for none. `is_carried_out`: the request takes effect, and only
    its answer is lost.
    """

    status: int
    times: int = 1
    retry_after: int | None = None
    delay: float = 0.0
    is_carried_out: bool = False


@dataclass(eq=False)
class Organisation:
    """The state behind the API; safe for use by several threads. Options may be changed at any time.

    The login service answers next with the bodies and statuses in `login_answers`.

    Args:
        client_id: The only OAuth client.
        token_seconds: How long an access token is valid.
        lag: Maximum seconds until the API shows a new or changed conversation.
        timer: Returns seconds; used for the rate limit and the lag.
    """

    client_id: str
    client_secret: str = field(repr=False)
    _: KW_ONLY
    requests_per_minute: int = 300
    token_seconds: float = 86_400.0
    lag: float = 0.0
    timer: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Begin without conversations and registrations."""
        self.conversations: dict[str, Conversation] = {}
        self.history = History()
        self.registrations = Registrations()
        self.outbound = Outbound(self.registrations)
        self.address_ranges = list(PUBLISHED)
        self.receipts: list[dict[str, Any]] = []
        self.tokens_issued = self.refused = 0
        self.requests: list[str] = []
        self.login_answers: deque[tuple[str, int]] = deque()
        self._versions: dict[str, list[tuple[float, Conversation]]] = {}
        self._tokens: dict[str, float] = {}
        self._recent: deque[float] = deque()
        self._faults: deque[Fault] = deque()
        self._method_faults: dict[str, Fault] = {}
        self._lock = threading.Lock()

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
        """Count a request against the rate limit; return 0, or the seconds until it would be allowed."""
        with self._lock:
            now = self.timer()
            self._expire_requests(now)
            if len(self._recent) >= self.requests_per_minute:
                self.refused += 1
                return MINUTE_SECONDS - (now - self._recent[0])
            self._recent.append(now)
            self.requests.append(request)
            return 0.0

    def recent_requests(self) -> int:
        """Return how many requests count towards the rate limit now."""
        with self._lock:
            self._expire_requests(self.timer())
            return len(self._recent)

    def _expire_requests(self, now: float) -> None:
        while self._recent and now - self._recent[0] >= MINUTE_SECONDS:
            self._recent.popleft()

    def inject_fault(self, fault: Fault, method: str | None = None) -> None:
        """Make the next answers fail, or the next answer to a request with this HTTP method."""
        if method is None:
            self._faults.extend([fault] * fault.times)
        else:
            self._method_faults[method] = fault

    def next_fault(self, method: str) -> Fault | None:
        """Take the fault for this answer, if there is one."""
        with self._lock:
            return self._faults.popleft() if self._faults else self._method_faults.pop(method, None)

    def put(self, conversation: Conversation) -> None:
        """Add or update a conversation; the API shows it after a random part of the lag."""
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
