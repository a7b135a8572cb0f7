"""Define the type of a handler; workers/handlers/__init__.py describes what a handler does."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from workers.parsing import ClaimedEvent

Skips: TypeAlias = dict[int, str]
"""Maps the `processed_events.id` of each event that has no effect to the reason, a stable code."""

Handler: TypeAlias = Callable[[Connection, Sequence[ClaimedEvent], int], Skips]
"""A handler's arguments are the connection, the events and the time in microseconds since the epoch."""
