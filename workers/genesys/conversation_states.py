"""Look conversations up at the platform: each at most once in ten seconds, by one caller at a time."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cachetools import TTLCache

from workers.genesys.errors import PlatformRefusedError
from workers.genesys.routing_state import PlatformState, platform_state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.genesys.client import GenesysClient

CACHE_SECONDS: Final = 10.0
"""The guide's: "Cache the API response for ten seconds to reduce call volume"."""

CACHE_CONVERSATIONS: Final = 10_000

STRIPES: Final = 64
"""Locks that the conversations share: far more than requests that the budget allows at once."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the platform said, and the newest event that was on record when it was asked."""

    state: PlatformState | None
    newest: int


class ConversationStates:
    """What the platform says of conversations, remembered for ten seconds.

    Args:
        client: The way to the platform.
    """

    def __init__(self, client: GenesysClient) -> None:
        self._client = client
        self._cache: TTLCache[str, _Answer] = TTLCache(CACHE_CONVERSATIONS, CACHE_SECONDS)
        self._lock = threading.Lock()
        self._asking = [threading.Lock() for _ in range(STRIPES)]

    def of(
        self,
        conversation_id: str,
        *,
        event_id: int = 0,
        newest: int = 0,
        fits: Callable[[PlatformState | None], bool] = lambda _: True,
    ) -> PlatformState | None:
        """Return the platform's state of a conversation, or None where the platform knows no such one.

        A remembered answer from before the event says nothing against it: where it does not fit, the
        platform is asked afresh.

        Args:
            conversation_id: Which.
            event_id: The `processed_events.id` of the event on whose behalf it is asked.
            newest: The highest one that is on record by now.
            fits: Whether an answer bears the event out.

        Raises:
            PlatformUnavailableError: Not known now; ask again later.
            PlatformRefusedError: We may not ask.
        """
        with self._asking[hash(conversation_id) % STRIPES]:
            with self._lock:
                known = self._cache.get(conversation_id)
            if known is not None and (event_id <= known.newest or fits(known.state)):
                return known.state
            state = self._ask(conversation_id)
            with self._lock:
                self._cache[conversation_id] = _Answer(state, newest)
            return state

    def _ask(self, conversation_id: str) -> PlatformState | None:
        try:
            answer = self._client.get(f"/api/v2/conversations/{quote(conversation_id, safe='')}")
        except PlatformRefusedError as error:
            if error.is_of_no_conversation:
                return None
            raise
        return platform_state_of(answer)
