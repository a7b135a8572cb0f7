"""Give each event type its effect, one file each; workers/intake/handler_table.py has the table."""

from workers.handlers.conversation_message import conversation_message
from workers.handlers.conversation_new import conversation_new
from workers.handlers.conversation_updated import conversation_updated
from workers.handlers.handler import Handler, Skips
from workers.handlers.receipt import receipt
from workers.handlers.typing import typing

__all__ = [
    "Handler",
    "Skips",
    "conversation_message",
    "conversation_new",
    "conversation_updated",
    "receipt",
    "typing",
]
