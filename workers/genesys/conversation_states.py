"""Look conversations up at the platform, and remember the answers for a time."""

from __future__ import annotations

import time
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

REFUSED_SECONDS: Final = 300.0
"""A conversation of another division stays refused; a permission that was added is noticed after this."""

CACHE_CONVERSATIONS: Final = 10_000


class ConversationStates:
    """The platform's states of conversations; used by one thread.

    Args:
        client: The way to the platform.
        timer: Returns seconds.
    """

    def __init__(self, client: GenesysClient, timer: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._states: TTLCache[str, PlatformState | None] = TTLCache(
            CACHE_CONVERSATIONS, CACHE_SECONDS, timer
        )
        self._refused: TTLCache[str, PlatformRefusedError] = TTLCache(
            CACHE_CONVERSATIONS, REFUSED_SECONDS, timer
        )

    def find(
        self, conversation_id: str, is_enough: Callable[[PlatformState | None], bool] = lambda _: True
    ) -> PlatformState | None:
        """Return the platform's state of a conversation, or None if the platform has no such conversation.

        Args:
            conversation_id: The platform's.
            is_enough: Whether a remembered answer will do; otherwise the platform is asked.

        Raises:
            PlatformUnavailableError: Not known now; ask again later.
            PlatformRefusedError: We may not ask. This conversation is not asked for again for some minutes.
        """
        refusal = self._refused.get(conversation_id)
        if refusal is not None:
            raise refusal
        if conversation_id in self._states and is_enough(self._states[conversation_id]):
            return self._states[conversation_id]
        try:
            state = self._ask(conversation_id)
        except PlatformRefusedError as error:
            if not error.is_of_credentials:
                self._refused[conversation_id] = error
            raise
        self._states[conversation_id] = state
        return state

    def _ask(self, conversation_id: str) -> PlatformState | None:
        try:
            answer = self._client.get(f"/api/v2/conversations/{quote(conversation_id, safe='')}")
        except PlatformRefusedError as error:
            if error.is_of_no_conversation:
                return None
            raise
        return platform_state_of(answer)
