"""Tell a conversation for which the platform has no answer from a platform that has none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.log import logger

if TYPE_CHECKING:
    from workers.genesys import PlatformUnavailableError

TRIES: Final = 3
"""How often in a row a conversation may be without an answer before those after it are compared first."""


class Unanswered:
    """The conversations whose requests arrived and had no answer, since they had one."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def may_be_passed_over(self, conversation_id: str, error: PlatformUnavailableError) -> bool:
        """Count a failure; tell whether it was one too many, so that a later conversation is asked for.

        What never arrived, or met a limit, is not the conversation's.
        """
        if not error.may_have_arrived:
            return False
        self._times[conversation_id] = self._times.get(conversation_id, 0) + 1
        if self._times[conversation_id] < TRIES:
            return False
        logger().warning("conversation_unanswered", conversation_id=conversation_id, reason=str(error))
        return True

    def answered(self, conversation_id: str) -> None:
        """Forget what one has failed."""
        self._times.pop(conversation_id, None)

    def clear(self) -> None:
        """Forget all of it: each comparison counts anew."""
        self._times.clear()
