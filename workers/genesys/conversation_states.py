"""Look conversations up at the platform: each at most once in ten seconds, by one caller at a time."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cachetools import TTLCache

from workers.genesys.errors import PlatformRefusedError
from workers.genesys.routing_state import PlatformState, platform_state_of

if TYPE_CHECKING:
    from workers.genesys.client import GenesysClient

CACHE_SECONDS: Final = 10.0
"""The guide's: "Cache the API response for ten seconds to reduce call volume"."""

CACHE_CONVERSATIONS: Final = 10_000

STRIPES: Final = 64
"""Locks that the conversations share: far more than requests that the budget allows at once."""


class ConversationStates:
    """What the platform says of conversations, remembered for ten seconds.

    Args:
        client: The way to the platform.
    """

    def __init__(self, client: GenesysClient) -> None:
        self._client = client
        self._cache: TTLCache[str, PlatformState | None] = TTLCache(CACHE_CONVERSATIONS, CACHE_SECONDS)
        self._lock = threading.Lock()
        self._asking = [threading.Lock() for _ in range(STRIPES)]

    def of(self, conversation_id: str) -> PlatformState | None:
        """Return the platform's state of a conversation, or None where the platform knows no such one.

        Raises:
            PlatformUnavailableError: Not known now; ask again later.
            PlatformRefusedError: We may not ask.
        """
        with self._asking[hash(conversation_id) % STRIPES]:
            return self._cached(conversation_id)

    def _cached(self, conversation_id: str) -> PlatformState | None:
        with self._lock:
            if conversation_id in self._cache:
                return self._cache[conversation_id]
        state = self._ask(conversation_id)
        with self._lock:
            self._cache[conversation_id] = state
        return state

    def _ask(self, conversation_id: str) -> PlatformState | None:
        try:
            answer = self._client.get(f"/api/v2/conversations/{quote(conversation_id, safe='')}")
        except PlatformRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return platform_state_of(answer)
