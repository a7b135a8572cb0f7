"""What an integrator's handler needs, and our own handlers, one file for each event type.

A handler gets the transaction's connection, the new events of its type in their order within each
conversation, and the database's time in microseconds since the epoch. It uses only SQL, since a rollback
undoes no other effect. It returns the events that have no effect, instead of raising an error for them.
The table of types and handlers is workers/intake/handler_table.py.
"""

from messaging.errors import RejectedEventError, RetryLaterError
from workers.handlers.conversation_message import conversation_message
from workers.handlers.conversation_new import conversation_new
from workers.handlers.conversation_updated import conversation_updated
from workers.handlers.handler import Handler, Skips
from workers.handlers.receipt import receipt
from workers.handlers.typing import typing
from workers.parsing import ClaimedEvent

__all__ = [
    "ClaimedEvent",
    "Handler",
    "RejectedEventError",
    "RetryLaterError",
    "Skips",
    "conversation_message",
    "conversation_new",
    "conversation_updated",
    "receipt",
    "typing",
]
