"""Platforms with the answers of a test, and the outbox that settling writes."""

from workers.genesys import PlatformState
from workers.parsing.events import QUEUED

OUTBOX = "SELECT event_type, event_id, late FROM outbox ORDER BY id"


class KilledError(BaseException):
    """The process ends, before its commit or while it asks."""


class Platform:
    """What the platform says, by conversation; an exception is raised."""

    def __init__(self, **said):
        self.said = said
        self.asked = []

    def find(self, conversation_id, _is_enough):
        self.asked.append(conversation_id)
        answer = self.said[conversation_id.replace("-", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


class QueuedAtThePlatform:
    """A platform that has every conversation in a routing queue."""

    def find(self, _conversation_id, _is_enough):
        return PlatformState(QUEUED)


def types(query):
    return [event_type.rpartition(":")[2] for event_type, *_ in query(OUTBOX)]
