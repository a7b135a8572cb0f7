"""Fake platforms whose answers the test controls, and queries of the outbox."""

from workers.genesys import PlatformState
from workers.parsing.events import QUEUED

OUTBOX = "SELECT event_type, event_id, late FROM outbox ORDER BY id"


class KilledError(BaseException):
    """Simulates a process that is killed before its commit or during a request."""


class Platform:
    """A platform with one answer for each conversation; if the answer is an exception, it is raised."""

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
    """A platform that reports every conversation as waiting in a routing queue."""

    def find(self, _conversation_id, _is_enough):
        return PlatformState(QUEUED)


def types(query):
    return [event_type.rpartition(":")[2] for event_type, *_ in query(OUTBOX)]
